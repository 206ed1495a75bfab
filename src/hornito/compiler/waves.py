# SPDX-License-Identifier: MIT
"""Which jobs of a submission may run at the same time, on the NN unit and the TP cores, and is that faster?

In the reference driver's parallel mode nothing orders jobs, and job tags, which have to be below 31, count from the
last beginning. So jobs go in waves: within one, no job touches what another one writes; between two, the front end
waits for the units, with the very words that the kernel has it wait with between two submissions. A submission has
either waves or, where these would not be faster by the cost model, the default mode, in which each job waits for the
one before.

Source: databook, command-stream.md ("Modes", "Stall"). Inferred: nobody is known to have run such a stream.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hornito.compiler.encoded import EncodedJob, Start
from hornito.compiler.options import Options
from hornito.compiler.placement import Place
from hornito.cost import Item, Target, elapsed, rates
from hornito.hardware.states import TAG_NOT_LAST_CORE_PARALLEL
from hornito.hardware.timing import timing_of

MOST = TAG_NOT_LAST_CORE_PARALLEL - 1  # jobs of a wave: there are no more tags
Waves = tuple[tuple[Start, ...], ...]


@dataclass(frozen=True)
class _Stretch:
    """Bytes of a tensor that lies in no other, from ``first`` to before ``end``; gaps included."""

    whole: int
    first: int
    end: int

    def meets(self, other: "_Stretch") -> bool:
        return self.whole == other.whole and self.first < other.end and other.first < self.end


def find_waves(starts: Sequence[Start], places: dict[int, Place]) -> Waves:
    """The jobs in order, a new wave for each that can't run at the same time as those of the last."""
    found: list[list[Start]] = []
    touched: list[tuple[_Stretch, _Stretch]] = []
    for start in starts:
        own = _stretches(start.job, places)
        if not found or len(found[-1]) == MOST or any(_in_the_way(own, other) for other in touched):
            found.append([])
            touched = []
        found[-1].append(start)
        touched.append(own)
    return tuple(tuple(wave) for wave in found)


def _stretches(job: EncodedJob, places: dict[int, Place]) -> tuple[_Stretch, _Stretch]:
    """What a job reads and what it writes."""
    task = job.task
    return (
        _stretch(places[task.source], task.source_frame.offset, task.source_frame.reach(task.input)),
        _stretch(places[task.target], task.target_frame.offset, task.target_frame.reach(task.output)),
    )


def _stretch(place: Place, first: int, end: int) -> _Stretch:
    return _Stretch(place.whole, place.offset + first, place.offset + end)


def _in_the_way(own: tuple[_Stretch, _Stretch], other: tuple[_Stretch, _Stretch]) -> bool:
    reads, writes = own
    return reads.meets(other[1]) or writes.meets(other[0]) or writes.meets(other[1])


def are_faster(found: Waves, options: Options) -> bool:
    """Do the waves take less time than the same jobs one after the other?"""
    chip = options.chip
    timing = options.timing or timing_of(chip)
    known = rates(timing, chip)
    items = [
        Item(Target.NN if start.job.convolution else Target.TP, "", "", start.work(chip), wave=(0, number))
        for number, wave in enumerate(found)
        for start in wave
    ]
    parts = [known.parts(item.work) for item in items]
    return elapsed(items, parts, timing.stall.value) < sum(part.seconds for part in parts)


def starts_of(jobs: Iterable[EncodedJob]) -> list[Start]:
    """What the stream has to start, in order: moves may be several jobs."""
    return [Start(job, number) for job in jobs for number in range(len(job.flushed))]
