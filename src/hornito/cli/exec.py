# SPDX-License-Identifier: MIT
"""``hornito exec``: any program, with a virtual NPU as its render node."""

import argparse
import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hornito.cli.options import add_fault, fault_plan
from hornito.errors import BadInput

if TYPE_CHECKING:
    from hornito.supervisor.records import Records
    from hornito.virtual.device import VirtualDevice


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "hornito exec [options] -- PROGRAM ARGS..."
    parser.add_argument("--chip", metavar="NAME", help="which chip the render node has (default: vipnano-qi)")
    add_fault(parser)
    parser.add_argument("--kmsg", metavar="FILE", help="append what the kernel logs to a file, as it comes")
    parser.add_argument("--coredump", metavar="DIR", help="keep the core dumps of killed jobs in a folder")
    parser.add_argument("command", metavar="PROGRAM", nargs=argparse.REMAINDER, help="what to run, and its arguments")


def run(options: argparse.Namespace) -> int:
    from hornito.supervisor import Records, run_program

    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise BadInput("no program to run; give it after --, as in 'hornito exec -- python3 client.py'")

    with Records(options.kmsg, options.coredump) as records:
        return run_program(command, lambda: _device(options, records))


@contextlib.contextmanager
def _device(options: argparse.Namespace, records: "Records") -> Iterator["VirtualDevice"]:
    from hornito.hardware.chips import DEFAULT_CHIP, find_chip
    from hornito.virtual.standalone import standalone_device

    with standalone_device(find_chip(options.chip or DEFAULT_CHIP), fault_plan(options)) as device:
        records.follow(device)
        yield device
