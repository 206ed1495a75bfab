# SPDX-License-Identifier: MIT
"""``hornito trace coverage``: which bits of recordings does no fact explain?"""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from hornito.cli.options import print_json
from hornito.cli.pager import paged, wants_colour
from hornito.cli.trace_options import add_chip, add_output, check_chip, warn, write

if TYPE_CHECKING:
    from hornito.trace.coverage import Coverage
    from hornito.trace.show import Shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="F", nargs="+", help="recordings, or files that are some")
    parser.add_argument("--all", action="store_true", help="words that are fully explained, too")
    add_chip(parser)
    add_output(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.trace.coverage import Coverage
    from hornito.trace.load import load_all

    found = Coverage(check_chip(options.chip))
    recordings = load_all(options.files)
    for recording in recordings:
        found.add(recording)
    if options.json:
        print_json({"files": [recording.path for recording in recordings]} | found.as_json())
    else:
        with paged(not options.no_pager) as out:
            write(_lines(found, options.all), out, wants_colour(options.color))
    for recording in recordings:
        warn(recording)
    return 0


def _lines(found: "Coverage", everything: bool) -> "Iterator[Shown]":
    from hornito.trace.coverage import Trust
    from hornito.trace.show import Shown, Style

    names = {"stream": "stream", "NN": "NN descriptor", "TP": "TP descriptor", "coefficients": "coefficient stream"}
    yield Shown(f"{'':24}{'bits':>12}" + "".join(f"{trust.value:>12}" for trust in Trust), Style.HEADING)
    for structure, name in names.items():
        count = found.counts[structure]
        plural = name if count == 1 else f"{name}s"
        totals = found.totals((structure,))
        cells = f"{totals.total():12,}" + "".join(f"{totals[trust]:12,}" for trust in Trust)
        yield Shown(f"{count:5,} {plural:18}{cells}", Style.HEADING)
        for word in found.words():
            if word.structure != structure or not (everything or word.notes or word.unnamed_set):
                continue
            cells = f"{word.total:12,}" + "".join(f"{word.bits[trust]:12,}" for trust in Trust)
            notes = [f"{note} ({trust.value})" for note, trust in word.notes.items() if note != word.word]
            notes += [f"unnamed bits {word.unnamed_set:#010x} are set"] if word.unnamed_set else []
            style = Style.STRANGE if word.unnamed_set or word.bits[Trust.STRANGE] else Style.PLAIN
            yield Shown(f"      {word.word:18}{cells}{'  ' if notes else ''}{', '.join(notes)}", style)
    totals = found.totals()
    cells = f"{totals.total():12,}" + "".join(f"{totals[trust]:12,}" for trust in Trust)
    yield Shown(f"{'total':24}{cells}", Style.HEADING)
    if totals.total():
        share = "".join(f"{100 * totals[trust] / totals.total():11.3f}%" for trust in Trust)
        yield Shown(f"{'':36}{share}")
    if found.behind.descriptors:
        yield Shown(f"{found.behind.descriptors:,} bytes behind descriptors are not zero", Style.STRANGE)
    if found.behind.coefficients:
        yield Shown(f"{found.behind.coefficients:,} bytes behind coefficients are not zero", Style.STRANGE)
    for problem in found.problems:
        yield Shown(problem, Style.STRANGE)
