# SPDX-License-Identifier: MIT
"""Into which jobs is a task divided? By what the unit can hold; at plan level fast also into groups of channels, where
kernels see few of the planes and the unit would be given all.

A group of G channels of a depthwise layer needs G planes only, so its job has G times the useful work in place of as
many times as there are channels; but each job costs something by itself.
"""

from dataclasses import dataclass

from hornito.compiler.bands import Span, cut, groups
from hornito.compiler.options import Options, Technique
from hornito.compiler.search.shapings import Priced, cheapest
from hornito.compiler.tasks import Convolution, Task
from hornito.compiler.tiling import ceil_div

FEWEST = 8  # channels of a group


@dataclass(frozen=True)
class Division:
    """Groups of at most ``channels``; ``parts``: how many jobs there are of each kind, and the best of that kind."""

    channels: int
    parts: tuple[tuple[int, Priced], ...]

    @property
    def jobs(self) -> int:
        return sum(number for number, _ in self.parts)

    @property
    def seconds(self) -> float:
        return sum(number * one.seconds for number, one in self.parts)


def divide(task: Task, options: Options) -> list[Task]:
    """The jobs that do what ``task`` does, in order."""
    if not isinstance(task, Convolution) or not may_group(task, options):
        return cut(task)
    best = best_division(task, options)
    if best.channels == task.kernels.count:
        return cut(task)
    return [band for group in groups(task, spans(task.kernels.count, best.channels)) for band in cut(group)]


def may_group(conv: Convolution, options: Options) -> bool:
    """Do kernels see fewer planes than the unit would be given?"""
    return options.uses(Technique.GROUPS) and not conv.depthwise and not conv.wraps and not conv.kernels.dense


def best_division(conv: Convolution, options: Options) -> Division:
    """The fastest one; of equal ones, that of fewest jobs."""
    return min(divisions(conv, options), key=lambda one: (one.seconds, one.jobs))


def divisions(conv: Convolution, options: Options) -> list[Division]:
    """What groups of several sizes would take; the whole first. One group stands for all of its size: it differs from
    the others in its coefficients alone."""
    count = conv.kernels.count
    found = [Division(count, _priced([conv], 1, options))]
    for channels in group_sizes(count, options.chip.nn_cores) if may_group(conv, options) else ():
        own = spans(count, channels)
        whole = sum(span.count == channels for span in own)
        parts = _priced(groups(conv, own[:1]), whole, options)
        if own[-1].count != channels:
            parts += _priced(groups(conv, own[-1:]), 1, options)
        found.append(Division(channels, parts))
    return found


def _priced(group: list[Convolution], times: int, options: Options) -> tuple[tuple[int, Priced], ...]:
    jobs = [job for conv in group for job in cut(conv)]
    return tuple((times, cheapest(job, options)) for job in jobs if isinstance(job, Convolution))


def group_sizes(count: int, cores: int) -> list[int]:
    """Sizes worth a try, fewer than all: shares that keep all cores busy."""
    shares = {ceil_div(ceil_div(count, parts), cores) * cores for parts in range(2, count // FEWEST + 1)}
    return sorted((size for size in shares if size < count), reverse=True)


def spans(count: int, channels: int) -> list[Span]:
    """Groups of ``channels``, the last one of the rest."""
    return [Span(first, min(channels, count - first)) for first in range(0, count, channels)]
