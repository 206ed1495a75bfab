# SPDX-License-Identifier: MIT
"""``hornito trace diff``: in which fields do two recordings differ? The exit status is as diff's."""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hornito.cli.options import remark
from hornito.cli.pager import paged, wants_colour
from hornito.cli.trace_options import add_chip, add_output, check_chip, warn, write
from hornito.errors import BadInput, HornitoError

if TYPE_CHECKING:
    from hornito.trace.diff import Diff, Hunk, Place
    from hornito.trace.records import Recording
    from hornito.trace.show import Shown

SAME, DIFFERENT, TROUBLE = 0, 1, 2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Exit status: 0 nothing differs, 1 something does, 2 trouble."
    parser.add_argument("old", metavar="A", help="a recording, or a file that is one")
    parser.add_argument("new", metavar="B", nargs="+", help="what to compare it with (with --infer: one or more)")
    parser.add_argument(
        "--padding-kernels",
        action="store_true",
        help="compare the kernels too that fill the cores up (version 7, channels no multiple of the cores)",
    )
    parser.add_argument(
        "--jobs-only", action="store_true", help="compare jobs alone, however they are initialised, batched and flushed"
    )
    parser.add_argument(
        "--infer",
        metavar="MODEL",
        nargs="+",
        help="the recordings' models, in order, which differ in one number: which fields follow it, and how",
    )
    parser.add_argument("--raw", action="store_true", help="with --infer: by bits alone, as if no field had a name")
    add_chip(parser)
    add_output(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.cli import trace_infer

    try:
        return trace_infer.run(options) if options.infer else _run(options)
    except HornitoError as error:
        raise BadInput(str(error)) from error


def _run(options: argparse.Namespace) -> int:
    from hornito.trace.diff import Diff, Options
    from hornito.trace.load import load

    if len(options.new) > 1:
        raise BadInput(f"{1 + len(options.new)} recordings; diff takes two, and more with --infer alone")
    recordings = load(options.old), load(options.new[0])
    found = Diff(*recordings, Options(options.padding_kernels, options.jobs_only, check_chip(options.chip)))
    if options.json:
        _write_json(recordings, found)
    else:
        with paged(not options.no_pager) as out:
            write(_lines(recordings, found), out, wants_colour(options.color))
    for recording in recordings:
        warn(recording)
    if found.padding_kernels and not options.json:
        remark(f"{found.padding_kernels} padding kernels were passed over; --padding-kernels compares them")
    if not found.same:
        return DIFFERENT
    return TROUBLE if any(recording.problem for recording in recordings) else SAME


def _lines(recordings: "tuple[Recording, Recording]", found: "Diff") -> "Iterator[Shown]":
    from hornito.trace.show import Shown, Style

    heading = ""
    for hunk in found.hunks():
        if not heading:
            yield Shown(f"--- {recordings[0].path}", Style.HEADING)
            yield Shown(f"+++ {recordings[1].path}", Style.HEADING)
        if heading != _heading(hunk):
            heading = _heading(hunk)
            yield Shown(heading, Style.JOB)
        if not hunk.differences:
            removed = hunk.new is None
            yield Shown(f"{'-' if removed else '+'} {hunk.title}", Style.REMOVED if removed else Style.ADDED)
        for one in hunk.differences:
            place = " ".join(part for part in (f"core {one.core}" if one.core is not None else "", one.place) if part)
            for sign, text, style in (("-", one.old, Style.REMOVED), ("+", one.new, Style.ADDED)):
                if text is not None:
                    yield Shown(f"{sign} {place}{' ' if place else ''}{one.name} = {text}", style)


def _heading(hunk: "Hunk") -> str:
    def side(sign: str, place: "Place | None") -> str:
        return "" if place is None else f" {sign}{'submit ' if place.job is None else 'job '}{place}"

    about = f" {hunk.title}" if hunk.differences and hunk.unit else ""
    return f"@@{side('-', hunk.old)}{side('+', hunk.new)} @@{about}"


def _write_json(recordings: "tuple[Recording, Recording]", found: "Diff") -> None:
    sys.stdout.write(json.dumps({"a": recordings[0].path, "b": recordings[1].path})[:-1] + ', "hunks": [')
    for number, hunk in enumerate(found.hunks()):
        sys.stdout.write(("," if number else "") + "\n" + json.dumps(_hunk_json(hunk)))
    rest = {"same": found.same, "padding_kernels_passed_over": found.padding_kernels}
    problems = [recording.problem for recording in recordings]
    sys.stdout.write(f"\n], {json.dumps(rest | {'problems': problems})[1:]}\n")


def _hunk_json(hunk: "Hunk") -> dict[str, Any]:
    places = {
        name: None if place is None else {"submit": place.submit, "job": place.job}
        for name, place in (("a", hunk.old), ("b", hunk.new))
    }
    differences = [
        {
            **{"place": one.place, "name": one.name, "core": one.core, "a": one.old_value, "b": one.new_value},
            **{"a_text": one.old, "b_text": one.new},
        }
        for one in hunk.differences
    ]
    return {**places, "unit": hunk.unit, "title": hunk.title, "differences": differences}
