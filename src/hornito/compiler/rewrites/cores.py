# SPDX-License-Identifier: MIT
"""Can all TP cores take part in a move that the reference driver gives to one of them?

Transposes, detransposes and copies are walks like any other, which are cut up between the cores; and so are those
reshuffles for which the reference driver takes one core only.

Source: databook, tp-descriptor.md ("The address generator: a formal model"). Inferred.
"""

import dataclasses

from hornito.compiler import strides
from hornito.compiler.options import Options, Technique
from hornito.compiler.rewrites.flow import Jobs, Rewrite
from hornito.compiler.tasks import Copy, Detranspose, Job, Loop, Reshuffle, Shape, Strided, Task, Transpose, Walk


def use_all_cores(jobs: Jobs, options: Options) -> tuple[Jobs, list[Rewrite]]:
    """Deal out moves that one core would do."""
    if not options.uses(Technique.CORES) or options.chip.tp_cores == 1:
        return jobs, []
    found = []
    tasks: list[Task] = []
    for task in jobs.tasks:
        made = _dealt(task)
        tasks.append(made)
        if made is not task and isinstance(task, Job):
            found.append(Rewrite(task.operator, Technique.CORES, "all TP cores take part"))
    return dataclasses.replace(jobs, tasks=tuple(tasks)), found


def _dealt(task: Task) -> Task:
    match task:
        case Transpose():
            loops = _loops(task.input, planar_first=False)
        case Detranspose():
            loops = _loops(task.input, planar_first=True)
        case Copy():
            loops = (Loop(task.input.bytes, 1, 1),)
        case Reshuffle(all_cores=False):
            return dataclasses.replace(task, all_cores=True) if _kept_on_one(task) else task
        case _:
            return task
    if task.input.bytes < strides.LEAST_SPLIT:
        return task
    zero, walk = task.zero_point, Walk(0, 0, loops)
    if not strides.fits([walk]):
        return task
    return Strided(task.operator, task.source, task.target, task.input, task.output, zero, zero, (walk,))


def _loops(shape: Shape, *, planar_first: bool) -> tuple[Loop, ...]:
    """Rows, columns and channels, from planes to the model's order of bytes or the other way."""
    counts = shape.rows, shape.columns, shape.channels
    planar = shape.columns, 1, shape.rows * shape.columns
    plain = shape.columns * shape.channels, shape.channels, 1
    steps = (planar, plain) if planar_first else (plain, planar)
    return tuple(Loop(*each) for each in zip(counts, *steps, strict=True))


def _kept_on_one(move: Reshuffle) -> bool:
    """Does the reference driver take one core, though there are bytes enough for more?"""
    return move.input.bytes >= strides.LEAST_SPLIT
