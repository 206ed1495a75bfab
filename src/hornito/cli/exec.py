# SPDX-License-Identifier: MIT
"""``hornito exec``: any program, with a virtual NPU as its render node."""

import argparse
import contextlib
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from hornito import __version__
from hornito.cli.options import add_fault, counted, fault_plan, file_name, remark
from hornito.errors import BadInput

if TYPE_CHECKING:
    from hornito.supervisor.records import Records
    from hornito.supervisor.served import Served

_NOT_STARTED = (126, 127)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "hornito exec [options] -- PROGRAM ARGS..."
    parser.add_argument("--trace", metavar="F", type=file_name, help="record all that goes through the node (.trace)")
    add_virtual_node(parser)


def add_virtual_node(parser: argparse.ArgumentParser) -> None:
    """What is wanted of the virtual node, and the program that is given it."""
    parser.add_argument("--chip", metavar="NAME", help="which chip the render node has (default: vipnano-qi)")
    add_fault(parser)
    parser.add_argument("--kmsg", metavar="FILE", help="append what the kernel logs to a file, as it comes")
    parser.add_argument("--coredump", metavar="DIR", help="keep the core dumps of killed jobs in a folder")
    parser.add_argument("command", metavar="PROGRAM", nargs=argparse.REMAINDER, help="what to run, and its arguments")


def run(options: argparse.Namespace) -> int:
    return run_on_virtual_node(options, options.trace)


def program(options: argparse.Namespace) -> list[str]:
    """What to run. Raises BadInput where nothing is named."""
    command: list[str] = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise BadInput("no program to run; give it after --, as in 'hornito exec -- python3 client.py'")
    return command


def run_on_virtual_node(options: argparse.Namespace, trace: str | None, *, tell: bool = False) -> int:
    """Run the program, recorded to the file ``trace`` if that is wanted (``tell``: remark on what it has then); its
    status. No thread may exist yet."""
    from hornito.supervisor import Records, can_be_found, run_program

    command = program(options)
    if not can_be_found(command):
        trace = None  # that is told as ever, and an older recording stays
    made: list[Served[Any]] = []
    with Records(options.kmsg, options.coredump) as records:
        status = run_program(command, lambda: _device(options, records, command, trace, made))
    if tell and trace is not None:
        from hornito.uapi.drm import RENDER_NODE

        tell_recorded(RENDER_NODE, trace, made, status)
    return status


def tell_recorded(node: str, trace: str, made: "Sequence[Served[Any]]", status: int) -> None:
    """What the finished recording of the devices that were made, one at most, has: in a remark."""
    from hornito.trace.recorded_calls import RecordedCalls

    for device in made:
        assert isinstance(device, RecordedCalls)
        if device.opened:
            size = f", {os.path.getsize(trace):,} bytes" if os.path.isfile(trace) else ""
            remark(f"{trace}: {counted(device.submits, 'submit')}{size}")
        elif status not in _NOT_STARTED:
            remark(f"{node}: the program never used it; {trace} has no calls")


@contextlib.contextmanager
def _device(
    options: argparse.Namespace,
    records: "Records",
    command: Sequence[str],
    trace: str | None,
    given: "list[Served[Any]]",
) -> Iterator["Served[Any]"]:
    from hornito.hardware.chips import DEFAULT_CHIP, find_chip
    from hornito.virtual.standalone import standalone_device

    chip = find_chip(options.chip or DEFAULT_CHIP)
    faults = fault_plan(options)
    made: AbstractContextManager[Served[Any]]
    if trace is None:
        made = standalone_device(chip, faults)
    else:
        from hornito.trace.recorded_device import recorded_device

        made = recorded_device(chip, trace, command, f"hornito {__version__}", faults)
    with made as served:
        given.append(served)
        records.follow(served)
        yield served
