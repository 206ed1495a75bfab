# SPDX-License-Identifier: MIT
"""Which moves are done twice, or for nobody, or move nothing?"""

import dataclasses
from typing import Any

from hornito.compiler.options import Options, Technique
from hornito.compiler.rewrites.flow import Flow, Jobs, Rewrite, without
from hornito.compiler.tasks import (
    Copy,
    Detranspose,
    Job,
    Move,
    Part,
    Reshuffle,
    Shape,
    Strided,
    Task,
    Transpose,
    Walk,
)

MOVES = Move.__args__


def merge_moves(jobs: Jobs, options: Options) -> tuple[Jobs, list[Rewrite]]:
    """One move for all that want the same of the same tensor; none where bytes stay where they are."""
    if not options.uses(Technique.LAYOUTS):
        return jobs, []
    found: list[Rewrite] = []
    for step in (_views, _duplicates, _unread):
        changed = step(jobs)
        jobs, more = changed
        found += more
    return jobs, found


def _duplicates(jobs: Jobs) -> tuple[Jobs, list[Rewrite]]:
    """Moves that make what an earlier one has made."""
    flow = Flow(jobs)
    first: dict[tuple[Any, ...], int] = {}
    renamed: dict[int, int] = {}
    gone: list[int] = []
    found = []
    for place, task in enumerate(jobs.tasks):
        if not isinstance(task, MOVES) or len(flow.writers[task.target]) > 1:
            continue
        own = _reading(task, renamed)
        assert isinstance(own, MOVES)
        key = (type(own), dataclasses.replace(own, operator=0, target=0))
        if key not in first:
            first[key] = own.target
        elif flow.is_private(task.target):
            renamed[task.target] = first[key]
            gone.append(place)
            found.append(Rewrite(task.operator, Technique.LAYOUTS, "an earlier job has moved the same"))
    tasks = tuple(_reading(task, renamed) for task in without(jobs.tasks, gone))
    return dataclasses.replace(jobs, tasks=tasks), found


def _reading(task: Task, renamed: dict[int, int]) -> Task:
    if isinstance(task, Job) and task.source in renamed:
        return dataclasses.replace(task, source=renamed[task.source])
    return task


def _unread(jobs: Jobs) -> tuple[Jobs, list[Rewrite]]:
    """Moves to tensors that nobody reads."""
    found: list[Rewrite] = []
    while True:
        flow = Flow(jobs)
        idle = [
            place
            for place, task in enumerate(jobs.tasks)
            if isinstance(task, MOVES) and flow.is_private(task.target) and not flow.readers[task.target]
        ]
        if not idle:
            return jobs, found
        for place in idle:
            task = jobs.tasks[place]
            found.append(Rewrite(task.operator, Technique.LAYOUTS, "nobody reads it"))
        jobs = dataclasses.replace(jobs, tasks=without(jobs.tasks, idle))


def _views(jobs: Jobs) -> tuple[Jobs, list[Rewrite]]:
    """Moves of bytes that lie as they are wanted already: of a single pixel, or of a single channel."""
    flow = Flow(jobs)
    outside = {*jobs.inputs}
    tasks: list[Task] = []
    found = []
    for task in jobs.tasks:
        if isinstance(task, MOVES) and _stays(task) and task.target not in outside and not flow.is_part(task.target):
            size, shape = task.output.bytes, Shape(1, 1, task.input.bytes)
            tasks.append(Part(task.operator, (task.source,), (task.target,), ((task.target, size),), shape))
            found.append(Rewrite(task.operator, Technique.LAYOUTS, "the bytes lie in that order already"))
        else:
            tasks.append(task)
    return dataclasses.replace(jobs, tasks=tuple(tasks)), found


def _stays(move: Move) -> bool:
    match move:
        case Transpose() | Detranspose():
            return move.input.channels == 1 or move.input.rows == move.input.columns == 1
        case Reshuffle():
            return move.stride_x == move.stride_y == 1 and move.input == move.output and not (move.pad_x or move.pad_y)
        case Strided(walks=(walk,)):
            whole = move.input.bytes == move.output.bytes and move.zero_point == move.output_zero_point
            return whole and _in_place(walk)
        case Copy():
            return False  # a tensor that two others want in two places
    return False


def _in_place(walk: Walk) -> bool:
    loops = [loop for loop in walk.loops if loop.count > 1 or loop.outside]
    still = all(loop.source == loop.target and not (loop.before or loop.after) for loop in loops)
    return still and walk.source == walk.target == 0
