# SPDX-License-Identifier: MIT
"""``hornito trace replay``: does a device do again what was recorded?"""

import argparse
import dataclasses
from typing import TYPE_CHECKING

from hornito.cli.options import add_json, counted, print_json, remark
from hornito.cli.trace_options import warn
from hornito.errors import BadInput

if TYPE_CHECKING:
    from hornito.trace.replay import Verdict

SAME, DIFFERENT = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit status: 0 the device left what was recorded, 1 it did not, 2 and more: it could not be tried."
    parser.add_argument("file", metavar="F", help="a recording with what its jobs wrote ('hornito trace record')")
    parser.add_argument(
        "--device",
        metavar="NAME",
        default="virtual",
        help="virtual (the default), /dev/dri/renderD128, hornito://HOST:PORT, hornito+unix:PATH",
    )
    parser.add_argument("--chip", metavar="NAME", help="whose recording it is, where the file does not say")
    parser.add_argument("--all", action="store_true", help="go on behind the first submit that differs")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.cli.progress import preparation
    from hornito.runtime import open_device
    from hornito.trace.load import load
    from hornito.trace.replay import replay

    recording = load(options.file)
    device = open_device(options.device, options.chip or recording.header.chip or None, preparation())
    if device is None:
        raise BadInput("--device cpu: the CPU obeys no command streams; name a real, virtual or remote NPU")
    verdicts: list[Verdict] = []
    with device:
        for verdict in replay(recording, device):
            verdicts.append(verdict)
            if not options.json:
                _tell(verdict)
            if not verdict.same and not options.all:
                break
        name = device.name
    warn(recording)
    played = [verdict for verdict in verdicts if not verdict.skipped]
    if not played:
        raise BadInput(f"{options.file}: has no submit whose results are known; record one with 'hornito trace record'")
    same = all(verdict.same for verdict in played)
    if options.json:
        print_json({"device": name, "same": same, "submits": [dataclasses.asdict(verdict) for verdict in verdicts]})
    elif same:
        compared = sum(verdict.bytes for verdict in played)
        print(f"{name}: {counted(len(played), 'submit')} as recorded, {compared} bytes compared")
    return SAME if same else DIFFERENT


def _tell(verdict: "Verdict") -> None:
    if verdict.skipped:
        remark(f"submit {verdict.submit} is not played: {verdict.skipped}")
    elif not verdict.same:
        print(line(verdict))


def line(verdict: "Verdict") -> str:
    """What differs, for people."""
    found = f"submit {verdict.submit}: "
    found += f"job {verdict.job} ({verdict.unit}): " if verdict.job is not None else ""
    if verdict.difference is None:
        return found + verdict.problem
    one = verdict.difference
    found += f"buffer {one.handle} ({one.tensor}) differs first at byte {one.offset:#x}: "
    found += f"recorded {one.recorded}, now {one.found}; {one.count} bytes of it differ"
    if verdict.suspects:
        jobs = ", ".join(map(str, verdict.suspects))
        found += f"; later jobs wrote over what job {jobs} left there, so it may have begun with that"
    return found
