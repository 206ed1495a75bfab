# SPDX-License-Identifier: MIT
"""Which jobs of a segment read and write which tensors? And what a change to them is remembered by."""

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hornito.compiler.options import Technique
from hornito.compiler.tasks import Job, Task, View


@dataclass(frozen=True)
class Rewrite:
    """A job of ``operator`` that is gone or another one, and why that changes no result."""

    operator: int
    technique: Technique
    text: str


@dataclass(frozen=True)
class Jobs:
    """A segment's jobs in order, and the tensors (numbers) that it takes and gives."""

    tasks: tuple[Task, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


class Flow:
    """Readers and writers of each tensor, as places in the row of jobs."""

    def __init__(self, jobs: Jobs) -> None:
        self.tasks: Sequence[Task] = jobs.tasks
        self.readers: dict[int, list[int]] = defaultdict(list)
        self.writers: dict[int, list[int]] = defaultdict(list)
        self._seen = {*jobs.inputs, *jobs.outputs}  # by others than the segment's jobs
        self._viewed: set[int] = set()
        for place, task in enumerate(jobs.tasks):
            if isinstance(task, Job):
                self.readers[task.source].append(place)
                self.writers[task.target].append(place)
            elif isinstance(task, View):
                self._viewed |= {task.whole, *(number for number, _ in task.parts)}

    def is_private(self, number: int) -> bool:
        """Do jobs of the segment alone touch the tensor, under this number alone?"""
        return number not in self._seen and number not in self._viewed

    def is_viewed(self, number: int) -> bool:
        """Does the tensor lie in another one, or another one in it?"""
        return number in self._viewed

    def is_part(self, number: int) -> bool:
        """Does the tensor lie in another one?"""
        views = (task for task in self.tasks if isinstance(task, View))
        return any(number == part for view in views for part, _ in view.parts)


def without(tasks: Sequence[Task], places: Iterable[int]) -> tuple[Task, ...]:
    """The tasks but for those at ``places``."""
    gone = set(places)
    return tuple(task for place, task in enumerate(tasks) if place not in gone)


def renamed(task: Task, names: Mapping[int, int]) -> Task:
    """The task with other numbers for tensors."""
    if isinstance(task, Job):
        source, target = names.get(task.source, task.source), names.get(task.target, task.target)
        return dataclasses.replace(task, source=source, target=target)
    reads, writes = (tuple(names.get(number, number) for number in side) for side in (task.reads, task.writes))
    parts = tuple((names.get(number, number), size) for number, size in task.parts)
    return dataclasses.replace(task, reads=reads, writes=writes, parts=parts)
