# SPDX-License-Identifier: MIT
"""``hornito exec``: any program, with a virtual NPU as its render node."""

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from hornito import __version__
from hornito.cli.options import add_fault, fault_plan, file_name
from hornito.errors import BadInput

if TYPE_CHECKING:
    from hornito.supervisor.records import Records
    from hornito.supervisor.served import Served


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


def run_on_virtual_node(options: argparse.Namespace, trace: str | None) -> int:
    """Run the program, recorded to the file ``trace`` if that is wanted; its status. No thread may exist yet."""
    from hornito.supervisor import Records, run_program

    command = program(options)
    with Records(options.kmsg, options.coredump) as records:
        return run_program(command, lambda: _device(options, records, command, trace))


@contextlib.contextmanager
def _device(
    options: argparse.Namespace, records: "Records", command: Sequence[str], trace: str | None
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
        records.follow(served)
        yield served
