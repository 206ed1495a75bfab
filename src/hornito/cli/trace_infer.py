# SPDX-License-Identifier: MIT
"""``hornito trace diff --infer``: which fields follow the number in which two or more models differ?"""

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hornito.cli.options import print_json
from hornito.cli.pager import paged, wants_colour
from hornito.cli.trace_options import check_chip, warn, write
from hornito.cli.trace_study import told
from hornito.errors import BadInput

if TYPE_CHECKING:
    from hornito.trace.infer import Finding
    from hornito.trace.show import Shown


def run(options: argparse.Namespace) -> int:
    """0 if nothing follows any number, 1 if something does."""
    from hornito.model import find_model, read_model
    from hornito.trace.infer import Finding, findings, guess
    from hornito.trace.load import load
    from hornito.trace.parameters import differing
    from hornito.trace.study import raw_findings, series_of
    from hornito.trace.view import view

    files = [options.old, *options.new]
    if len(files) != len(options.infer):
        raise BadInput(f"{len(files)} recordings and {len(options.infer)} models; --infer takes a model for each")
    changed = differing([read_model(find_model(model)) for model in options.infer])
    chip = check_chip(options.chip)
    recordings = [load(path) for path in files]
    sides = [[view(recording, submit, chip) for submit in recording.submits()] for recording in recordings]
    shapes = {tuple((job.unit, len(job.descriptors)) for seen in side for job in seen.jobs) for side in sides}
    for recording in recordings:
        warn(recording)
    if len(shapes) > 1:
        raise BadInput("the recordings do not start the same jobs; 'hornito trace diff A B' shows where they part")
    results: dict[tuple[str, ...], list[Finding]] = {}
    for names, values in changed.items():
        found = list(raw_findings(values, sides)) if options.raw else findings(values, list(series_of(sides)))
        results[names] = [Finding(one.series, guess(values, one.series.values) or one.relation) for one in found]
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
            series = one.series
            core = "" if series.core is None else f" core {series.core}"
            style = Style.PLAIN if one.relation.coefficients else Style.NOTE
            where = f"job {series.job} {series.unit}{core}"
            yield Shown(f"  {where:16} {series.place:12} {series.name:32} {told(one, 'p')}", style)
        if not found:
            yield Shown("  nothing follows it")


def _json(names: tuple[str, ...], found: "list[Finding]") -> dict[str, Any]:
    rows = [
        {
            **{"job": one.series.job, "unit": one.series.unit, "core": one.series.core, "place": one.series.place},
            **{"name": one.series.name, "values": list(one.series.values), "relation": one.relation.kind.value},
            **{"coefficients": [float(part) for part in one.relation.coefficients]},
            **{"formula": one.relation.text("p"), "confidence": one.relation.confidence},
        }
        for one in found
    ]
    return {"parameters": list(names), "found": rows}
