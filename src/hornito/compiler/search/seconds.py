# SPDX-License-Identifier: MIT
"""How long do tasks take, at their best? For choosing between ways to do the same."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hornito.compiler.moves import move_descriptors
from hornito.compiler.options import Options
from hornito.compiler.search.division import divide
from hornito.compiler.search.shapings import cheapest
from hornito.compiler.tasks import Convolution, Move, Task
from hornito.cost import move_work


@dataclass(frozen=True, eq=False)
class Alternative:
    """A way to do what others do as well. ``tasks`` not yet divided; where their tensors lie may still change."""

    name: str
    tasks: tuple[Task, ...]


def fastest(alternatives: Sequence[Alternative], options: Options) -> Alternative:
    """The first of those that take least time."""
    return min(alternatives, key=lambda one: seconds(one.tasks, options))


def seconds(tasks: Iterable[Task], options: Options) -> float:
    """Modelled seconds of all jobs of these tasks, one after the other."""
    total = 0.0
    for task in tasks:
        for job in divide(task, options):
            if isinstance(job, Convolution):
                total += cheapest(job, options).seconds
            elif isinstance(job, Move):
                total += options.rates.duration(move_work(move_descriptors(job, options.chip)))
    return total
