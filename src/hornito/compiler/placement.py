# SPDX-License-Identifier: MIT
"""Which tensors lie in which, and how long does each live? The step before addresses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hornito.compiler.arena import Block
from hornito.compiler.tasks import Job, Task, View


@dataclass(frozen=True)
class Place:
    """A tensor of ``size`` bytes lies ``offset`` bytes into tensor ``whole``, which lies in no other."""

    whole: int
    offset: int
    size: int


def place(tasks: Iterable[Task]) -> dict[int, Place]:
    """The place of every tensor that the tasks touch. A tensor that lies in no other is its own whole."""
    sizes: dict[int, int] = {}
    parents: dict[int, tuple[int, int]] = {}
    for task in tasks:
        if isinstance(task, View):
            sizes[task.whole] = max(sizes.get(task.whole, 0), task.shape.bytes)
            offset = 0
            for number, size in task.parts:
                parents[number] = (task.whole, offset)
                sizes[number] = max(sizes.get(number, 0), size)
                offset += size
        elif isinstance(task, Job):
            sizes[task.source] = max(sizes.get(task.source, 0), task.source_frame.reach(task.input))
            sizes[task.target] = max(sizes.get(task.target, 0), task.target_frame.reach(task.output))
    return {number: Place(*_whole(number, parents), size) for number, size in sizes.items()}


def _whole(number: int, parents: dict[int, tuple[int, int]]) -> tuple[int, int]:
    offset = 0
    while number in parents:
        number, more = parents[number]
        offset += more
    return number, offset


def blocks(
    steps: Sequence[Sequence[Task]], places: dict[int, Place], inputs: Iterable[int], outputs: Iterable[int]
) -> list[Block]:
    """The memory of every tensor that lies in no other, with its lifetime: from the first step in which a job touches
    any part of it to the last. Jobs of one step may run at the same time. Inputs are there before the first step,
    outputs until after the last."""
    first: dict[int, int] = {}
    last: dict[int, int] = {}

    def touch(number: int, step: int) -> None:
        whole = places[number].whole
        first[whole] = min(first.get(whole, step), step)
        last[whole] = max(last.get(whole, step), step)

    for number in inputs:
        touch(number, -1)
    for step, tasks in enumerate(steps):
        for task in tasks:
            if isinstance(task, Job):
                touch(task.source, step)
                touch(task.target, step)
    for number in outputs:
        touch(number, len(steps))
    return [Block(whole, places[whole].size, first[whole], last[whole]) for whole in sorted(first)]
