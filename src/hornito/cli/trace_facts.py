# SPDX-License-Identifier: MIT
"""``hornito trace facts``: what is known of the words that recordings hold, and who says so?"""

import argparse

from hornito.cli.options import print_json
from hornito.cli.pager import paged, wants_colour
from hornito.cli.trace_options import add_output, write
from hornito.errors import BadInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("patterns", metavar="PATTERN", nargs="*", help="these names alone, as in 'kernel_*'")
    add_output(parser)


def run(options: argparse.Namespace) -> int:
    from fnmatch import fnmatchcase

    from hornito.trace.facts import facts
    from hornito.trace.show import Shown, Style

    wanted = [pattern.lower() for pattern in options.patterns]
    found = [one for one in facts() if not wanted or any(fnmatchcase(one.name.lower(), each) for each in wanted)]
    if not found:
        raise BadInput(
            f"no fact is named {' or '.join(wanted)}; without a name, all are listed ('*conv*' is a pattern)"
        )
    if options.json:
        print_json([vars(one) for one in found])
        return 0
    lines = (
        Shown(
            f"{one.structure:15} {one.place:12} {one.name:42} {one.confidence.value:9} {one.source}"
            + (f"; only {', '.join(f'{value:#x}' for value in one.only)}" if one.only is not None else ""),
            Style.GUESS if one.confidence.mark else Style.PLAIN,
        )
        for one in found
    )
    with paged(not options.no_pager) as out:
        write(lines, out, wants_colour(options.color))
    return 0
