# SPDX-License-Identifier: MIT
"""How do two recordings differ? Jobs and commands side by side, and of each pair the fields that differ."""

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hornito.hardware.chips import Chip
from hornito.stream.annotate import NN, LineKind
from hornito.trace.align import Pair, align
from hornito.trace.compare import Comparison, Difference, Side
from hornito.trace.flow import Flow, JobAt, Read
from hornito.trace.items import COMMAND, JOB, SUBMIT, Item, items_of, similarity
from hornito.trace.records import Recording, Submit
from hornito.trace.view import SubmitView, view

_VIEWS = 4  # submits of a side whose contents are kept at hand


@dataclass(frozen=True)
class Place:
    """A job, by its number in its submit; ``job`` is None for what belongs to no job."""

    submit: int
    job: int | None = None

    def __str__(self) -> str:
        return f"{self.submit}" if self.job is None else f"{self.submit}.{self.job}"


@dataclass(frozen=True)
class Hunk:
    """What differs between two jobs (or two commands outside of all jobs). A side that has no such job is None; then
    ``differences`` is empty and ``title`` says which job it is."""

    old: Place | None
    new: Place | None
    unit: str
    title: str
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class Options:
    """What counts. ``padding_kernels``: those too; ``jobs_only``: nothing but jobs, however they are batched; ``chip``:
    of recordings that do not say."""

    padding_kernels: bool = False
    jobs_only: bool = False
    chip: str = ""


class Diff:
    """The comparison of two recordings. ``hunks`` gives what differs, in order; then ``padding_kernels`` says how many
    of them were passed over, and ``same`` whether nothing was found."""

    def __init__(self, old: Recording, new: Recording, options: Options = Options()) -> None:
        self._sides = _Recorded(old, options), _Recorded(new, options)
        self._options = options
        self._partners: dict[JobAt, JobAt] = {}
        self.padding_kernels = 0
        self.same = True

    def hunks(self) -> Iterator[Hunk]:
        """What differs. Raises BadInput for a submit that can't be read."""
        only = {JOB} if self._options.jobs_only else {JOB, COMMAND, SUBMIT}
        a, b = ([item for item in side.items() if item.kind in only] for side in self._sides)
        comparisons: dict[tuple[int, int], Comparison] = {}
        pairs = list(_pairs(a, b))
        self._partners = {
            (a[x].submit, a[x].job): (b[y].submit, b[y].job)
            for x, y in pairs
            if x is not None and y is not None and a[x].kind == JOB
        }
        for x, y in pairs:
            hunk = self._hunk(None if x is None else a[x], None if y is None else b[y], comparisons)
            if hunk is not None:
                self.same = False
                yield hunk

    def _hunk(self, old: Item | None, new: Item | None, comparisons: dict[tuple[int, int], Comparison]) -> Hunk | None:
        before, after = self._place(0, old), self._place(1, new)
        if old is None or new is None:
            item, side = (old, self._sides[0]) if old is not None else (new, self._sides[1])
            assert item is not None
            return Hunk(before, after, item.sort if item.kind == JOB else "", side.title(item))
        if old.kind == SUBMIT:
            return None
        views = [side.view(item.submit) for side, item in zip(self._sides, (old, new), strict=True)]
        comparison = comparisons.get((old.submit, new.submit))
        if comparison is None:
            comparison = self._comparison(*views)
            comparisons.clear()  # submits come in order: none before is met again
            comparisons[old.submit, new.submit] = comparison
        found = list(comparison.lines(old.lines, new.lines))
        if old.kind == JOB:
            found += self._origins(old, new, {(one.core, one.name) for one in found})
        if old.kind == JOB and old.sort == NN:
            jobs = [seen.job(item.job) for seen, item in zip(views, (old, new), strict=True)]
            if all(job.descriptors for job in jobs):
                so_far = comparison.padding_kernels
                found += comparison.coefficients(*(job.descriptors[0].nn for job in jobs))
                self.padding_kernels += comparison.padding_kernels - so_far
        if not found:
            return None
        return Hunk(before, after, old.sort if old.kind == JOB else "", self._sides[0].title(old), tuple(found))

    def _origins(self, old: Item, new: Item, known: set[Read]) -> Iterator[Difference]:
        """Where a job reads what another job of an earlier submit left, on one side at least, and it is not the same
        job on the other. ``known``: the fields that are known to differ."""
        ours, theirs = (
            side.flow.origins.get((item.submit, item.job), {})
            for side, item in zip(self._sides, (old, new), strict=True)
        )
        for line in old.lines:
            key = (None if line.job is None else line.job.core, line.name)
            if line.kind is not LineKind.FIELD or key not in ours or key not in theirs or key in known:
                continue
            mine, other = ours[key], theirs[key]
            within = mine[0] == old.submit and other[0] == new.submit  # then the buffers were compared
            if not within and self._partners.get(mine) != other:
                places = (
                    Place(side.submits[at[0]].number, at[1])
                    for side, at in zip(self._sides, (mine, other), strict=True)
                )
                before, after = (f"what job {place} left" for place in places)
                yield Difference(line.place, line.name, before, after, line.value, None, key[0])

    def _comparison(self, old: SubmitView, new: SubmitView) -> Comparison:
        chip: Chip | None = old.chip or new.chip
        return Comparison(
            Side(old.submission, old.names), Side(new.submission, new.names), chip, self._options.padding_kernels
        )

    def _place(self, number: int, item: Item | None) -> Place | None:
        side = self._sides[number]
        return None if item is None else Place(side.submits[item.submit].number, item.job if item.kind == JOB else None)


class _Recorded:
    """One of the two recordings."""

    def __init__(self, recording: Recording, options: Options) -> None:
        self._recording = recording
        self._chip = options.chip
        self.submits: list[Submit] = list(recording.submits())
        self.flow = Flow(recording)
        self.view = functools.lru_cache(_VIEWS)(self._view)

    def _view(self, index: int) -> SubmitView:
        return view(self._recording, self.submits[index], self._chip)

    def items(self) -> list[Item]:
        found: list[Item] = []
        for index in range(len(self.submits)):
            seen = self.view(index)
            self.flow.add(seen)
            found += items_of(index, seen)
        return found

    def title(self, item: Item) -> str:
        """What it is, in a few words."""
        if item.kind == JOB:
            return self.view(item.submit).job(item.job).title()
        if item.kind == SUBMIT:
            return "a submit begins"
        first = item.lines[0]
        return first.name if first.kind is LineKind.COMMAND else f"{first.name} = {first.value:#x}"


def _pairs(a: Sequence[Item], b: Sequence[Item]) -> Iterator[Pair]:
    """Jobs first; then what stands between two pairs of jobs."""
    jobs = [[at for at, item in enumerate(side) if item.kind == JOB] for side in (a, b)]
    keys = [[side[at].key for at in found] for side, found in zip((a, b), jobs, strict=True)]
    fixed = [
        (jobs[0][x], jobs[1][y])
        for x, y in align(keys[0], keys[1], lambda x, y: similarity(a[jobs[0][x]], b[jobs[1][y]]))
        if x is not None and y is not None
    ]
    i = j = 0
    for x, y in [*fixed, (len(a), len(b))]:
        gap = [item.key for item in a[i:x]], [item.key for item in b[j:y]]
        for p, q in align(*gap, lambda p, q, i=i, j=j: similarity(a[i + p], b[j + q])):  # type: ignore[misc]
            yield None if p is None else i + p, None if q is None else j + q
        if x < len(a):
            yield x, y
        i, j = x + 1, y + 1
