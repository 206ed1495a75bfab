# SPDX-License-Identifier: MIT
"""In which order do a segment's jobs need the least memory for tensors?

Step by step, of the jobs whose inputs are there the one is next behind which the fewest bytes are alive; where several
are alike, the one that stands first. That looks no further than one job, so the order is taken only if the tensors'
memory, shared by lifetimes, is smaller for it than for the order in which the model has its operators.
"""

import dataclasses
from collections.abc import Sequence

from hornito.compiler.arena import aligned, arrange
from hornito.compiler.options import Options, Technique
from hornito.compiler.placement import Place, blocks, place
from hornito.compiler.rewrites.flow import Jobs, Rewrite
from hornito.compiler.tasks import Job, Task, View


def order_jobs(jobs: Jobs, options: Options) -> tuple[Jobs, list[Rewrite]]:
    """The jobs in the better order."""
    if not (options.uses(Technique.ORDER) and options.uses(Technique.MEMORY)):
        return jobs, []
    places = place(jobs.tasks)
    found = _Order(jobs, places).found()
    if _size(found, jobs, places) >= _size(jobs.tasks, jobs, places):
        return jobs, []
    moved = [task for task, before in zip(found, jobs.tasks, strict=True) if task is not before]
    text = "jobs are in an order that needs less memory"
    return dataclasses.replace(jobs, tasks=found), [Rewrite(moved[0].operator, Technique.ORDER, text)]


def _size(tasks: Sequence[Task], jobs: Jobs, places: dict[int, Place]) -> int:
    return arrange(blocks([(task,) for task in tasks], places, jobs.inputs, jobs.outputs)).size


class _Order:
    """Jobs by place, what each waits for, and which tensors (those that lie in no other) it touches."""

    def __init__(self, jobs: Jobs, places: dict[int, Place]) -> None:
        self._tasks = jobs.tasks
        self._whole = {number: where.whole for number, where in places.items()}
        self._bytes = {number: aligned(where.size) for number, where in places.items()}
        self._jobs = [number for number, task in enumerate(jobs.tasks) if isinstance(task, Job)]
        self._touched: dict[int, tuple[int, int]] = {}
        self._left: dict[int, int] = {}  # jobs still to touch a tensor
        self._before: dict[int, set[int]] = {}
        self._kept = {self._whole[number] for number in jobs.outputs}
        readers: dict[int, list[int]] = {}
        writers: dict[int, list[int]] = {}
        for number in self._jobs:
            task = jobs.tasks[number]
            assert isinstance(task, Job)
            source, target = self._whole[task.source], self._whole[task.target]
            self._touched[number] = source, target
            for whole in {source, target}:
                self._left[whole] = self._left.get(whole, 0) + 1
            # What reads a tensor comes behind all that wrote it before, and what writes it behind all that touched it.
            self._before[number] = {*writers.get(source, ()), *writers.get(target, ()), *readers.get(target, ())}
            readers.setdefault(source, []).append(number)
            writers.setdefault(target, []).append(number)

    def found(self) -> tuple[Task, ...]:
        """All tasks in the new order; views, which are no jobs, come first."""
        done: list[int] = []
        finished: set[int] = set()
        alive: set[int] = set()
        waiting = list(self._jobs)
        while waiting:
            ready = [number for number in waiting if self._before[number] <= finished]
            chosen = min(ready, key=lambda number: (self._grown(number, alive), number))
            waiting.remove(chosen)
            finished.add(chosen)
            done.append(chosen)
            for whole in set(self._touched[chosen]):
                alive.add(whole)
                self._left[whole] -= 1
                if not self._left[whole] and whole not in self._kept:
                    alive.remove(whole)
        views = [task for task in self._tasks if isinstance(task, View)]
        return (*views, *(self._tasks[number] for number in done))

    def _grown(self, number: int, alive: set[int]) -> int:
        """By how many bytes what is alive grows for a job's having run."""
        total = 0
        for whole in set(self._touched[number]):
            if whole not in alive:
                total += self._bytes[whole]
            if self._left[whole] == 1 and whole not in self._kept:
                total -= self._bytes[whole]
        return total
