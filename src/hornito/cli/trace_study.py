# SPDX-License-Identifier: MIT
"""``hornito trace study``: which fields follow a parameter of a network, and how?"""

import argparse
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from hornito.cli.options import print_json
from hornito.cli.pager import paged, wants_colour
from hornito.cli.trace_options import add_output, write
from hornito.errors import BadInput

if TYPE_CHECKING:
    from hornito.trace.infer import Finding
    from hornito.trace.show import Shown
    from hornito.trace.study import Study

_SHOWN = 8  # values of a field without a relation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Parameters of the network, one convolution: size, inputs, outputs, kernel, stride, same, relu, depthwise, "
        "input_zero, weight_zero, output_zero, input_scale, weight_scale, output_scale."
    )
    parser.add_argument("study", metavar="PARAM=VALUES", help="1..16, 8..64/8 (in steps), or 1,2,4")
    parser.add_argument("fixed", metavar="PARAM=VALUE", nargs="*", help="what else the network shall be")
    parser.add_argument("--chip", metavar="NAME", help="for which chip (default: vipnano-qi)")
    parser.add_argument("--plan", metavar="LEVEL", default="proven", help="the compiler's plan level (proven)")
    parser.add_argument("--raw", action="store_true", help="by bits alone, as if no field had a name")
    add_output(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.hardware.chips import DEFAULT_CHIP, find_chip
    from hornito.trace.study import Layer, OwnCompiler, parse_values, study, with_value

    layer = Layer()
    for text in options.fixed:
        name, values = _split(text)
        (value, *more) = parse_values(values)
        if more:
            raise BadInput(f"{text!r}: one parameter is studied at a time; give {name} one value")
        layer = with_value(layer, name, value)
    name, values = _split(options.study)
    client = OwnCompiler(find_chip(options.chip or DEFAULT_CHIP), options.plan)
    found = study(client, name, parse_values(values), layer, options.raw)
    if options.json:
        print_json(_json(found))
        return 0
    with paged(not options.no_pager) as out:
        write(_lines(found), out, wants_colour(options.color))
    return 0


def _split(text: str) -> tuple[str, str]:
    name, equals, values = text.partition("=")
    if not equals:
        raise BadInput(f"{text!r} is no PARAM=VALUES, as in kernel=1..5")
    return name, values


def _lines(found: "Study") -> "Iterator[Shown]":
    from hornito.trace.show import Shown, Style

    for group in found.groups:
        jobs = ", ".join(unit if count == 1 else f"{unit} ({count} cores)" for unit, count in group.jobs)
        yield Shown(f"{found.parameter} = {_numbers(group.values)}: {jobs}", Style.HEADING)
        heading = ""
        for one in group.found:
            series = one.series
            core = "" if series.core is None else f", core {series.core}"
            if heading != (heading := f"  job {series.job}: {series.unit}{core}"):
                yield Shown(heading, Style.JOB)
            simple = bool(one.relation.coefficients)
            text = f"    {series.place:12} {series.name:32} {told(one, found.parameter)}"
            yield Shown(text, Style.PLAIN if simple else Style.NOTE)
        if not group.found:
            yield Shown("    nothing follows it" if len(group.values) > 1 else "    a single value tells nothing")
    for value, reason in found.refused:
        yield Shown(f"{found.parameter} = {_number(value)}: {reason}", Style.STRANGE)


def told(one: "Finding", name: str) -> str:
    """How it follows the parameter of that name, in words."""
    relation = one.relation
    if relation.coefficients:
        return f"= {relation.text(name)}   [{relation.confidence}: {relation.confirmed} values more than it takes]"
    values = [str(value) for value in one.series.values]
    shown = ", ".join(values[:_SHOWN]) + (", ..." if len(values) > _SHOWN else "")
    return f"{relation.text(name)}: {shown}"


def _numbers(values: tuple[Fraction, ...]) -> str:
    whole = all(value.denominator == 1 for value in values)
    if whole and len(values) > 2 and all(b - a == 1 for a, b in zip(values, values[1:], strict=False)):
        return f"{values[0]}..{values[-1]}"
    return ", ".join(map(_number, values))


def _number(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"{float(value):g}"


def _json(found: "Study") -> dict[str, Any]:
    return {
        "parameter": found.parameter,
        "groups": [
            {
                "values": [float(value) for value in group.values],
                "jobs": [{"unit": unit, "descriptors": count} for unit, count in group.jobs],
                "found": [
                    {
                        **{"job": one.series.job, "unit": one.series.unit, "core": one.series.core},
                        **{"place": one.series.place, "name": one.series.name, "values": list(one.series.values)},
                        **{"relation": one.relation.kind.value, "formula": one.relation.text(found.parameter)},
                        **{"coefficients": [float(part) for part in one.relation.coefficients]},
                        **{"confirmed": one.relation.confirmed, "confidence": one.relation.confidence},
                    }
                    for one in group.found
                ],
            }
            for group in found.groups
        ],
        "refused": [{"value": float(value), "reason": reason} for value, reason in found.refused],
    }
