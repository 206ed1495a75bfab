# SPDX-License-Identifier: MIT
"""``hornito devices``: what can models run on here?"""

import argparse

from hornito.cli.options import add_json, print_json, remark


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", metavar="NAME", help="only this one; hornito://HOST:PORT or hornito+unix:PATH: of another machine"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.remote import is_remote
    from hornito.runtime.devices import VIRTUAL, find_device, resolve
    from hornito.runtime.inventory import list_devices, missing_npu, remote_device

    hint = None
    if options.device is None:
        found = list_devices()
        hint = missing_npu()
    elif is_remote(options.device):
        found = [remote_device(options.device)]
    else:
        find_device(options.device)  # raises what is wrong with it
        name = resolve(options.device)
        found = [device for device in list_devices() if device.name == name]
    if options.json:
        print_json([device.as_json() for device in found])
    else:
        for device in found:
            words = [f"--device {device.name}"] if device.name != "none" else []
            words += [f"--chip {device.chip.name}"] if device.chip and device.name in ("none", VIRTUAL) else []
            print(f"{' '.join(words)}: {device.description}")
            for line in device.details:
                print(f"  {line}")
    if hint is not None:
        remark(f"no usable NPU, though this board should have one: {hint}")
    return 0
