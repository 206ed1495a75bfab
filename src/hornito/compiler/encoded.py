# SPDX-License-Identifier: MIT
"""What is a job once it is encoded, but for its addresses?"""

from dataclasses import dataclass

from hornito.compiler.convolution import EncodedConvolution
from hornito.compiler.tasks import Job
from hornito.cost import Work, move_work, nn_work
from hornito.hardware.chips import Chip
from hornito.hardware.tp import TPDescriptor


@dataclass(frozen=True, eq=False)
class EncodedJob:
    """One job, ready but for its addresses: what it is for, and the descriptors of the unit that runs it."""

    task: Job
    convolution: EncodedConvolution | None = None
    descriptors: tuple[TPDescriptor, ...] = ()

    @property
    def flushed(self) -> list[tuple[TPDescriptor, ...]]:
        """The descriptors of each TP job: a move may take several, the last core of each of which flushes."""
        found: list[list[TPDescriptor]] = [[]]
        for descriptor in self.descriptors:
            if found[-1] and not found[-1][-1].no_flush:
                found.append([])
            found[-1].append(descriptor)
        return [tuple(job) for job in found]


@dataclass(frozen=True, eq=False)
class Start:
    """One job of the stream: ``part`` of what ``job`` comes to."""

    job: EncodedJob
    part: int

    @property
    def descriptors(self) -> tuple[TPDescriptor, ...]:
        """Of the TP cores; none for an NN job."""
        return self.job.flushed[self.part]

    def work(self, chip: Chip) -> Work:
        """What it has to do."""
        convolution = self.job.convolution
        if convolution is None:
            return move_work(self.descriptors)
        return nn_work(convolution.descriptor, len(convolution.coefficients.blob), chip)
