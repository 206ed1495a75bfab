# SPDX-License-Identifier: MIT
"""How well does the cost model fit what is published? Fits its figures anew, and prints docs/performance.md's part.

``python tools/cost_table.py MODELS`` (a folder with the two networks' .tflite files) prints Markdown; ``--plot FILE``
draws model against published.
"""

import argparse
import dataclasses
import itertools
import math
import sys
from pathlib import Path

from hornito import compiler, cost
from hornito.compiler.assemble import Compiled
from hornito.compiler.sram import choose_caching, image_bytes
from hornito.compiler.tiling import Tile
from hornito.hardware.chips import Chip, find_chip
from hornito.hardware.nn import CachingMode, NNDescriptor
from hornito.hardware.published import (
    MOBILEDET,
    MOBILENET_V1,
    PUBLISHED,
    VENDOR_COEFFICIENTS,
    VENDOR_WORKLOAD,
    Published,
    Stage,
)
from hornito.hardware.timing import Timing, timing_of
from hornito.model import read_model

GRID = {"memory": [2 + 0.05 * step for step in range(121)], "idle": [0.05 * step for step in range(21)]}
NAMES = {MOBILENET_V1: "MobileNetV1", MOBILEDET: "MobileDet"}


@dataclasses.dataclass(frozen=True)
class Case:
    """A published time, and what the model says of the same."""

    published: Published
    estimate: cost.Estimate

    @property
    def off(self) -> float:
        return 1e3 * self.estimate.total.seconds / self.published.milliseconds - 1


class Models:
    """The networks, compiled once for each chip."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._compiled: dict[tuple[str, str], Compiled] = {}

    def compiled(self, network: str, chip: Chip) -> Compiled:
        key = (network, chip.name)
        if key not in self._compiled:
            graph = read_model(self._folder / f"{network}.tflite")
            options = compiler.Options(chip, compiler.find_level("proven"))
            self._compiled[key] = compiler.compile_graph(graph, options)
        return self._compiled[key]

    def demand(self, network: str, chip: Chip, stage: Stage) -> cost.Demand:
        """What the network's plan wants, as the drivers of that stage would have encoded it."""
        compiled = self.compiled(network, chip)
        demand = compiler.demand(compiled)
        if stage in (Stage.CACHED, Stage.VENDOR):
            return demand
        works = [
            _of_stage(job.convolution.descriptor, len(job.convolution.coefficients.blob), chip, stage)
            for jobs in compiled.jobs
            for job in jobs
            if job.convolution is not None
        ]
        left = iter(works)
        items = [
            dataclasses.replace(item, work=next(left)) if item.target is cost.Target.NN else item
            for item in demand.items
        ]
        return dataclasses.replace(demand, items=tuple(items))


def _of_stage(d: NNDescriptor, packed: int, chip: Chip, stage: Stage) -> cost.Work:
    """A job's work without zero runs (if so), and without image caching."""
    size = packed
    if stage is Stage.DENSE:
        places = d.kernel_xy_size * d.kernel_y_size
        size = max(packed, d.out_image_z_size * (1 if d.depthwise else d.channels) * places)
        tiling = cost.tiling_of(d, chip)
        tile = Tile(d.out_image_tile_x_size, d.out_image_tile_y_size, 1, tiling.superblocks, d.kernels_per_core)
        image = image_bytes(tile, d.kernel_xy_size, d.channels)
        fields = choose_caching(image, d.out_image_z_size, size, chip.vip_sram)
        d = dataclasses.replace(d, **fields)
    return cost.nn_work(dataclasses.replace(d, image_caching_mode=CachingMode.NONE), size, chip)


def fit(models: Models, chip: Chip, network: str = MOBILENET_V1) -> Timing:
    """The figures nearest to the times of that network, as far as its driver is modelled: all of ``GRID`` where there
    are several, else the memory's alone."""
    found = [one for one in _modelled(chip) if one.network == network]
    demands = [models.demand(one.network, chip, one.stage) for one in found]
    start = timing_of(chip)
    names = list(GRID) if len(found) > 1 else ["memory"]

    def timing(values: tuple[float, ...]) -> Timing:
        figures = start.figures()
        changed = {
            name: dataclasses.replace(figures[name], value=value) for name, value in zip(names, values, strict=True)
        }
        return dataclasses.replace(start, **changed)

    def badness(values: tuple[float, ...]) -> float:
        own = timing(values)
        seconds = [cost.total(demand.items, chip, own) for demand in demands]
        return sum(math.log(1e3 * s / one.milliseconds) ** 2 for s, one in zip(seconds, found, strict=True))

    return timing(min(itertools.product(*(GRID[name] for name in names)), key=badness))


def _modelled(chip: Chip) -> list[Published]:
    return [one for one in PUBLISHED if one.chip == chip.name and one.stage is not Stage.VENDOR]


def _reversed(models: Models) -> list[str]:
    """What figures fitted to MobileDet say of MobileNetV1."""
    lines = ["| chip | fitted to MobileDet | MobileNetV1, published ms | model ms |", "| --- | --- | --- | --- |"]
    for name in ("a311d", "imx8mp"):
        chip = find_chip(name)
        timing = fit(models, chip, MOBILEDET)
        known = [one for one in _modelled(chip) if one.network == MOBILENET_V1]
        demands = [models.demand(one.network, chip, one.stage) for one in known]
        seconds = [cost.total(demand.items, chip, timing) for demand in demands]
        figures = f"`memory` {timing.memory.value:.2f}, `idle` {timing.idle.value:.2f}"
        published = ", ".join(f"{one.milliseconds:g}" for one in known)
        lines.append(f"| {_soc(chip)} | {figures} | {published} | {', '.join(f'{1e3 * s:.1f}' for s in seconds)} |")
    return lines


def _soc(chip: Chip) -> str:
    return chip.soc.split(" (")[0]


def cases(models: Models) -> list[Case]:
    """Every published time of a stage that the model knows."""
    found = []
    for one in PUBLISHED:
        chip = find_chip(one.chip)
        found.append(Case(one, cost.estimate(models.demand(one.network, chip, one.stage), chip)))
    return found


def markdown(models: Models) -> list[str]:
    """The tables of docs/performance.md."""
    a311d = find_chip("a311d")
    lines = ["| quantity, A311D | model | known |", "| --- | --- | --- |"]
    known = {MOBILENET_V1: f"{VENDOR_WORKLOAD / 1e6:,.1f} M (vendor)", MOBILEDET: "28,749.6 M (databook)"}
    for network, name in NAMES.items():
        demand = models.demand(network, a311d, Stage.CACHED)
        macs = sum(item.work.macs for item in demand.items)
        size = sum(item.work.coefficient_bytes for item in demand.items)
        vendor = f"{VENDOR_COEFFICIENTS / 1e6:.2f} MB (vendor)" if network == MOBILENET_V1 else ""
        lines.append(f"| {name}: multiply-accumulates given to the NN unit | {macs / 1e6:,.1f} M | {known[network]} |")
        lines.append(f"| {name}: coefficients | {size / 1e6:.2f} MB | {vendor} |")
    lines += ["", "| chip | network | driver | published ms | model ms (range) | off by | |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for case in cases(models):
        one, total = case.published, case.estimate.total
        role = "fitted" if one.fitted else "not modelled" if one.stage is Stage.VENDOR else "**predicted**"
        lines.append(
            f"| {_soc(find_chip(one.chip))} | {NAMES[one.network]} | {one.stage.value} | {one.milliseconds:g} | "
            f"{1e3 * total.seconds:.1f} ({1e3 * total.low:.1f} .. {1e3 * total.high:.1f}) | {100 * case.off:+.0f} % | "
            f"{'; '.join(filter(None, [role, one.remark]))} |"
        )
    lines += ["", *_reversed(models), "", *_sensitivity(models)]
    return lines


def _sensitivity(models: Models) -> list[str]:
    """How far totals go when a figure moves by 30 %."""
    pairs = [(find_chip(chip), network) for chip in ("a311d", "imx8mp") for network in NAMES]
    estimates = [cost.estimate(models.demand(network, chip, Stage.CACHED), chip) for chip, network in pairs]
    heads = [f"{_soc(chip)}, {NAMES[network]}" for chip, network in pairs]
    lines = [f"| figure | {' | '.join(heads)} |", "| --- |" + " --- |" * len(heads)]
    for name in estimates[0].sensitivity():
        cells = []
        for one in estimates:
            low, high = one.sensitivity()[name]
            cells.append(f"{100 * (low / one.total.seconds - 1):+.0f} / {100 * (high / one.total.seconds - 1):+.0f} %")
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


def plot(models: Models, path: str) -> None:
    """Model against published, with ranges."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.hashsalt": "hornito", "svg.fonttype": "none"}  # the same file each time
    from matplotlib import pyplot
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    figure, axes = pyplot.subplots(figsize=(6.4, 5.2))
    marks = {(True, False): "fitted", (False, False): "predicted", (False, True): "another driver, not modelled"}
    for (fitted, vendor), label in marks.items():
        own = [c for c in cases(models) if (c.published.fitted, c.published.stage is Stage.VENDOR) == (fitted, vendor)]
        x = [case.published.milliseconds for case in own]
        y = [1e3 * case.estimate.total.seconds for case in own]
        below = [1e3 * (case.estimate.total.seconds - case.estimate.total.low) for case in own]
        above = [1e3 * (case.estimate.total.high - case.estimate.total.seconds) for case in own]
        axes.errorbar(x, y, yerr=[below, above], fmt="x" if vendor else "o", capsize=3, label=label)
    ends = [1.5, 80.0]
    axes.plot(ends, ends, color="0.5", linewidth=1)
    axes.fill_between(ends, [0.75 * e for e in ends], [1.25 * e for e in ends], color="0.9", label="within 25 %")
    axes.set(xscale="log", yscale="log", xlabel="published, ms", ylabel="model, ms", xlim=ends, ylim=ends)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator([2, 5, 10, 20, 50]))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_locator(NullLocator())
    axes.legend(loc="upper left")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, help="the folder of the two networks")
    parser.add_argument("--plot", metavar="FILE", help="draw model against published")
    options = parser.parse_args()
    models = Models(options.models)
    for name in ("a311d", "imx8mp"):
        chip = find_chip(name)
        own, kept = fit(models, chip), timing_of(chip)
        for figure in GRID:
            new, old = getattr(own, figure).value, getattr(kept, figure).value
            print(f"{chip.name}: {figure} fitted {new:.2f}, kept {old:.2f}", file=sys.stderr)
    print("\n".join(markdown(models)))
    if options.plot:
        plot(models, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
