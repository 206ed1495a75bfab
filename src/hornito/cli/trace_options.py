# SPDX-License-Identifier: MIT
"""Which options do the verbs of ``hornito trace`` share, and how do they print?"""

import argparse
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING

from hornito.cli.options import add_json, remark

if TYPE_CHECKING:
    from hornito.trace.records import Recording
    from hornito.trace.selection import Selection
    from hornito.trace.show import Shown

_COLOURS = {
    "HEADING": "\x1b[1m",
    "JOB": "\x1b[33m",
    "CALL": "\x1b[36m",
    "STRANGE": "\x1b[31m",
    "GUESS": "\x1b[35m",
    "NOTE": "\x1b[2m",
    "REMOVED": "\x1b[31m",
    "ADDED": "\x1b[32m",
}
_PLAIN = "\x1b[m"


def add_chip(parser: argparse.ArgumentParser) -> None:
    """``--chip``, for files that do not say."""
    parser.add_argument("--chip", metavar="NAME", default="", help="whose recording it is, where the file does not say")


def add_selection(parser: argparse.ArgumentParser) -> None:
    """``--submit``, ``--job``, ``--unit`` and ``--field``: which part is wanted."""
    parser.add_argument("--submit", metavar="N", type=int, action="append", default=[], help="this submit alone")
    parser.add_argument(
        "--job", metavar="JOBS", action="append", default=[], help="these jobs alone: 12, 3-7, or 1.12 of submit 1"
    )
    parser.add_argument(
        "--unit", metavar="UNIT", type=str.lower, choices=("nn", "tp"), help="the jobs of this unit alone: nn or tp"
    )
    parser.add_argument(
        "--field", metavar="PATTERN", action="append", default=[], help="these fields and states alone: 'kernel_*'"
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """``--json``, ``--color`` and ``--no-pager``."""
    add_json(parser)
    parser.add_argument(
        "--color", metavar="WHEN", choices=("auto", "always", "never"), default="auto", help="auto, always or never"
    )
    parser.add_argument("--no-pager", action="store_true", help="write to the terminal straight away")


def selection(options: argparse.Namespace) -> "Selection":
    """What is wanted. Raises BadInput."""
    from hornito.trace.selection import UNITS, Selection, job_numbers

    jobs = tuple(number for text in options.job for number in job_numbers(text))
    units = (UNITS[options.unit],) if options.unit else ()
    return Selection(tuple(options.submit), jobs, units, tuple(options.field))


def write(lines: "Iterable[Shown]", out: IO[str], colour: bool) -> None:
    """Lines as they come; the first ones at once, the rest as the pager or the pipe takes them."""
    for number, line in enumerate(lines):
        code = _COLOURS.get(line.style.name) if colour else None
        out.write(f"{code}{line.text}{_PLAIN}\n" if code else f"{line.text}\n")
        if number < 50 or number % 512 == 0:
            out.flush()


def warn(recording: "Recording") -> None:
    """Say where a recording ends before its end."""
    if recording.problem:
        remark(f"hornito: {recording.path}: {recording.problem}")


def check_chip(name: str) -> str:
    """The chip's name, if there is such a chip. Raises BadInput."""
    if name:
        from hornito.hardware.chips import find_chip

        return find_chip(name).name
    return ""
