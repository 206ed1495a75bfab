# SPDX-License-Identifier: MIT
"""``hornito exec``: any program, with a virtual NPU as its render node."""

import argparse
from typing import TYPE_CHECKING

from hornito.cli.options import remark
from hornito.errors import HornitoError

if TYPE_CHECKING:
    from hornito.virtual.device import VirtualDevice

OWN_FAILURE = 125  # as env's, so that it is none of the program's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "hornito exec [options] -- PROGRAM ARGS..."
    parser.add_argument("--chip", metavar="NAME", help="which chip the render node has (default: vipnano-qi)")
    parser.add_argument("command", metavar="PROGRAM", nargs=argparse.REMAINDER, help="what to run, and its arguments")
    parser.set_defaults(usage_status=OWN_FAILURE)


def run(options: argparse.Namespace) -> int:
    from hornito.supervisor.supervise import run as supervise

    command = options.command[1:] if options.command[:1] == ["--"] else options.command

    def device() -> "VirtualDevice":
        from hornito.hardware.chips import DEFAULT_CHIP, find_chip
        from hornito.virtual.device import VirtualDevice

        return VirtualDevice(find_chip(options.chip or DEFAULT_CHIP))

    if not command:
        remark("hornito: no program to run; give it after --, as in 'hornito exec -- python3 client.py'")
        return OWN_FAILURE
    try:
        return supervise(command, device)
    except (HornitoError, OSError) as error:
        remark("hornito: " + " ".join(str(error).split()))
        return OWN_FAILURE
