# SPDX-License-Identifier: MIT
"""Which tensors lie in which, and where? The last step before buffers get addresses."""

from collections.abc import Iterable
from dataclasses import dataclass

from hornito.compiler.tasks import Job, Task, View


@dataclass(frozen=True)
class Place:
    """A tensor of ``size`` bytes lies ``offset`` bytes into tensor ``whole``, which has a buffer of its own."""

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
