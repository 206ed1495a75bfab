# SPDX-License-Identifier: MIT
"""``hornito trace record``: what a program sends to an NPU, kept in a file."""

import argparse

from hornito.cli.exec import add_virtual_node, run_on_virtual_node
from hornito.cli.options import file_name
from hornito.errors import Unsupported


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "hornito trace record [options] -o F -- PROGRAM ARGS..."
    parser.epilog = "The exit status is the program's; 125 for failures of the recording itself."
    parser.add_argument("-o", "--output", metavar="F", type=file_name, required=True, help="the recording (.trace)")
    parser.add_argument("--device", metavar="NAME", default="virtual", help="virtual: as 'hornito exec' (the default)")
    add_virtual_node(parser)


def run(options: argparse.Namespace) -> int:
    if options.device != "virtual":
        raise Unsupported(f"--device {options.device}: only programs on the virtual device can be recorded so far")
    return run_on_virtual_node(options, options.output)
