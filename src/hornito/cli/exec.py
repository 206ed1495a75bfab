# SPDX-License-Identifier: MIT
"""``hornito exec``: any program, with a virtual NPU as its render node."""

import argparse
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from hornito.errors import BadInput

if TYPE_CHECKING:
    from hornito.virtual.device import VirtualDevice


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "hornito exec [options] -- PROGRAM ARGS..."
    parser.add_argument("--chip", metavar="NAME", help="which chip the render node has (default: vipnano-qi)")
    parser.add_argument("command", metavar="PROGRAM", nargs=argparse.REMAINDER, help="what to run, and its arguments")


def run(options: argparse.Namespace) -> int:
    from hornito.supervisor import run_program

    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        raise BadInput("no program to run; give it after --, as in 'hornito exec -- python3 client.py'")

    def device() -> "AbstractContextManager[VirtualDevice]":
        from hornito.hardware.chips import DEFAULT_CHIP, find_chip
        from hornito.virtual.standalone import standalone_device

        return standalone_device(find_chip(options.chip or DEFAULT_CHIP))

    return run_program(command, device)
