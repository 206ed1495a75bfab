# SPDX-License-Identifier: MIT
"""How do ``plan`` and ``benchmark`` show what the cost model says? Options, tables, CSV, comparisons."""

import argparse
import csv
import io
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hornito.cli.options import file_name, print_json, remark
from hornito.errors import BadInput

if TYPE_CHECKING:
    from hornito.compiler import Compiled
    from hornito.cost import Calibration, Demand, Estimate
    from hornito.hardware.chips import Chip

PLOTS = (".svg", ".png")
_RECORDINGS = (".npz", ".trace")
_HEADINGS = ("unit", "operator", "job", "tile", "sb", "zrl", "caching", "MACs", "util", "bytes", "ms", "range", "bound")
_WORDS = frozenset({"unit", "operator", "job", "caching", "bound"})


def add_estimate_options(parser: argparse.ArgumentParser) -> None:
    """``--estimate`` and what goes with it."""
    parser.add_argument("--estimate", action="store_true", help="how long it would take on the chip, by the cost model")
    parser.add_argument(
        "--calibrate", metavar="REPORT.zip", help="estimate by the speed of the board of this report ('hornito doctor')"
    )
    parser.add_argument("--csv", metavar="FILE", type=file_name, help="write the estimate of each job to this file")
    parser.add_argument(
        "--plot", metavar="FILE", type=file_name, help="draw a roofline and a timeline (.svg, .png; needs matplotlib)"
    )


def wants_estimate(options: argparse.Namespace) -> bool:
    """Each of the options asks for one. Raises BadInput for a plot of no known kind, Unsupported for one that nothing
    here can draw."""
    if options.plot and not options.plot.lower().endswith(PLOTS):
        raise BadInput(f"--plot {options.plot}: can draw {' and '.join(PLOTS)} only")
    if options.plot:
        from hornito.cli.estimate_plots import require_matplotlib

        require_matplotlib()
    return bool(options.estimate or options.calibrate or options.csv or options.plot)


def is_recording(name: str) -> bool:
    """Is it a file of submissions, not a model?"""
    return name.lower().endswith(_RECORDINGS)


def calibration(options: argparse.Namespace, chip: "Chip") -> "Calibration | None":
    """What the report of ``--calibrate`` says; None without one. Raises BadInput, also for one of another chip."""
    if options.calibrate is None:
        return None
    from hornito.doctor import read_report

    report = read_report(options.calibrate)
    if report.patient.chip != chip.name:
        raise BadInput(f"{options.calibrate}: is the report of a {report.patient.chip}; the estimate is of {chip.name}")
    return report.calibration(options.calibrate)


def estimated(demand: "Demand", chip: "Chip", found: "Calibration | None") -> "Estimate":
    """By a board's figures if there are any."""
    from hornito.cost import estimate

    return estimate(demand, chip, found.timing if found else None)


def demand_of_plan(compiled: "Compiled") -> "Demand":
    from hornito.compiler import demand

    return demand(compiled)


def chip_of_recording(path: str) -> "Chip":
    """The chip that a recording says it is for, or the usual one. Raises BadInput."""
    from hornito.hardware.chips import CHIPS, DEFAULT_CHIP, find_chip
    from hornito.trace.load import load

    name = load(path).header.chip
    return next((chip for chip in CHIPS if chip.name == name), None) or find_chip(DEFAULT_CHIP)


def demand_of_recording(path: str, chip: "Chip") -> "Demand":
    """What the submissions of a file want. Raises BadInput."""
    from hornito.cost import demand_of
    from hornito.errors import BadStream
    from hornito.trace.load import load
    from hornito.trace.submissions import to_submission

    recording = load(path)
    title = f"{os.path.basename(path)}, {chip.name}, recorded"
    try:
        found = demand_of([to_submission(recording, submit) for submit in recording.submits()], chip, title)
    except BadStream as error:
        raise BadInput(f"{path}: {error}") from error
    if not found.items:
        raise BadInput(f"{path}: starts no job; nothing to estimate")
    return found


def table(estimate: "Estimate") -> str:
    """A line for each item."""
    lines = [_HEADINGS, *(_cells(cost) for cost in estimate.costs)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if name in _WORDS else cell.rjust(width)
            for name, cell, width in zip(_HEADINGS, line, widths, strict=True)
        ).rstrip()
        for line in lines
    )


def _cells(cost: Any) -> tuple[str, ...]:
    item, choices = cost.item, cost.item.choices
    moved = item.work.traffic or item.bytes
    zrl = "" if choices.zrl_bits is None else str(choices.zrl_bits)
    caching = f"k {choices.kernel_caching}, i {choices.image_caching}" if choices.kernel_caching else ""
    return (
        item.target.value,
        item.operator,
        item.name,
        choices.tile,
        str(choices.superblocks or ""),
        zrl,
        caching,
        f"{item.work.macs or item.real_macs:,}" if item.work.macs or item.real_macs else "",
        f"{100 * cost.utilisation:.0f} %" if item.work.macs else "",
        f"{moved:,}" if moved else "",
        f"{1e3 * cost.time.seconds:.3f}",
        f"{1e3 * cost.time.low:.3f} .. {1e3 * cost.time.high:.3f}",
        cost.bound.value,
    )


def summary(estimate: "Estimate", found: "Calibration | None") -> list[str]:
    """The totals, what they rest on, and what they hang on."""
    work, total = estimate.work, estimate.total
    real = sum(cost.item.real_macs for cost in estimate.costs)
    memory = ", ".join(f"{kind} {size:,}" for kind, size in sorted(estimate.demand.memory.items()))
    lines = [
        f"time: {total.text()}; {_shares(estimate.by_target, total.seconds)}",
        f"bound: {_shares(estimate.by_bound, total.seconds)}",
        f"MACs: {f'{real:,} in the model, ' if real else ''}{work.macs:,} as the NN unit is given them; utilisation of "
        f"its highest rate {100 * estimate.utilisation:.0f} % while the NPU works",
        f"memory bus: {work.read:,} bytes read ({work.coefficient_reads:,} of coefficients, which have "
        f"{work.coefficient_bytes:,}), {work.written:,} written; {work.cached:,} from on-chip SRAM instead",
        f"peak memory: {estimate.peak_memory:,} bytes{f' ({memory})' if memory else ''}",
        *_tensors(estimate),
        "energy: no source says what these chips draw, so none is estimated",
    ]
    if estimate.demand.estimated:
        lines.append("the chip's coefficient format is unproven: coefficient bytes are an estimate")
    lines.append(found.text() if found else f"figures: {_basis(estimate)}")
    moves = sorted(estimate.sensitivity().items(), key=lambda pair: -abs(pair[1][0] - pair[1][1]))
    for name, (low, high) in (move for move in moves[:3] if abs(move[1][0] - move[1][1]) > 0.001 * total.seconds):
        lines.append(f"  with {name} 30 % lower {1e3 * low:.2f} ms, 30 % higher {1e3 * high:.2f} ms")
    return lines


def _tensors(estimate: "Estimate") -> list[str]:
    """What becomes of the tensors' memory, and what on-chip memory would do for them."""
    lines, tensors, total = [], estimate.demand.tensors, estimate.on_chip
    if tensors is not None:
        lines.append(
            f"tensors: {tensors.placed:,} bytes; each in memory of its own {tensors.apart:,}, the most that live at "
            f"one time {tensors.least:,}"
        )
    if total is not None:
        lines.append(
            f"with tensors kept in AXI SRAM ({estimate.chip.axi_sram:,} bytes) from job to job: {total.text()}; "
            "not done, as no value but 0 is known for GL_OCB_REMAP_START, GL_OCB_REMAP_END and GL_SRAM_REMAP_ADDRESS"
        )
    return lines


def _basis(estimate: "Estimate") -> str:
    return f"published and fitted ones, docs/performance.md; {estimate.timing.model.source}"


def _shares(parts: dict[Any, float], total: float) -> str:
    ordered = sorted(parts.items(), key=lambda pair: -pair[1])
    return ", ".join(
        f"{name.value} {1e3 * seconds:.2f} ms ({100 * seconds / total:.0f} %)" for name, seconds in ordered if seconds
    )


def write_csv(path: str, estimates: Sequence["Estimate"]) -> None:
    """A line for each item; of several estimates, with a column that says which."""
    from hornito.cost import columns
    from hornito.files import atomic_writer

    text = io.StringIO()
    rows = [{"plan": one.demand.title, **row} for one in estimates for row in columns(one)]
    writer = csv.DictWriter(text, list(rows[0]) if rows else ["plan"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()} for row in rows
    )
    with atomic_writer(path) as stream:
        stream.write(text.getvalue().encode())


def comparison(first: "Estimate", second: "Estimate") -> list[str]:
    """What differs between two estimates: totals, and the operators, or for recordings the jobs in order."""
    from hornito.cost import comparable, difference

    found = comparable(first, second)
    one, other = found.one, found.other
    left, right = _sums(one), _sums(other)
    lines = [f"A: {one.demand.title}", f"B: {other.demand.title}"]
    if found.left_out:
        plan, steps = ("B" if first.demand.recorded else "A"), " and ".join(found.left_out)
        lines.append(f"a recording has no step of the CPU's: {plan} is compared without its {steps} steps")
    rows = [("", "A", "B", "B / A")]
    for name, value in left.items():
        ratio = f"{right[name] / value:.2f}" if value else ""
        rows.append((name, _number(value), _number(right[name]), ratio))
    own, theirs = _by_key(one, other)
    changed = [
        (key, own.get(key, 0.0), theirs.get(key, 0.0))
        for key in dict.fromkeys([*own, *theirs])
        if abs(own.get(key, 0.0) - theirs.get(key, 0.0)) > 0.5e-6
    ]
    changed.sort(key=lambda entry: -abs(entry[2] - entry[1]))
    lines += _aligned(rows)
    lines.append(f"A {one.total.text()}, B {other.total.text()}")
    lines.append(difference(one, other).text("A", "B"))
    if changed:
        lines.append("what differs most, ms:")
        lines += _aligned(
            [(f"  {key}", f"{1e3 * a:.3f}", f"{1e3 * b:.3f}", f"{1e3 * (b - a):+.3f}") for key, a, b in changed[:20]]
        )
    return lines


def _comparison_as_json(first: "Estimate", second: "Estimate") -> dict[str, Any]:
    """The other estimate, and what differs in what both have."""
    from hornito.cost import as_json, comparable, difference

    both = comparable(first, second)
    compared = {
        "left_out": [target.value for target in both.left_out],
        "total": both.one.total.as_json(),
        "against_total": both.other.total.as_json(),
        "against_minus_this": difference(both.one, both.other).as_json(),
    }
    return {"against": as_json(second), "comparison": compared}


def _sums(one: "Estimate") -> dict[str, float]:
    work = one.work
    return {
        "ms": 1e3 * one.total.seconds,
        "NPU ms": 1e3 * one.npu_seconds,
        "jobs": sum(cost.item.target.value in ("NN", "TP") for cost in one.costs),
        "MACs dispatched": work.macs,
        "coefficient bytes": work.coefficient_bytes,
        "bytes read": work.read,
        "bytes written": work.written,
        "peak memory": one.peak_memory,
    }


def _by_key(one: "Estimate", other: "Estimate") -> tuple[dict[str, float], dict[str, float]]:
    """Seconds by operator; where only one of the two knows operators, by unit and number."""
    named = [any(cost.item.operator.startswith("Op#") for cost in each.costs) for each in (one, other)]
    found = []
    for each in (one, other):
        times: dict[str, float] = {}
        counts: dict[str, int] = {}
        for cost in each.costs:
            target = cost.item.target.value
            if not all(named) and target not in ("NN", "TP"):
                continue
            number = counts[target] = counts.get(target, -1) + 1
            key = cost.item.operator if all(named) else f"{target} job {number}"
            times[key] = times.get(key, 0.0) + cost.time.seconds
        found.append(times)
    return found[0], found[1]


def _number(value: float) -> str:
    return f"{value:,.3f}" if isinstance(value, float) else f"{value:,}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def compared(options: argparse.Namespace, graph: Any, plan_options: Any) -> "Estimate":
    """The estimate of what ``--against`` names: a plan level, a chip, or a recording. Raises BadInput."""
    import dataclasses

    from hornito.compiler import Level, find_level, make_plan
    from hornito.compiler import estimate as encode
    from hornito.hardware.chips import ALIASES, CHIPS, find_chip

    name, chip = options.against, plan_options.chip
    if is_recording(name):
        return estimated(demand_of_recording(name, chip), chip, calibration(options, chip))
    if name in set(Level):
        other = dataclasses.replace(plan_options, level=find_level(name))
    elif name.lower() in {*ALIASES, *(known.name for known in CHIPS)}:
        other = dataclasses.replace(plan_options, chip=find_chip(name))
        if options.calibrate and other.chip != chip:
            raise BadInput(f"--calibrate holds for one chip; leave it out to compare with {other.chip.name}")
    else:
        known = f"plan level ({', '.join(Level)}), a chip ({', '.join([*ALIASES, *(known.name for known in CHIPS)])})"
        raise BadInput(f"--against {name!r}: is not a {known} or a recording (.npz, .trace)")
    demand = demand_of_plan(encode(make_plan(graph, other)))
    return estimated(demand, other.chip, calibration(options, other.chip))


def show(options: argparse.Namespace, found: Sequence["Estimate"], own: "Calibration | None") -> None:
    """Print estimates, one or two of which the first is the one asked for, and write the files that were asked for."""
    from hornito.cost import as_json

    first = found[0]
    write_files(options, found)  # first: where that fails, nothing else is said
    if options.json:
        print_json(as_json(first) | (_comparison_as_json(*found) if len(found) > 1 else {}))
    else:
        print(f"{first.demand.title}, estimated")
        print(table(first))
        print()
        print("\n".join(summary(first, own)))
        if len(found) > 1:
            print()
            print("\n".join(comparison(*found)))


def write_files(options: argparse.Namespace, found: Sequence["Estimate"]) -> None:
    """What ``--csv`` and ``--plot`` ask for."""
    if options.csv:
        write_csv(options.csv, found)
        remark(f"{options.csv}: {sum(len(one.costs) for one in found)} lines")
    if options.plot:
        from hornito.cli.estimate_plots import draw

        draw(options.plot, found)
        remark(f"{options.plot}: roofline and timeline")
