# SPDX-License-Identifier: MIT
"""``hornito trace study``: which fields follow a parameter of a network, and how?"""

import argparse
import shlex
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hornito import __version__
from hornito.cli.options import LEVEL, counted, print_json, remark
from hornito.cli.pager import paged, wants_colour
from hornito.cli.progress import preparation
from hornito.cli.trace_options import add_output, write
from hornito.errors import BadInput, Unsupported

if TYPE_CHECKING:
    from hornito.trace.clients import Client
    from hornito.trace.relations import Finding, Relation, Series
    from hornito.trace.show import Shown
    from hornito.trace.study import Question, Study

_SHOWN = 8  # values of a field without a relation
_MOST_LISTED = 16  # values of a parameter in one line
_NEAR = 4 / 3  # a field is nearly full if it holds no more than so many times what was seen there
Pair = tuple[Fraction, ...]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Parameters of the network, one convolution: size, inputs, outputs, kernel, stride, same, relu, depthwise, "
        "input_zero, weight_zero, output_zero, input_scale, weight_scale, output_scale. Those with several values are "
        "studied, one or two of them; the others have the value that is given. Options stand before or behind them all."
    )
    parser.add_argument(
        "study", metavar="PARAM=VALUES", nargs="+", help="1..16, 8..64/8 (in steps), 1,2,4; or one value, to have that"
    )
    parser.add_argument("--chip", metavar="NAME", help="which chip the virtual NPU is (default: vipnano-qi)")
    parser.add_argument(
        "--client",
        metavar="COMMAND",
        type=shlex.split,
        help="whose submissions to study: a command that runs the model {model} on the render node, e.g. by Mesa's "
        "delegate (default: Hornito's own driver)",
    )
    parser.add_argument(
        "--timeout", metavar="SECONDS", type=_seconds, help="how long the client may take for a model (300)"
    )
    parser.add_argument("--plan", metavar="LEVEL", help="the plan level of Hornito's own compiler (proven)")
    parser.add_argument("--no-checks", action="store_true", help="try no other values than those that are named")
    parser.add_argument("--keep", metavar="FOLDER", type=Path, help="keep models and recordings in a folder")
    parser.add_argument("--raw", action="store_true", help="by bits alone, as if no field had a name")
    add_output(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.trace.study import study

    question = _question(options)
    asked, more = len(question.asked()), len(question.checks())
    client = _client(options)
    if options.client:
        remark(f"running the client on {counted(asked, 'model')}" + (f", and on {more} to check" if more else ""))
    found = study(client, question, options.keep)
    if not found.asked:
        pair, reason = found.refused[0]
        raise Unsupported(f"no model was taken; {_pair(found.names, pair)}: {reason}")
    if options.json:
        print_json(_json(found))
        return 0
    with paged(not options.no_pager) as out:
        write(_lines(found), out, wants_colour(options.color))
    return 0


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0 < found < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return found


def _question(options: argparse.Namespace) -> "Question":
    from hornito.trace.layer import Layer, parse_values, with_value
    from hornito.trace.study import Question

    layer, studied = Layer(), {}
    seen = set()
    for text in options.study:
        name, equals, values = text.partition("=")
        if not equals:
            raise BadInput(f"{text!r} is no PARAM=VALUES, as in kernel=1..5")
        if name in seen:
            raise BadInput(f"{name} is given twice")
        seen.add(name)
        numbers = parse_values(values)
        layer = with_value(layer, name, numbers[0])
        if len(numbers) > 1:
            studied[name] = numbers
    if not studied:
        raise BadInput("no parameter has several values; study one, as in size=8..32")
    return Question(studied, layer, not options.no_checks, options.raw)


def _client(options: argparse.Namespace) -> "Client":
    from hornito.hardware.chips import DEFAULT_CHIP, find_chip
    from hornito.trace.clients import SECONDS, Command, OwnDriver
    from hornito.trace.each_model import PLACE

    chip = find_chip(options.chip or DEFAULT_CHIP)
    if options.client is None:
        if options.timeout is not None:
            raise BadInput("--timeout goes with --client: Hornito's own driver needs none")
        return OwnDriver(chip, options.plan or LEVEL, preparation())
    if not options.client:
        raise BadInput("--client '': no command")
    if not any(PLACE in argument for argument in options.client):
        raise BadInput(f"--client: the command has no {PLACE}; write that where it takes the model's path")
    if options.plan is not None:
        raise BadInput("--plan goes with Hornito's own compiler; --client has a mind of its own")
    return Command(options.client, chip, options.timeout or SECONDS, f"hornito {__version__}")


def _lines(found: "Study") -> "Iterator[Shown]":
    from hornito.trace.show import Shown, Style

    for text in _titles(found):
        yield Shown(text, Style.HEADING)
    job = None
    for one in found.found:
        if job != (job := (one.series.job, one.series.core)):
            yield Shown(_job(found, one.series), Style.JOB)
        simple = one.relation.is_claimed
        text = f"    {one.series.place:12} {one.series.name:32} {_told(found, one)}"
        yield Shown(text, Style.PLAIN if simple else Style.NOTE)
    if not found.found:
        yield Shown("    nothing follows it" if found.asked > 1 else "    a single value tells nothing")
    if found.beyond:
        fields = ", ".join(dict.fromkeys(f"{one.unit} {one.name or one.place}" for one in found.beyond))
        yield Shown(f"  beyond the values asked for, these change too: {fields}", Style.NOTE)
    for pair, reason in found.refused:
        yield Shown(f"{_pair(found.names, pair)}: {reason}", Style.STRANGE)


def _titles(found: "Study") -> Iterator[str]:
    """What was asked, which jobs there are, and which other values were tried."""

    def listed(values: Sequence[Pair]) -> str:
        if len(found.names) == 1:
            return f"{found.names[0]} = {numbers([value for (value,) in values])}"
        sides = (sorted({pair[axis] for pair in values}) for axis in range(len(found.names)))
        return ", ".join(f"{name} = {numbers(side)}" for name, side in zip(found.names, sides, strict=True))

    asked, checks = found.values[: found.asked], found.values[found.asked :]
    jobs = (job.unit if job.cores < 2 else f"{job.unit} ({job.cores} cores)" for job in found.jobs)
    yield f"{listed(asked)}: {', '.join(jobs)}"
    if checks:
        yield f"checked at {listed(checks).removeprefix(f'{found.names[0]} = ')}"


def _job(found: "Study", series: "Series") -> str:
    job = found.jobs[series.job]
    core = f", core {series.core}" if series.core is not None and job.cores > 1 else ""
    missing = [pair for pair in found.values if pair not in job.values]
    few = job.values if len(job.values) < len(missing) else missing
    where = ""
    if missing:
        pairs = "; ".join(_pair(found.names, pair) for pair in few[:3]) + ("; ..." if len(few) > 3 else "")
        where = f", at {pairs} alone" if few is job.values else f", not at {pairs}"
    return f"  job {job.number}: {job.unit}{core}{where}"


def _told(found: "Study", one: "Finding") -> str:
    """How it follows the parameters, and how sure that is."""
    relation, values = one.relation, one.series.values
    if not relation.is_claimed:
        return depends(one, *found.names)
    asked = sum(value is not None for value in values[: found.asked])
    checks = sum(value is not None for value in values[found.asked :])
    tried = f"at {counted(asked, 'value')}"
    tried += f" and {counted(checks, 'check')}" if checks else " and no other"
    most = (1 << one.series.width) - 1
    largest = max(value for value in values if value is not None)
    full = f"; the field ends at {most}" if relation.width is None and largest <= most < largest * _NEAR else ""
    return f"= {relation.text(*found.names)}   [{confidence(relation, bool(checks))}: {tried}{full}]"


def confidence(relation: "Relation", checked: bool) -> str:
    """In a word: what nothing but the values asked for speaks for is no more than fair."""
    word = relation.confidence
    return "fair" if word == "strong" and not checked else word


def told(one: "Finding", *names: str) -> str:
    """How it follows parameters of those names, in words, and what confirms that."""
    relation = one.relation
    if relation.is_claimed:
        more = counted(relation.confirmed, "value")
        return f"= {relation.text(*names)}   [{relation.confidence}: {more} more than it takes]"
    return depends(one, *names)


def depends(one: "Finding", *names: str) -> str:
    """That it depends, on what is not known, with its first values, and what these may be taken for."""
    values = [str(value) for value in one.series.values if value is not None]
    text = f"{one.relation.text(*names)}: {', '.join(values[:_SHOWN])}{', ...' if len(values) > _SHOWN else ''}"
    fit = one.relation.fit
    if fit is None:
        return text
    text += f"; {fit.relation.text(*names)} fits"
    return text if fit.breaks is None else f"{text}, but not at {_pair(names[-len(fit.breaks) :], fit.breaks)}"


def _pair(names: Sequence[str], pair: Pair) -> str:
    return ", ".join(f"{name} = {_number(value)}" for name, value in zip(names, pair, strict=True))


def numbers(values: Sequence[Fraction]) -> str:
    """Values of a parameter, in one line."""
    whole = all(value.denominator == 1 for value in values)
    if whole and len(values) > 2 and all(b - a == 1 for a, b in zip(values, values[1:], strict=False)):
        return f"{values[0]}..{values[-1]}"
    # As few digits as tell them apart.
    texts = [_number(value) for value in values]
    for digits in range(4, 9):
        short = [_number(value, digits) for value in values]
        if len(set(short)) == len(set(texts)):
            texts = short
            break
    if len(texts) > _MOST_LISTED:
        return f"{', '.join(texts[:3])}, ... {texts[-1]}"
    return ", ".join(texts)


def _number(value: Fraction, digits: int = 9) -> str:
    return str(value) if value.denominator == 1 else f"{float(value):.{digits}g}"


def series_json(one: "Series") -> dict[str, Any]:
    """A field and its values, for programs."""
    return {
        **{"job": one.job, "unit": one.unit, "core": one.core, "place": one.place, "name": one.name},
        **{"width": one.width, "values": list(one.values)},
    }


def relation_json(relation: "Relation", *names: str) -> dict[str, Any]:
    """How a field follows parameters of those names, for programs."""
    fit = relation.fit
    return {
        **{"relation": relation.kind.value, "formula": relation.text(*names), "confirmed": relation.confirmed},
        **{"coefficients": [float(part) for part in relation.coefficients], "confidence": relation.confidence},
        "fits": None if fit is None else fit.relation.text(*names),
        "breaks": None if fit is None or fit.breaks is None else [float(value) for value in fit.breaks],
    }


def _json(found: "Study") -> dict[str, Any]:
    def pair(values: Pair) -> list[float]:
        return [float(value) for value in values]

    rows = []
    for one in found.found:
        checked = any(value is not None for value in one.series.values[found.asked :])
        relation = relation_json(one.relation, *found.names)
        rows.append(series_json(one.series) | relation | {"confidence": confidence(one.relation, checked)})
    return {
        "parameters": list(found.names),
        "values": [pair(values) for values in found.values],
        "asked": found.asked,
        "jobs": [
            {"job": job.number, "unit": job.unit, "cores": job.cores, "values": [pair(one) for one in job.values]}
            for job in found.jobs
        ],
        "found": rows,
        "beyond": [series_json(one) for one in found.beyond],
        "refused": [{"value": pair(one), "reason": reason} for one, reason in found.refused],
    }
