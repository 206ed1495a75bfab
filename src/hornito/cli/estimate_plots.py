# SPDX-License-Identifier: MIT
"""What do estimates look like? A roofline of the NN jobs, and a timeline of all, as SVG or PNG."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hornito.cost import Estimate, Target, rates
from hornito.errors import Unsupported
from hornito.files import atomic_writer

COLOURS = {
    Target.NN: "#3b6ea8",
    Target.TP: "#e08a2e",
    Target.CPU: "#7a7a7a",
    Target.COPY: "#b5b5b5",
    Target.SUBMIT: "#d9d9d9",
}
_MARKS = ("o", "x", "+", "s")


def require_matplotlib() -> None:
    """Raises Unsupported without it: asked before anything that takes time."""
    try:
        import matplotlib.backends.backend_agg
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise Unsupported(f"--plot needs matplotlib ({error}): pip install 'hornito[plots]'") from error


def draw(path: str, estimates: Sequence[Estimate]) -> None:
    """Write the plot of some estimates. Raises Unsupported without matplotlib, BadInput for a file that can't be."""
    require_matplotlib()
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 4.4 + 1.2 * len(estimates)), layout="constrained")
    FigureCanvasAgg(figure)
    roof, timeline = figure.subplots(2, 1, height_ratios=[3.2, 0.6 + 0.9 * len(estimates)])
    _roofline(roof, estimates)
    _timeline(timeline, estimates)
    content = io.BytesIO()
    kind = Path(path).suffix[1:].lower()
    figure.savefig(content, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    with atomic_writer(path) as stream:
        stream.write(content.getvalue())


def _roofline(axes: Any, estimates: Sequence[Estimate]) -> None:
    """Multiply-accumulates a second over multiply-accumulates a byte, both as dispatched."""
    for mark, estimate in zip(_MARKS * len(estimates), estimates, strict=False):
        own = rates(estimate.timing, estimate.chip)
        points = [
            (cost.item.work.macs / cost.item.work.traffic, cost.item.work.macs / cost.time.seconds)
            for cost in estimate.costs
            if cost.item.work.macs and cost.item.work.traffic
        ]
        if not points:
            continue
        axes.plot(*zip(*points, strict=True), mark, markersize=4, linestyle="none", label=estimate.demand.title)
        ends = [min(x for x, _ in points) / 2, max(x for x, _ in points) * 2]
        for rate, style in ((own.spatial, "-"), (own.pointwise, "--")):
            ridge = rate / own.bytes
            xs = sorted({ends[0], max(ends[0], min(ends[1], ridge)), ends[1]})
            axes.plot(xs, [min(rate, x * own.bytes) for x in xs], style, color="0.45", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="dispatched MACs a byte", ylabel="dispatched MACs a second")
    axes.set_title("NN jobs under the roof of bus and array (dashed: 1x1 kernels)", fontsize=10)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, loc="lower right")


def _timeline(axes: Any, estimates: Sequence[Estimate]) -> None:
    """One bar an estimate, its items in order."""
    for row, estimate in enumerate(estimates):
        start = 0.0
        spans: dict[Target, list[tuple[float, float]]] = {}
        for cost in estimate.costs:
            length = 1e3 * cost.time.seconds
            spans.setdefault(cost.item.target, []).append((start, length))
            start += length
        for target, pieces in spans.items():
            label = target.value if row == 0 else None
            axes.broken_barh(
                pieces, (row - 0.35, 0.7), facecolors=COLOURS[target], edgecolor="white", linewidth=0.3, label=label
            )
        low, high = (
            1e3 * (estimate.total.seconds - estimate.total.low),
            1e3 * (estimate.total.high - estimate.total.seconds),
        )
        axes.text(0, row - 0.38, estimate.demand.title, fontsize=8, verticalalignment="bottom")
        axes.errorbar([start], [row], xerr=[[low], [high]], color="black", capsize=3, linewidth=1)
    axes.set(xlabel="ms, with the range of the total", yticks=range(len(estimates)))
    axes.set_yticklabels([])
    axes.tick_params(left=False)
    axes.set_ylim(len(estimates) - 0.5, -0.9)
    axes.legend(fontsize=8, ncols=5, loc="upper center", bbox_to_anchor=(0.5, -0.55 / len(estimates)), frameon=False)
