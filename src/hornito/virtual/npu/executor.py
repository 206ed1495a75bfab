# SPDX-License-Identifier: MIT
"""How does a command stream become work? Front end, units and memory put together."""

from collections import OrderedDict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from hornito.crew import Crew
from hornito.hardware.chips import Chip
from hornito.virtual.faults import Fault
from hornito.virtual.memory import AddressSpace
from hornito.virtual.npu import kernels
from hornito.virtual.npu.frontend import FrontEnd, Job
from hornito.virtual.npu.hazards import Hazards
from hornito.virtual.npu.nn import NNUnit
from hornito.virtual.npu.tp import TPUnit
from hornito.virtual.timeline import Timeline

_STREAMS_KEPT = 64


class Executor:
    """The engines of one virtual chip. Not to be used by two threads at once; it has ``threads`` itself.

    ``jobs``: what the last stream has run so far. Raises Unsupported for a chip whose formats are not modelled.
    """

    def __init__(self, chip: Chip, report: kernels.Report | None = None, threads: int = 1) -> None:
        self.chip = chip
        self._crew = Crew(threads)
        self._nn = NNUnit(chip, crew=self._crew)
        self._tp = TPUnit(self._crew)
        self._hazards = Hazards()
        self.jobs: list[Job] = []
        self._streams: OrderedDict[bytes, list[Job]] = OrderedDict()  # those that end well, and what they start
        kernels.warm_up(report)

    def run(self, space: AddressSpace, stream: NDArray[np.uint32], timeline: Timeline | None = None) -> None:
        """Execute all jobs of ``stream`` on the memory in ``space``. Raises Fault; the jobs before it have run.

        ``timeline`` learns of each job before it runs, and may end the submission there."""
        self.jobs = []
        timeline = timeline or Timeline(self.chip)
        self._hazards = Hazards()
        front_end = FrontEnd(self.chip)
        try:
            for job in self._jobs(front_end, stream):
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

    def _jobs(self, front_end: FrontEnd, stream: NDArray[np.uint32]) -> Iterable[Job]:
        """What the stream starts. One that was run before is known by its words."""
        words = stream.tobytes()
        known = self._streams.get(words)
        if known is not None:
            self._streams.move_to_end(words)
            yield from known
            return
        found = []
        for job in front_end.jobs(stream):
            found.append(job)
            yield job
        self._streams[words] = found
        if len(self._streams) > _STREAMS_KEPT:
            self._streams.popitem(last=False)

    def _run(self, space: AddressSpace, job: Job, timeline: Timeline) -> None:
        if job.unit == "NN":
            layer = self._nn.fetch(space, job.descriptors[0])
            if job.wave is not None:
                timeline.remark(self._hazards.found(job.number, job.wave, layer.footprint))
            timeline.begin(job.number, job.unit, job.end, layer.work, job.wave)
            self._nn.execute(space, layer)
        else:
            moves = self._tp.fetch(space, job.descriptors)
            if job.wave is not None:
                timeline.remark(self._hazards.found(job.number, job.wave, moves.footprint))
            timeline.begin(job.number, job.unit, job.end, moves.work, job.wave)
            self._tp.execute(moves)

    def close(self) -> None:
        """End its threads."""
        self._crew.close()
