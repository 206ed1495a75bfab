# SPDX-License-Identifier: MIT
"""Into which jobs is a task divided? By what the unit can hold; at plan level fast also into groups of channels, where
kernels see few of the planes and the unit would be given all.

A group of G channels of a depthwise layer needs G planes only, so its job has G times the useful work in place of as
many times as there are channels; but each job costs something by itself.
"""

from dataclasses import dataclass

from hornito.compiler.bands import Span, cut, groups
from hornito.compiler.options import Options, Technique
from hornito.compiler.search.shapings import cheapest
from hornito.compiler.tasks import Convolution, Task
from hornito.compiler.tiling import ceil_div

FEWEST = 8  # channels of a group


@dataclass(frozen=True)
class Division:
    """Groups of at most ``channels``, of which there are ``jobs``; and what they take together, in seconds."""

    channels: int
    jobs: int
    seconds: float


def divide(task: Task, options: Options) -> list[Task]:
    """The jobs that do what ``task`` does, in order."""
    if not isinstance(task, Convolution) or not may_group(task, options):
        return cut(task)
    best = min(divisions(task, options), key=lambda one: (one.seconds, one.jobs))
    if best.jobs == 1:
        return cut(task)
    return [band for group in groups(task, spans(task.kernels.count, best.channels)) for band in cut(group)]


def may_group(conv: Convolution, options: Options) -> bool:
    """Do kernels see fewer planes than the unit would be given?"""
    return options.uses(Technique.GROUPS) and not conv.depthwise and not conv.wraps and not conv.kernels.dense


def divisions(conv: Convolution, options: Options) -> list[Division]:
    """What groups of several sizes would take. One group stands for all of its size: it differs from the others in its
    coefficients alone."""
    found = []
    count = conv.kernels.count
    for channels in group_sizes(count, options.chip.nn_cores):
        own = spans(count, channels)
        whole = sum(span.count == channels for span in own)
        seconds = whole * _seconds(conv, own[0], options)
        if own[-1].count != channels:
            seconds += _seconds(conv, own[-1], options)
        found.append(Division(channels, len(own), seconds))
    return found


def group_sizes(count: int, cores: int) -> list[int]:
    """Sizes worth a try: all channels, and shares of them that keep all cores busy."""
    shares = {ceil_div(ceil_div(count, parts), cores) * cores for parts in range(2, count // FEWEST + 1)}
    return [count, *sorted((size for size in shares if size < count), reverse=True)]


def spans(count: int, channels: int) -> list[Span]:
    """Groups of ``channels``, the last one of the rest."""
    return [Span(first, min(channels, count - first)) for first in range(0, count, channels)]


def _seconds(conv: Convolution, span: Span, options: Options) -> float:
    whole = span.count == conv.kernels.count
    (group,) = [conv] if whole else groups(conv, [span])
    return sum(cheapest(band, options).seconds for band in cut(group) if isinstance(band, Convolution))
