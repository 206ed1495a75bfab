# SPDX-License-Identifier: MIT
"""``hornito plan``: which job of a model runs where, and what does it have to do?"""

import argparse
import dataclasses
import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hornito.cli import estimates
from hornito.cli.options import add_json, add_plan_options, counted, plan_options, print_json
from hornito.errors import BadInput

if TYPE_CHECKING:
    from hornito.compiler import Compiled, Crossing, Outlook, Plan, Row

HEADINGS = (
    "job",
    "seg",
    "unit",
    "op",
    "operation",
    "input",
    "output",
    "tile",
    "MACs",
    "coefficients",
    "of weights",
    "traffic",
    "piece",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="a .tflite file, or the name of a fetched model; with --estimate a recording, too",
    )
    add_plan_options(parser)
    estimates.add_estimate_options(parser)
    parser.add_argument(
        "--against", metavar="OTHER", help="compare the estimate with that of another plan level, chip or recording"
    )
    parser.add_argument(
        "--explain",
        metavar="JOB",
        help="what was considered for a job (its number in the plan) or an operator (Op#3), and what it would cost",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.compiler import crossings, estimate, make_plan, outlook, rows
    from hornito.hardware.chips import CoefficientFormat
    from hornito.model import find_model, read_model

    if options.explain is not None:
        return _explain(options)
    wanted = estimates.wants_estimate(options) or options.against is not None
    if not wanted and estimates.is_recording(options.model):
        raise BadInput(f"{options.model}: is a recording, not a model; 'hornito plan' can --estimate those")
    if wanted and estimates.is_recording(options.model):
        return _recording(options)
    graph = read_model(find_model(options.model))
    chosen = plan_options(options)
    board = estimates.calibration(options, chosen.chip)
    if board:
        chosen = dataclasses.replace(chosen, timing=board.timing)
    compiled = estimate(make_plan(graph, chosen))
    if wanted:
        made = [estimates.estimated(estimates.demand_of_plan(compiled), chosen.chip, board)]
        if options.against is not None:
            made.append(estimates.compared(options, graph, chosen))
        estimates.show(options, made, board)
        return 0
    found = rows(compiled)
    if options.json:
        print_json(_json(compiled, found))
        return 0
    ahead = outlook(compiled.plan)
    print(f"{graph.name} on {compiled.plan.options.chip.name}, plan level {compiled.plan.options.level.value}")
    if compiled.plan.options.chip.coefficient_format is CoefficientFormat.UNPROVEN:
        print("its coefficient format is unproven: coefficient bytes are an estimate, and nothing compiles for it")
    cells = [("" if number is None else str(number), *_cells(row)) for number, row in _numbered(found)]
    print(_table([HEADINGS, *cells]))
    print()
    for line in (*_totals(found), *_rewrites(compiled.plan), *_crossings(crossings(compiled))):
        print(line)
    reasons = [f"Op#{row.operator} {row.operation} on the CPU: {row.reason}" for row in found if row.unit == "cpu"]
    shared = {row.operator: row for row in found if row.off_by}
    reasons += [
        f"Op#{row.operator} {row.operation}: per-axis weights share jobs, off by at most {row.off_by} output steps"
        for row in shared.values()
    ]
    unproven = [row for row in found if row.unit != "cpu" and row.reason]
    if unproven:
        reasons.append(f"jobs unproven on silicon: {len(unproven)}")
    if ahead is not None:
        reasons.append(_ahead(ahead, found))
    if reasons:
        print()
    for line in reasons:
        print(line)
    return 0


def _explain(options: argparse.Namespace) -> int:
    from hornito.cli.explanation import lines
    from hornito.compiler import explain, make_plan
    from hornito.model import find_model, read_model

    others = {"--against": options.against, "--csv": options.csv, "--plot": options.plot}
    if given := [name for name, value in others.items() if value is not None]:
        raise BadInput(f"{given[0]}: has no meaning with --explain, which is about one job")
    if estimates.is_recording(options.model):
        raise BadInput(f"{options.model}: is a recording; --explain takes a model, of which nothing is decided yet")
    graph = read_model(find_model(options.model))
    chosen = plan_options(options)
    board = estimates.calibration(options, chosen.chip)
    if board:
        chosen = dataclasses.replace(chosen, timing=board.timing)
    found = explain(make_plan(graph, chosen), options.explain, board.timing if board else None)
    if options.json:
        print_json(found.as_json())
    else:
        print("\n".join(lines(found)))
    return 0


def _recording(options: argparse.Namespace) -> int:
    """An estimate of a file of submissions, whoever made them."""
    if options.against is not None and not estimates.is_recording(options.against):
        raise BadInput(f"--against {options.against!r}: a recording is compared with a recording (.npz, .trace)")
    made, boards = [], []
    for name in filter(None, (options.model, options.against)):
        chip = plan_options(options).chip if options.chip else estimates.chip_of_recording(name)
        boards.append(estimates.calibration(options, chip))
        made.append(estimates.estimated(estimates.demand_of_recording(name, chip), chip, boards[-1]))
    board = boards[0]
    estimates.show(options, made, board)
    return 0


def _numbered(found: Sequence["Row"]) -> list[tuple[int | None, "Row"]]:
    """The rows with the numbers of those that are jobs of the NPU, as ``--explain`` takes them."""
    numbers = itertools.count()
    return [(next(numbers) if row.unit.value in ("nn", "tp") else None, row) for row in found]


def _cells(row: "Row") -> tuple[str, ...]:
    work = row.work
    share = f"{100 * work.coefficient_bytes / row.weight_bytes:.0f} %" if row.weight_bytes else ""
    return (
        str(row.segment),
        row.unit.value.upper(),
        str(row.operator),
        row.operation,
        _shape(row.input),
        _shape(row.output),
        row.tile,
        f"{work.macs or row.real_macs:,}" if work.macs or row.real_macs else "",
        f"{work.coefficient_bytes:,}" if work.coefficient_bytes else "",
        share,
        f"{work.traffic:,}" if work.traffic else "",
        row.piece,
    )


def _shape(shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in shape)


def _table(lines: Sequence[Sequence[str]]) -> str:
    if not any(line[-1] for line in lines[1:]):
        lines = [line[:-1] for line in lines]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    left = {2, 4, HEADINGS.index("piece")}  # words; all else are numbers
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _sums(found: Sequence["Row"]) -> dict[str, Any]:
    units = {unit: sum(row.unit == unit for row in found) for unit in ("nn", "tp", "cpu")}
    real = sum(row.real_macs for row in found)
    on_cpu = sum(row.real_macs for row in found if row.unit == "cpu")
    return {
        "jobs": units,
        "macs_dispatched": sum(row.work.macs for row in found),
        "macs_real": real,
        "macs_on_cpu": on_cpu,
        "coefficient_bytes": sum(row.work.coefficient_bytes for row in found),
        "weight_bytes": sum(row.weight_bytes for row in found),
        "bytes_read": sum(row.work.read for row in found),
        "bytes_written": sum(row.work.written for row in found),
    }


def _totals(found: Sequence["Row"]) -> list[str]:
    sums = _sums(found)
    jobs = sums["jobs"]
    share = 100 * sums["macs_on_cpu"] / sums["macs_real"] if sums["macs_real"] else 0
    lines = [
        f"jobs: {jobs['nn']} NN, {jobs['tp']} TP; on the CPU: {jobs['cpu']}, with {share:.1f} % of the MACs",
        f"MACs: {sums['macs_real']:,} in the model, {sums['macs_dispatched']:,} as the NN unit is given them",
    ]
    if sums["weight_bytes"]:
        ratio = 100 * sums["coefficient_bytes"] / sums["weight_bytes"]
        lines.append(f"coefficients: {sums['coefficient_bytes']:,} bytes, {ratio:.0f} % of the weights' own")
    lines.append(f"traffic: {sums['bytes_read']:,} bytes read, {sums['bytes_written']:,} written")
    return lines


def _rewrites(plan: "Plan") -> list[str]:
    """A line for each reason for which jobs were changed about a segment as a whole."""
    counts: dict[tuple[str, str], int] = {}
    for one in plan.rewrites:
        key = one.technique.value, one.text
        counts[key] = counts.get(key, 0) + 1
    return [f"{technique}, {counted(count, 'time')}: {text}" for (technique, text), count in counts.items()]


def _crossings(found: Sequence["Crossing"]) -> list[str]:
    """A line for each tensor that crosses between NPU and CPU."""
    total = sum(one.bytes for one in found)
    lines = [f"crossings: {counted(len(found), 'tensor')}, {total:,} bytes copied"] if found else []
    for one in found:
        turned = f", {one.turned:,} bytes of traffic to change its layout" if one.turned else ""
        way = "to" if one.direction == "in" else "from"
        lines.append(f"  segment {one.segment}: T#{one.tensor} {one.name} {way} the NPU, {one.bytes:,} bytes{turned}")
    return lines


def _ahead(ahead: "Outlook", found: Sequence["Row"]) -> str:
    macs = sum(row.real_macs for row in found)
    share = f", {100 * ahead.macs_on_cpu / macs:.0f} % of the MACs" if macs else ""
    which = "it" if ahead.on_cpu == 1 else "them" if ahead.brought == ahead.on_cpu else f"{ahead.brought} of them"
    return f"CPU: {counted(ahead.on_cpu, 'operator')}{share}; --plan {ahead.level} would bring {which} to the NPU"


def _json(compiled: "Compiled", found: Sequence["Row"]) -> dict[str, Any]:
    from hornito.compiler import crossings, outlook

    options = compiled.plan.options
    ahead = outlook(compiled.plan)
    return {
        "model": compiled.plan.graph.name,
        "chip": options.chip.name,
        "level": options.level.value,
        "rows": [{"job": number, **row.as_json()} for number, row in _numbered(found)],
        "totals": _sums(found),
        "crossings": [one.as_json() for one in crossings(compiled)],
        "rewrites": [dataclasses.asdict(one) for one in compiled.plan.rewrites],
        "next_level": None if ahead is None else ahead.as_json(),
    }
