# SPDX-License-Identifier: MIT
"""How does a command stream become work? Front end, units and memory put together."""

import numpy as np
from numpy.typing import NDArray

from hornito.hardware.chips import Chip
from hornito.virtual.faults import Fault
from hornito.virtual.memory import AddressSpace
from hornito.virtual.npu import kernels
from hornito.virtual.npu.frontend import FrontEnd, Job
from hornito.virtual.npu.hazards import Hazards
from hornito.virtual.npu.nn import NNUnit
from hornito.virtual.npu.tp import TPUnit
from hornito.virtual.timeline import Timeline


class Executor:
    """The engines of one virtual chip. Not to be used by two threads at once.

    ``jobs``: what the last stream has run so far. Raises Unsupported for a chip whose formats are not modelled.
    """

    def __init__(self, chip: Chip, report: kernels.Report | None = None) -> None:
        self.chip = chip
        self._nn = NNUnit(chip)
        self._tp = TPUnit()
        self._hazards = Hazards()
        self.jobs: list[Job] = []
        kernels.warm_up(report)

    def run(self, space: AddressSpace, stream: NDArray[np.uint32], timeline: Timeline | None = None) -> None:
        """Execute all jobs of ``stream`` on the memory in ``space``. Raises Fault; the jobs before it have run.

        ``timeline`` learns of each job before it runs, and may end the submission there."""
        self.jobs = []
        timeline = timeline or Timeline(self.chip)
        self._hazards = Hazards()
        front_end = FrontEnd(self.chip)
        try:
            for job in front_end.jobs(stream):
                try:
                    self._run(space, job, timeline)
                except Fault as fault:
                    fault.job = job.number
                    raise
                self.jobs.append(job)
        except Fault as fault:
            if fault.unit == "FE":
                timeline.stand(front_end.position)
            raise
        timeline.finish()

    def _run(self, space: AddressSpace, job: Job, timeline: Timeline) -> None:
        if job.unit == "NN":
            layer = self._nn.fetch(space, job.descriptors[0])
            if job.wave is not None:
                self._hazards.check(job.number, job.unit, job.wave, layer.footprint)
            timeline.begin(job.number, job.unit, job.end, layer.work, job.wave)
            self._nn.execute(space, layer)
        else:
            moves = self._tp.fetch(space, job.descriptors)
            if job.wave is not None:
                self._hazards.check(job.number, job.unit, job.wave, moves.footprint)
            timeline.begin(job.number, job.unit, job.end, moves.work, job.wave)
            self._tp.execute(moves)

    def close(self) -> None:
        """Nothing is held that must be given back."""
