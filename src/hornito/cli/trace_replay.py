# SPDX-License-Identifier: MIT
"""``hornito trace replay``: does a device do again what was recorded?"""

import argparse
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hornito.cli.options import add_json, counted, print_json, remark
from hornito.cli.progress import preparation
from hornito.cli.trace_options import warn
from hornito.errors import BadInput, HornitoError

if TYPE_CHECKING:
    from hornito.driver import Device
    from hornito.trace.replay import Verdict

SAME, DIFFERENT, TROUBLE = 0, 1, 2
VIRTUAL = "virtual"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Exit status: 0 the device left what was recorded, 1 it did not, 2 and more: it could not be tried, or the "
        "recording is cut or damaged."
    )
    parser.add_argument("file", metavar="F", help="a recording with what its jobs wrote ('hornito trace record')")
    parser.add_argument(
        "--device",
        metavar="NAME",
        default="virtual",
        help="virtual (the default), /dev/dri/renderD128, hornito://HOST:PORT, hornito+unix:PATH",
    )
    parser.add_argument("--chip", metavar="NAME", help="whose recording it is, where the file does not say")
    parser.add_argument(
        "--reference",
        metavar="NAME",
        help="a device that tells which job was the first to differ, where later ones wrote over its results "
        "(default: the virtual NPU, if that is not what is replayed on; none: do without)",
    )
    parser.add_argument("--all", action="store_true", help="go on behind the first submit that differs")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.runtime import open_device
    from hornito.trace.load import load
    from hornito.trace.replay import replay

    recording = load(options.file)
    device = open_device(options.device, options.chip or recording.header.chip or None, preparation())
    if device is None:
        raise BadInput("--device cpu: the CPU obeys no command streams; name a real, virtual or remote NPU")
    verdicts: list[Verdict] = []
    with device, _Reference(options.reference, device) as reference:
        for verdict in replay(recording, device, reference.open):
            verdicts.append(verdict)
            if not options.json:
                _tell(verdict)
            if not verdict.same and not options.all:
                break
        name = device.name
    warn(recording)
    played = [verdict for verdict in verdicts if not verdict.skipped]
    same = _same(played, recording.problem)
    if options.json:
        submits = [dataclasses.asdict(verdict) for verdict in verdicts]
        print_json({"device": name, "same": same, "problem": recording.problem, "submits": submits})
    if same is False:
        return DIFFERENT
    compared = sum(verdict.bytes for verdict in played)
    if same is None and not compared:
        raise BadInput(f"{options.file}: has no submit whose results are known; record one with 'hornito trace record'")
    if not options.json:
        rest = "" if same else "; what follows them was not recorded whole, so nobody can tell"
        print(f"{name}: {counted(len(played), 'submit')} as recorded, {compared} bytes compared{rest}")
    return SAME if same else TROUBLE


def _same(played: "Sequence[Verdict]", problem: str) -> bool | None:
    """Did the device do all of it again? None: nobody knows, as there was nothing to compare or the recording has no
    end."""
    if not all(verdict.same for verdict in played):
        return False
    return True if not problem and any(verdict.bytes or verdict.killed for verdict in played) else None


class _Reference:
    """The device that is asked where the recording does not tell; opened when that is so."""

    def __init__(self, name: str | None, device: "Device") -> None:
        from hornito.remote import is_remote
        from hornito.runtime.devices import find_device

        self._name = name or ("none" if device.name == VIRTUAL else VIRTUAL)
        self._chip = device.chip.name
        self._device: Device | None = None
        if self._name not in ("none", "auto") and not self._name.startswith("/") and not is_remote(self._name):
            try:
                found = find_device(self._name, self._chip)
            except BadInput as error:
                raise BadInput(f"--reference: {error}; or none") from error
            if found is None:
                raise BadInput("--reference cpu: the CPU obeys no command streams; name an NPU, or none")

    def open(self) -> "Device | None":
        """The device; None if none is wanted, or it can't be opened, which is said once."""
        from hornito.runtime import open_device

        if self._device is None and self._name != "none":
            try:
                self._device = open_device(self._name, self._chip, preparation())
            except HornitoError as error:
                remark(f"hornito: the reference can't be asked: {error}")
                self._name = "none"
        return self._device

    def __enter__(self) -> "_Reference":
        return self

    def __exit__(self, *_: object) -> None:
        if self._device is not None:
            self._device.close()


def _tell(verdict: "Verdict") -> None:
    if verdict.skipped:
        remark(f"submit {verdict.submit} is not played: {verdict.skipped}")
    elif not verdict.same:
        print(line(verdict))


def line(verdict: "Verdict") -> str:
    """What differs, for people."""
    found = f"submit {verdict.submit}: "
    found += f"job {verdict.job} ({verdict.unit}): " if verdict.job is not None else ""
    one = verdict.difference
    if one is None:
        return found + verdict.problem
    found += f"buffer {one.handle} ({one.tensor}) differs first at byte {one.offset:#x}: "
    found += f"recorded {one.recorded}, now {one.found}; {counted(one.count, 'byte differs', 'bytes differ')} in it"
    if verdict.suspects:
        found += f"; later jobs wrote over what {_jobs(verdict.suspects)} left, so it may have begun with that"
    if verdict.reference:
        found += f" (found by running its jobs up to each on {verdict.reference}, too)"
    return found


def _jobs(numbers: Sequence[int]) -> str:
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"jobs {numbers[0]}..{numbers[-1]}"
    return f"{'job' if len(numbers) == 1 else 'jobs'} {', '.join(map(str, numbers))}"
