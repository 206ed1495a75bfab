# SPDX-License-Identifier: MIT
"""``hornito trace diff --infer``: which fields follow the number in which two or more models differ?"""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hornito.cli.options import print_json
from hornito.cli.pager import paged, wants_colour
from hornito.cli.trace_options import check_chip, warn, write
from hornito.cli.trace_study import relation_json, series_json, told
from hornito.errors import BadInput

if TYPE_CHECKING:
    from hornito.trace.relations import Finding
    from hornito.trace.show import Shown


def run(options: argparse.Namespace) -> int:
    """0 if nothing follows any number, 1 if something does."""
    from hornito.model import find_model, read_model
    from hornito.trace.infer import guess
    from hornito.trace.load import load
    from hornito.trace.parameters import differing
    from hornito.trace.relations import Finding
    from hornito.trace.study import compare
    from hornito.trace.tracks import raw_series, series, tracks, views_of

    files = [options.old, *options.new]
    if len(files) != len(options.infer):
        raise BadInput(f"{len(files)} recordings and {len(options.infer)} models; --infer takes a model for each")
    changed = differing([read_model(find_model(model)) for model in options.infer])
    chip = check_chip(options.chip)
    recordings = [load(path) for path in files]
    sides = [views_of(recording, chip) for recording in recordings]
    for recording, side in zip(recordings, sides, strict=True):
        warn(recording)
        if not side:
            raise BadInput(f"{recording.path}: starts no job")
    results: dict[tuple[str, ...], list[Finding]] = {}
    for names, values in changed.items():
        found = tracks(sides, sorted(range(len(values)), key=values.__getitem__))
        rows = list(raw_series(found, values) if options.raw else series(found, len(sides)))
        findings, _ = compare(rows, [(value,) for value in values], len(values))
        results[names] = [
            Finding(one.series, (guess(values, one.series.values) if one.series.is_number else None) or one.relation)
            for one in findings
        ]
    if options.json:
        print_json([_json(names, found) for names, found in results.items()])
    else:
        with paged(not options.no_pager) as out:
            write(_lines(results), out, wants_colour(options.color))
    return int(any(results.values()))


def _lines(results: "dict[tuple[str, ...], list[Finding]]") -> "Iterator[Shown]":
    from hornito.trace.show import Shown, Style

    for names, found in results.items():
        more = f" (and with it {', '.join(names[1:])})" if names[1:] else ""
        yield Shown(f"p = {names[0]}{more}", Style.HEADING)
        for one in found:
            core = "" if one.series.core is None else f" core {one.series.core}"
            style = Style.PLAIN if one.relation.is_claimed else Style.NOTE
            where = f"job {one.series.job} {one.series.unit}{core}"
            there = sum(value is not None for value in one.series.values)
            few = f" (in {there} of {len(one.series.values)} recordings)" if there < len(one.series.values) else ""
            yield Shown(f"  {where:16} {one.series.place:12} {one.series.name:32} {told(one, 'p')}{few}", style)
        if not found:
            yield Shown("  nothing follows it")


def _json(names: tuple[str, ...], found: "list[Finding]") -> dict[str, Any]:
    rows = [series_json(one.series) | relation_json(one.relation, "p") for one in found]
    return {"parameters": list(names), "found": rows}
