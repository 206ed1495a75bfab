# SPDX-License-Identifier: MIT
"""``hornito devices``: what can models run on here?"""

import argparse

from hornito.cli.options import add_json, print_json, remark


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.runtime.inventory import list_devices, missing_npu

    found = list_devices()
    hint = missing_npu()
    if options.json:
        print_json([device.as_json() for device in found])
    else:
        for device in found:
            words = [f"--device {device.name}"] if device.name != "none" else []
            words += [f"--chip {device.chip.name}"] if device.chip and not device.name.startswith("/") else []
            print(f"{' '.join(words)}: {device.description}")
            for line in device.details:
                print(f"  {line}")
    if hint is not None:
        remark(f"no usable NPU, though this board should have one: {hint}")
    return 0
