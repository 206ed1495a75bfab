# SPDX-License-Identifier: MIT
"""What would plan level fast bring on silicon, and each of its techniques by itself? Prints docs/performance.md's part.

``python tools/fast_table.py MODEL...`` (.tflite files) prints Markdown, by the cost model alone.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

from hornito import compiler, cost
from hornito.compiler import Level, Options, Technique
from hornito.hardware.chips import Chip, find_chip
from hornito.hardware.published import MOBILEDET, MOBILENET_V1
from hornito.hardware.timing import Timing, timing_of
from hornito.model import Graph, read_model

CHIPS = ("a311d", "imx8mp")
NAMES = {MOBILENET_V1: "MobileNetV1", MOBILEDET: "MobileDet", "yolox": "YOLOX"}
MOVED = 0.3  # by how much figures are moved
UNMOVED = frozenset({"model", "clock"})  # the clock is published


def estimated(graph: Graph, options: Options, timing: Timing | None = None) -> cost.Estimate:
    """By the figures known of the chip, or by others; the plan goes by those of the options."""
    demand = compiler.demand(compiler.estimate(compiler.make_plan(graph, options)))
    return cost.estimate(demand, options.chip, timing)


class Network:
    """One network on one chip, planned in several ways."""

    def __init__(self, graph: Graph, chip: Chip) -> None:
        self.graph, self.chip = graph, chip
        network = NAMES.get(Path(graph.name).stem, Path(graph.name).stem)
        self.name = f"{network}, {chip.soc.split(' (')[0].split(' ', 1)[1]}"
        self.proven, self.wide, self.fast = (self.at(Options(chip, level)) for level in Level)

    def at(self, options: Options) -> cost.Estimate:
        return estimated(self.graph, options)

    def without(self, techniques: Iterable[Technique]) -> cost.Estimate:
        return self.at(Options(self.chip, Level.FAST, without=frozenset(techniques)))


def _ms(time: cost.Range, sign: str = "") -> str:
    return f"{1e3 * time.seconds:{sign}.1f} ({1e3 * time.low:{sign}.1f} .. {1e3 * time.high:{sign}.1f})"


def _jobs(one: cost.Estimate) -> int:
    return sum(each.item.target in (cost.Target.NN, cost.Target.TP) for each in one.costs)


def levels(networks: list[Network]) -> list[str]:
    """Each plan level's time, traffic and memory."""
    lines = ["| network, chip | plan | ms (range) | NPU ms | MB over the bus | peak MB | jobs | faster than proven |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for network in networks:
        for name, one in (("proven", network.proven), ("wide", network.wide), ("fast", network.fast)):
            cells = (
                network.name if name == "proven" else "",
                name,
                _ms(one.total),
                f"{1e3 * one.npu_seconds:.1f}",
                f"{one.work.traffic / 1e6:.1f}",
                f"{one.peak_memory / 1e6:.1f}",
                str(_jobs(one)),
                f"{network.proven.total.seconds / one.total.seconds:.2f} x",
            )
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def techniques(networks: list[Network]) -> list[str]:
    """What each saves alone, and what is lost without it alone: milliseconds, megabytes over the bus."""
    lines = [f"| technique | {' | '.join(network.name for network in networks)} |"]
    lines.append("| --- |" + " --- |" * len(networks))
    plain = {network.name: network.without(Technique) for network in networks}
    for technique in Technique:
        cells = []
        for network in networks:
            pairs = (
                (plain[network.name], network.without(set(Technique) - {technique})),
                (network.without({technique}), network.fast),
            )
            cells.append(" / ".join(_saved(*pair) for pair in pairs))
        lines.append(f"| `{technique}` | {' | '.join(cells)} |")
    return lines


def _saved(one: cost.Estimate, other: cost.Estimate) -> str:
    time, traffic = one.total.seconds - other.total.seconds, one.work.traffic - other.work.traffic
    text = f"{1e3 * time:.2f} ms {traffic / 1e6:.1f} MB"
    return "-" if text.replace("-", "") == "0.00 ms 0.0 MB" else text


def sensitivity(networks: list[Network]) -> list[str]:
    """Whether fast stays faster, and how good its choices remain, where a figure is another."""
    lines = [
        "| network, chip | fast - proven, ms (range) | order turned by | choices made for other figures would save |"
    ]
    lines.append("| --- | --- | --- | --- |")
    for network in networks:
        gap = cost.difference(network.proven, network.fast)
        regrets = {}
        figures = timing_of(network.chip)
        for name in figures.figures():
            for factor in (1 - MOVED, 1 + MOVED):
                if name in UNMOVED:
                    continue
                moved = figures.scaled({name: factor})
                kept = cost.total(network.fast.demand.items, network.chip, moved)
                options = Options(network.chip, Level.FAST, timing=moved)
                anew = estimated(network.graph, options, moved).total.seconds
                if anew < kept * (1 - 1e-4):
                    regrets[f"`{name}` {100 * (factor - 1):+.0f} %"] = 100 * (1 - anew / kept)
        shown = ", ".join(f"{text}: {share:.1f} %" for text, share in sorted(regrets.items(), key=lambda e: -e[1])[:4])
        flips = ", ".join(gap.flips) or "none"
        lines.append(f"| {network.name} | {_ms(gap.time, '+')} | {flips} | {shown or 'nothing'} |")
    return lines


def overhead(networks: list[Network]) -> list[str]:
    """How the choice of groups follows what a job costs by itself, which nobody has measured."""
    factors = (0.25, 0.5, 1, 2, 4, 10)
    lines = [f"| each job costs, microseconds | {' | '.join(network.name for network in networks)} |"]
    lines.append("| --- |" + " --- |" * len(networks))
    for factor in factors:
        cells = []
        for network in networks:
            moved = timing_of(network.chip).scaled({"job": factor})
            options = Options(network.chip, Level.FAST, timing=moved)
            found = estimated(network.graph, options, moved)
            proven = cost.total(network.proven.demand.items, network.chip, moved)
            cells.append(
                f"{_jobs(found)} jobs, {1e3 * found.total.seconds:.1f} ms, {proven / found.total.seconds:.2f} x"
            )
        value = 1e6 * timing_of(networks[0].chip).job.value * factor
        lines.append(f"| {value:g} | {' | '.join(cells)} |")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+", help="the networks' .tflite files")
    options = parser.parse_args()
    graphs = [read_model(path) for path in options.models]
    networks = [Network(graph, find_chip(chip)) for chip in CHIPS for graph in graphs]
    for part in (levels, techniques, sensitivity, overhead):
        print("\n".join(part(networks)), end="\n\n", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
