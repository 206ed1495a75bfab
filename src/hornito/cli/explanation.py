# SPDX-License-Identifier: MIT
"""How does ``hornito plan --explain`` show what was considered for a job?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hornito.cli.options import counted

if TYPE_CHECKING:
    from hornito.compiler import Considered, Explanation

_WAYS = ("", "way", "channels", "jobs", "MACs", "bytes", "ms", "range", "bound")
_SHAPINGS = ("", "tile", "sb", "zrl", "caching", "MACs", "bytes", "ms", "range", "bound", "")
_WORDS = frozenset({"", "way", "caching", "bound"})


def lines(found: "Explanation") -> list[str]:
    """All of it, line by line."""
    head = f"Op#{found.operator} {found.operation} on {found.chip}, plan level {found.level.value}"
    if found.reason:
        return [f"{head}: {found.reason}"]
    shown = [head, "", "ways, each at its best (* this plan, f level fast):"]
    shown += _aligned([_WAYS, *(_way(one) for one in found.ways)])
    if found.shapings:
        shown += ["", f"job {found.job}, {found.tried} tried, the best of each tile:"]
        shown += _aligned([_SHAPINGS, *(_shaping(one) for one in found.shapings)])
    elif found.job is not None:
        shown += ["", f"job {found.job} leaves no choice"]
    shown += [""] + [f"not possible: {text}" for text in found.impossible]
    if found.others:
        numbers = ", ".join(str(number) for number in found.others[:12])
        more = ", ..." if len(found.others) > 12 else ""
        shown.append(f"its other {counted(len(found.others), 'job')}: {numbers}{more}")
    return shown


def _mark(one: "Considered") -> str:
    return ("*" if one.chosen else "") + ("f" if one.fast else "")


def _way(one: "Considered") -> tuple[str, ...]:
    return _mark(one), one.way, str(one.channels or "all"), str(one.jobs), *_cost(one)


def _shaping(one: "Considered") -> tuple[str, ...]:
    zrl = "" if one.zero_runs is None else str(one.zero_runs)
    caching = f"k {one.kernel_caching}, i {one.image_caching}"
    return _mark(one), one.tile, str(one.superblocks), zrl, caching, *_cost(one), one.way if not one.chosen else ""


def _cost(one: "Considered") -> tuple[str, ...]:
    time = one.time
    return (
        f"{one.macs:,}" if one.macs else "",
        f"{one.bytes:,}",
        f"{1e3 * time.seconds:.3f}",
        f"{1e3 * time.low:.3f} .. {1e3 * time.high:.3f}",
        one.bound.value,
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(width) if name in _WORDS else cell.rjust(width)
            for name, cell, width in zip(rows[0], row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
