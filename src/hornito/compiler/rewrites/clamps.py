# SPDX-License-Identifier: MIT
"""Can the jobs that compute a tensor clamp it themselves, where a job of its own does nothing else?

A RELU whose input and output have the same scale and zero point takes the larger of a byte and the zero point, which is
what every NN job can do behind its own rounding. The result is the same byte.
"""

import dataclasses

from hornito.compiler.options import Options, Technique
from hornito.compiler.rewrites.flow import Flow, Jobs, Rewrite, without
from hornito.compiler.tasks import Convolution, Task


def fold_clamps(jobs: Jobs, options: Options) -> tuple[Jobs, list[Rewrite]]:
    """Leave out the jobs that only clamp what convolutions of the segment compute for them alone."""
    found: list[Rewrite] = []
    if not options.uses(Technique.FOLDS):
        return jobs, found
    place = 0
    while place < len(jobs.tasks):
        task = jobs.tasks[place]
        made = _folded(jobs, task) if isinstance(task, Convolution) and task.clamps else None
        if made is None:
            place += 1
            continue
        jobs = made
        found.append(Rewrite(task.operator, Technique.FOLDS, "the jobs before it clamp their results"))
    return jobs, found


def _folded(jobs: Jobs, clamp: Convolution) -> Jobs | None:
    flow = Flow(jobs)
    own = flow.writers[clamp.target]  # bands of the same clamp
    makers = flow.writers[clamp.source]
    if not flow.is_private(clamp.source) or not makers or flow.readers[clamp.source] != own:
        return None
    tasks: list[Task] = list(jobs.tasks)
    for place in makers:
        maker = tasks[place]
        if not isinstance(maker, Convolution) or maker.output_zero_point != clamp.output_zero_point:
            return None
        tasks[place] = dataclasses.replace(maker, target=clamp.target, relu=True)
    return dataclasses.replace(jobs, tasks=without(tasks, own))
