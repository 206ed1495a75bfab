# SPDX-License-Identifier: MIT
"""What was considered for a job, or for all jobs of an operator, and what would each have cost?

First the ways that an operator may go, each divided as it would be best; then how one of its jobs may be carried out.
At any plan level: what that plan does is marked, and so is what level fast would do.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hornito.compiler.assemble import encode_job
from hornito.compiler.caching import Taken, caching_of, cut
from hornito.compiler.convolution import geometry_of, measure_coefficients
from hornito.compiler.moves import move_descriptors
from hornito.compiler.operators import lower
from hornito.compiler.options import Level, Options, Technique
from hornito.compiler.partition import group_of
from hornito.compiler.plan import NpuPart, Plan
from hornito.compiler.search import Alternative
from hornito.compiler.search.division import best_division, divide, divisions
from hornito.compiler.search.limits import impossible
from hornito.compiler.search.shapings import Priced, all_priced, shaping_as, shaping_of
from hornito.compiler.segment import Numbering, Segment
from hornito.compiler.tasks import Convolution, Detranspose, Job, Move, Strided, Task, Transpose
from hornito.compiler.tiling import Tile, choose_tile
from hornito.cost import Bound, Demand, Item, Range, Target, Work, estimate, move_work, nn_work, work_of
from hornito.errors import BadInput
from hornito.hardware.nn import CachingMode
from hornito.hardware.timing import Timing
from hornito.model.graph import Graph, Operator
from hornito.words import counted

MOST_SHOWN = 12  # shapings; there may be hundreds
SHOWN_DIVISIONS = 6
_MOVES: tuple[str, ...] = ("a choice for this job alone: what level fast makes of moves depends on the whole graph",)
_MOST_DIGITS = 9  # of a job's or an operator's number
_MOST_SHOWN = 40  # characters of what was asked for, in a message
Stages = Sequence[tuple[int, Work, Target]]  # how many jobs of one kind, and the work of each


@dataclass(frozen=True)
class Considered:
    """Something that jobs could be. ``channels``: of a group, 0 where nothing is divided; ``jobs`` in all; ``chosen``:
    the plan does it; ``fast``: level fast would."""

    way: str
    channels: int
    jobs: int
    tile: str
    superblocks: int
    zero_runs: int | None
    kernel_caching: str
    image_caching: str
    macs: int
    bytes: int
    time: Range
    bound: Bound
    chosen: bool = False
    fast: bool = False

    def as_json(self) -> dict[str, Any]:
        found = dataclasses.asdict(self) | {"bound": self.bound.value}
        del found["time"]
        return found | self.time.as_json()


@dataclass(frozen=True)
class Explanation:
    """Of one operator: its ``ways``, and the ``shapings`` of ``job``, one of its jobs (a number in the plan, None where
    it has none that leaves a choice), of ``tried`` in all. ``others``: its other jobs; ``impossible``: what can't be,
    with limit and value."""

    operator: int
    operation: str
    level: Level
    chip: str
    ways: tuple[Considered, ...]
    job: int | None
    shapings: tuple[Considered, ...]
    tried: int
    others: tuple[int, ...]
    impossible: tuple[str, ...]
    reason: str = ""  # why the CPU has it

    def as_json(self) -> dict[str, Any]:
        plain = ("operator", "operation", "chip", "job", "tried", "reason")
        found = {name: getattr(self, name) for name in plain} | {"level": self.level.value}
        for name in ("ways", "shapings"):
            found[name] = [one.as_json() for one in getattr(self, name)]
        return found | {"others": list(self.others), "impossible": list(self.impossible)}


def numbered_jobs(plan: Plan) -> list[Job]:
    """The plan's jobs on NN and TP unit, in order: job N is the Nth, counted from 0."""
    return [task for part in plan.parts if isinstance(part, NpuPart) for task in part.tasks if isinstance(task, Job)]


def explain(plan: Plan, target: str, timing: Timing | None = None) -> Explanation:
    """Of ``target``, a job's number or an operator's (``Op#3``). Raises BadInput where there is none of that name."""
    jobs = numbered_jobs(plan)
    graph, options = plan.graph, plan.options
    asked = _asked(target, len(graph.operators), len(jobs))
    index = asked if target.lower().startswith("op#") else jobs[asked].operator
    operator = graph.operators[index]
    own = [number for number, job in enumerate(jobs) if job.operator == index]
    free = [number for number in own if isinstance(jobs[number], Convolution)]
    chosen = asked if asked in own and not target.lower().startswith("op#") else next(iter(free or own), None)
    why = plan.refusals.get(index)
    if chosen is None:
        reason = why.text if why else "no job: a view of other tensors' bytes, or part of another operator's job"
        return Explanation(
            index, operator.kind, options.level, options.chip.name, (), None, (), 0, (), (), reason=reason
        )
    table = _Table(options, timing)
    ways = table.ways(_alternatives(graph, options, operator), [jobs[number] for number in own])
    job = jobs[chosen]
    shapings: tuple[Considered, ...] = ()
    tried, limits = 0, _MOVES
    if isinstance(job, Convolution):
        shapings, tried = table.shapings(job)
        limits = impossible(job, options.chip)
    others = tuple(number for number in own if number != chosen)
    return Explanation(
        index, operator.kind, options.level, options.chip.name, ways, chosen, shapings, tried, others, limits
    )


def _asked(target: str, operators: int, jobs: int) -> int:
    """The number in ``target``."""
    name = target.lower().removeprefix("op#")
    shown = repr(target if len(target) <= _MOST_SHOWN else f"{target[:_MOST_SHOWN]}...")
    count, what = (operators, "operator") if name != target.lower() else (jobs, "job")
    if not name.isascii() or not name.isdigit() or len(name) > _MOST_DIGITS:
        raise BadInput(f"{shown} is no job of the plan; give its number, or an operator as Op#3")
    if int(name) >= count:
        known = f"they are numbered 0 to {count - 1}" if count else "it has none"
        raise BadInput(f"{shown}: the plan has {counted(count, what)}; {known}")
    return int(name)


def _fast(options: Options) -> Options:
    """As level fast would have it."""
    return options if options.level is Level.FAST else dataclasses.replace(options, level=Level.FAST)


def _alternatives(graph: Graph, options: Options, operator: Operator) -> list[Alternative]:
    """The ways of an operator, as its lowering names them."""
    alone, fast = group_of(graph, True, [operator]), _fast(options)
    segment = Segment(graph, fast, alone, Numbering(graph))
    lower(segment, operator)
    if segment.considered:
        return segment.considered
    undivided = dataclasses.replace(fast, without=fast.without | {Technique.GROUPS})
    segment = Segment(graph, undivided, alone, Numbering(graph))
    lower(segment, operator)
    kept = [task for task in segment.tasks if not isinstance(task, Transpose | Detranspose)]
    return [Alternative("as it is", tuple(kept or segment.tasks))]


class _Table:
    """Prices what is considered."""

    def __init__(self, options: Options, timing: Timing | None) -> None:
        self._own, self._fast = options, _fast(options)
        self._chip, self._timing = options.chip, timing

    def ways(self, alternatives: Sequence[Alternative], jobs: Sequence[Job]) -> tuple[Considered, ...]:
        """Each way in its best divisions, and what the plan does; fastest first."""
        here = self._plan(jobs)
        if not any(isinstance(task, Convolution) for way in alternatives for task in way.tasks):
            return (dataclasses.replace(here, fast=self._own.level is Level.FAST),)
        found = []
        for way in alternatives:
            moves = [(1, self._move(task), Target.TP) for task in way.tasks if isinstance(task, Move)]
            convs = [task for task in way.tasks if isinstance(task, Convolution)]
            if len(convs) != 1:
                found.append(self._row(way.name, 0, [*moves, *self._best(convs)]))
                continue
            whole, *rest = divisions(convs[0], self._fast)
            best = sorted(rest, key=lambda one: one.seconds)[:SHOWN_DIVISIONS]
            for division in (whole, *best):
                stages = [(times, one.work, Target.NN) for times, one in division.parts]
                found.append(self._row(way.name, 0 if division is whole else division.channels, [*moves, *stages]))
        least = min(found, key=lambda one: one.time.seconds)
        found = [dataclasses.replace(one, fast=one is least) for one in found]
        return _marked(here, sorted(found, key=lambda one: one.time.seconds))

    def _plan(self, jobs: Sequence[Job]) -> Considered:
        """What the plan does for an operator, without what only turns tensors to planes and back."""
        kept = [job for job in jobs if not isinstance(job, Transpose | Detranspose)] or list(jobs)
        stages = [(1, self._work(job), Target.TP if isinstance(job, Move) else Target.NN) for job in kept]
        sizes = [job.kernels.count for job in kept if isinstance(job, Convolution)]
        turned = bool(sizes) and any(isinstance(job, Strided) for job in kept)
        name = "this plan, tensors moved as well" if turned else "this plan"
        return dataclasses.replace(self._row(name, max(sizes) if len(sizes) > 1 else 0, stages), chosen=True)

    def _best(self, convs: Iterable[Convolution]) -> list[tuple[int, Work, Target]]:
        return [(times, one.work, Target.NN) for conv in convs for times, one in best_division(conv, self._fast).parts]

    def shapings(self, conv: Convolution) -> tuple[tuple[Considered, ...], int]:
        """How a job may be carried out, fastest first, and how many were tried; what the plan does is among them."""
        tried = all_priced(conv, self._fast)
        encoded = encode_job(conv, self._own).convolution
        assert encoded is not None
        d = encoded.descriptor
        work = nn_work(d, len(encoded.coefficients.blob), self._chip)
        modes = CachingMode(d.kernel_caching_mode), CachingMode(d.image_caching_mode)
        size = f"{encoded.tile.width}x{encoded.tile.height}"
        here = dataclasses.replace(
            self._row("this plan", 0, [(1, work, Target.NN)]),
            tile=size,
            superblocks=encoded.tile.superblocks,
            zero_runs=self._zero_runs(encoded.coefficients.zrl_bits),
            kernel_caching=modes[0].name.lower(),
            image_caching=modes[1].name.lower(),
            chosen=True,
        )
        best, reference = shaping_of(conv, self._fast).tile, choose_tile(conv, self._chip)
        each = _distinct(tried)
        shown = each[:MOST_SHOWN] + [one for one in each[MOST_SHOWN:] if one.tile in (best, reference)]
        rows = [
            dataclasses.replace(
                self._shaping(conv, one),
                fast=one.tile == best,
                way="the reference driver's tile" if one.tile == reference else "",
            )
            for one in shown
        ]
        return _marked(here, rows), len(tried)

    def _shaping(self, conv: Convolution, one: Priced) -> Considered:
        shaping, geometry = shaping_as(one, self._fast), geometry_of(conv)
        size = measure_coefficients(conv, shaping, self._chip)
        caching = caching_of(geometry, shaping, Taken(size.bytes, size.cached_bytes), self._chip)
        work = work_of(geometry, cut(one.tile, caching), size.bytes, self._chip)
        return dataclasses.replace(
            self._row("", 0, [(1, work, Target.NN)]),
            tile=f"{one.tile.width}x{one.tile.height}",
            superblocks=one.tile.superblocks,
            zero_runs=self._zero_runs(size.zero_runs),
            kernel_caching=CachingMode(caching["kernel_caching_mode"]).name.lower(),
            image_caching=CachingMode(caching["image_caching_mode"]).name.lower(),
        )

    def _zero_runs(self, bits: int) -> int | None:
        return bits if self._chip.nn_version == 7 else None

    def _move(self, move: Move) -> Work:
        return sum((self._work(job) for job in divide(move, self._fast)), Work())

    def _work(self, task: Task) -> Work:
        """Of a job as the plan has it."""
        if isinstance(task, Move):
            return move_work(move_descriptors(task, self._chip))
        assert isinstance(task, Convolution)
        encoded = encode_job(task, self._own).convolution
        assert encoded is not None
        return nn_work(encoded.descriptor, len(encoded.coefficients.blob), self._chip)

    def _row(self, way: str, channels: int, stages: Stages) -> Considered:
        items = [Item(target, "", "", work) for times, work, target in stages for _ in range(times)]
        found = estimate(Demand("", tuple(items)), self._chip, self._timing)
        work = found.work
        return Considered(
            way,
            channels,
            len(items),
            "",
            0,
            None,
            "",
            "",
            work.macs,
            work.traffic,
            found.total,
            found.bound,
        )


def _distinct(tried: Sequence[Priced]) -> list[Priced]:
    """The best of each tile; ``tried`` has the best first."""
    found: dict[Tile, Priced] = {}
    for one in tried:
        found.setdefault(one.tile, one)
    return list(found.values())


def _marked(here: Considered, rows: Sequence[Considered]) -> tuple[Considered, ...]:
    """The rows with the plan's own marked, which is added where it is none of them."""

    def same(one: Considered) -> bool:
        return (
            dataclasses.replace(one, way=here.way, channels=here.channels, chosen=here.chosen, fast=here.fast) == here
        )

    own = next((number for number, one in enumerate(rows) if same(one)), None)
    if own is None:
        return (here, *rows)
    return (*rows[:own], dataclasses.replace(rows[own], chosen=True), *rows[own + 1 :])
