# SPDX-License-Identifier: MIT
"""Must a tensor that goes from one NPU segment to another, and to nobody else, be turned back in between?

No: it leaves the one as planes and enters the other so. The CPU copies bytes, whatever their order.
"""

import dataclasses
from collections.abc import Iterable, Sequence

from hornito.compiler.options import Options, Technique, Unit
from hornito.compiler.rewrites.flow import Flow, Jobs, Rewrite, renamed, without
from hornito.compiler.tasks import Detranspose, Transpose


def pass_planes(segments: Sequence[Jobs], wanted: Iterable[int], options: Options) -> tuple[list[Jobs], list[Rewrite]]:
    """The segments, in order, with planes passed between them; ``wanted``: tensors that the CPU or the user needs."""
    found: list[Rewrite] = []
    made = list(segments)
    if not options.uses(Technique.LAYOUTS) or Unit.TP in options.disabled:
        return made, found
    kept = set(wanted)
    for number, segment in enumerate(segments):
        for tensor in segment.outputs:
            users = [other for other, jobs in enumerate(made) if tensor in jobs.inputs]
            if tensor in kept or not users or any(user <= number for user in users):
                continue
            given = _turned_back(made[number], tensor)
            taken = [_turned(made[user], tensor) for user in users]
            if given is None or any(places is None for places in taken):
                continue
            place, planes = given
            operator = made[number].tasks[place].operator
            tasks = without(made[number].tasks, [place])
            outputs = _swapped(made[number].outputs, tensor, planes)
            made[number] = dataclasses.replace(made[number], tasks=tasks, outputs=outputs)
            for user, places in zip(users, taken, strict=True):
                made[user] = _taking(made[user], tensor, planes, places or [])
            found.append(Rewrite(operator, Technique.LAYOUTS, "its result goes to another segment in planes"))
    return made, found


def _turned_back(jobs: Jobs, tensor: int) -> tuple[int, int] | None:
    """The place of the job that turns a tensor back, and its planes; None where that is not all there is to it."""
    flow = Flow(jobs)
    writers = flow.writers[tensor]
    if len(writers) != 1 or flow.readers[tensor] or flow.is_viewed(tensor):
        return None
    job = jobs.tasks[writers[0]]
    if not isinstance(job, Detranspose) or job.source in (*jobs.inputs, *jobs.outputs):
        return None
    return writers[0], job.source


def _turned(jobs: Jobs, tensor: int) -> list[int] | None:
    """The places of the jobs that turn a tensor to planes; None where something else reads it."""
    flow = Flow(jobs)
    places = flow.readers[tensor]
    plain = all(isinstance(jobs.tasks[place], Transpose) for place in places)
    return places if places and plain and not flow.is_viewed(tensor) and tensor not in jobs.outputs else None


def _taking(jobs: Jobs, tensor: int, planes: int, places: Sequence[int]) -> Jobs:
    """The jobs with ``planes`` in the place of what those at ``places`` make of the tensor."""
    turned = [jobs.tasks[place] for place in places]
    names = {task.target: planes for task in turned if isinstance(task, Transpose)}
    tasks = tuple(renamed(task, names) for task in without(jobs.tasks, places))
    return dataclasses.replace(jobs, tasks=tasks, inputs=_swapped(jobs.inputs, tensor, planes))


def _swapped(numbers: Sequence[int], old: int, new: int) -> tuple[int, ...]:
    return tuple(new if number == old else number for number in numbers)
