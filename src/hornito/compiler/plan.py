# SPDX-License-Identifier: MIT
"""What runs where, in which order, and why? A ``Plan``: nothing in it is encoded or has an address yet."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hornito.compiler.bands import is_band
from hornito.compiler.crossings import fewest_crossings
from hornito.compiler.evidence import Basis
from hornito.compiler.operators import MOVES, basis, lower, refusal
from hornito.compiler.options import Level, Options, Unit
from hornito.compiler.partition import Group, partition
from hornito.compiler.rewrites import Jobs, Rewrite, pass_planes, rewritten
from hornito.compiler.rules import Refusal, lacks
from hornito.compiler.segment import MAX_LINE, Numbering, Planes, Segment, shape_of, turns
from hornito.compiler.tasks import Move, Task
from hornito.model.graph import Graph, Operator, Tensor
from hornito.stream import TensorInfo

IDLE = "operators that compute on the NPU next to it"
EDGE = f"at most {MAX_LINE} columns * channels in a result that leaves the segment"


@dataclass(frozen=True)
class Part:
    """A step of the plan: the tensors (numbers) that it takes and gives."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class NpuPart(Part):
    """Jobs of one submission."""

    tasks: tuple[Task, ...]


@dataclass(frozen=True)
class CpuPart(Part):
    """Operators (indices) that LiteRT runs."""

    operators: tuple[int, ...]


@dataclass(frozen=True)
class MovePart(Part):
    """Moves that the CPU does in the place of the TP cores."""

    moves: tuple[Move, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """Where each operator of ``graph`` runs. ``planes``: the tensors that lowering added, by number; ``refusals``: why
    operators are on the CPU, by operator; ``evidence``: what the jobs of the others are known by; ``keys``: what a
    report must prove of them (evidence.py); ``rewrites``: what was changed about jobs once all were there."""

    graph: Graph
    options: Options
    parts: tuple[NpuPart | CpuPart | MovePart, ...]
    planes: dict[int, Planes]
    refusals: dict[int, Refusal]
    evidence: dict[int, Basis]
    keys: dict[int, tuple[str, ...]]
    rewrites: tuple[Rewrite, ...] = ()

    @property
    def uses_npu(self) -> bool:
        return any(isinstance(part, NpuPart) for part in self.parts)

    def tensor(self, number: int) -> TensorInfo:
        """A tensor that crosses from part to part, as the model, or for added planes their shape, declares it."""
        if number not in self.planes:
            return tensor_info(self.graph.tensor(number))
        planes = self.planes[number]
        model = tensor_info(self.graph.tensor(planes.of))
        shape = (1, planes.shape.channels, planes.shape.rows, planes.shape.columns)
        return TensorInfo(number, f"{model.name} (planes)", shape, model.dtype, model.scale, model.zero_point)


def tensor_info(tensor: Tensor) -> TensorInfo:
    """What a submission file keeps of a model's tensor; strings and other types without numbers keep their name."""
    dtype = tensor.dtype.name if tensor.dtype is not None else tensor.type_name.lower()
    quantization = tensor.quantization
    if quantization is None or not quantization.per_tensor:
        return TensorInfo(tensor.index, tensor.name, tensor.shape, dtype)
    scale, zero_point = quantization.scale, quantization.zero_point
    return TensorInfo(tensor.index, tensor.name, tensor.shape, dtype, scale, zero_point)


def make_plan(graph: Graph, options: Options) -> Plan:
    """Decide where each operator runs, for any chip; not for every one can a plan be compiled."""
    refusals = {op.index: why for op in graph.operators if (why := refusal(graph, op, options))}
    wide = options.level.reaches(Level.WIDE)
    group_up, keeps = (fewest_crossings, _idle) if wide else (partition, _too_wide)
    while True:
        groups = group_up(graph, frozenset(refusals))
        more = {why.operator: why for why in keeps(graph, groups, options)}
        if not more:
            break
        refusals |= more
    numbering = Numbering(graph)
    lowered = [_lowered(graph, options, group, numbering) for group in groups if group.accepted]
    for_others = {*graph.outputs, *(index for group in groups if not group.accepted for index in group.inputs)}
    lowered, rewrites = pass_planes(lowered, for_others, options)
    segments = iter(lowered)
    parts: list[NpuPart | CpuPart | MovePart] = []
    for group in groups:
        if group.accepted:
            jobs, changes = rewritten(next(segments), options)
            rewrites += changes
            parts += _split(jobs, options)
        else:
            parts.append(CpuPart(group.inputs, group.outputs, tuple(op.index for op in group.operators)))
    banded = {task.operator for part in parts if isinstance(part, NpuPart) for task in part.tasks if is_band(task)}
    accepted = [op for op in graph.operators if op.index not in refusals]
    found = {op.index: basis(graph, op, options, op.index in banded) for op in accepted}
    known = {index: own for index, (own, _) in found.items()}
    keys = {index: own for index, (_, own) in found.items()}
    return Plan(graph, options, tuple(parts), numbering.planes, refusals, known, keys, tuple(rewrites))


def _lowered(graph: Graph, options: Options, group: Group, numbering: Numbering) -> Jobs:
    """The jobs of a group's operators."""
    segment = Segment(graph, options, group, numbering)
    for operator in group.operators:
        lower(segment, operator)
    return Jobs(tuple(segment.tasks), group.inputs, group.outputs)


def _too_wide(graph: Graph, groups: Sequence[Group], _: Options) -> Iterator[Refusal]:
    """Operators whose result leaves its group but is too wide for the job that turns planes back."""
    for group in groups:
        for operator in group.operators if group.accepted else ():
            for output in operator.outputs:
                shape = shape_of(graph.tensor(output))
                if output in group.outputs and turns(shape) and shape.columns * shape.channels > MAX_LINE:
                    yield lacks(operator, EDGE, str(shape.columns * shape.channels))


def _idle(_: Graph, groups: Sequence[Group], options: Options) -> Iterator[Refusal]:
    """Operators that would cross to the NPU only to be moved there, while others are the CPU's anyway."""
    if len(groups) == 1 and Unit.TP not in options.disabled:
        return
    for group in groups:
        for operators in _connected(group) if group.accepted else ():
            if all(operator.kind in MOVES for operator in operators):
                for operator in operators:
                    yield lacks(operator, IDLE, "other moves" if len(operators) > 1 else "none")


def _connected(group: Group) -> list[list[Operator]]:
    """A group's operators, parted into those that pass no tensors to each other."""
    parts: list[list[Operator]] = []
    for operator in group.operators:
        tensors = {*operator.inputs, *operator.outputs} & {index for op in group.operators for index in op.outputs}
        near = [part for part in parts if any(tensors & {*op.inputs, *op.outputs} for op in part)]
        parts = [part for part in parts if part not in near]
        parts.append([*(op for part in near for op in part), operator])
    return parts


def _split(jobs: Jobs, options: Options) -> list[NpuPart | CpuPart | MovePart]:
    """One part, or without TP cores as many as there are changes between convolutions and moves."""
    if Unit.TP not in options.disabled:
        return [NpuPart(jobs.inputs, jobs.outputs, jobs.tasks)]
    runs: list[list[Task]] = []
    for task in jobs.tasks:
        if not runs or isinstance(runs[-1][-1], Move) != isinstance(task, Move):
            runs.append([])
        runs[-1].append(task)
    parts: list[NpuPart | CpuPart | MovePart] = []
    for number, run in enumerate(runs):
        written = {place for task in run for place in task.writes}
        wanted = {place for later in runs[number + 1 :] for task in later for place in task.reads} | set(jobs.outputs)
        inputs = tuple(dict.fromkeys(place for task in run for place in task.reads if place not in written))
        outputs = tuple(place for task in run for place in task.writes if place in wanted)
        moves = tuple(task for task in run if isinstance(task, Move))
        parts.append(MovePart(inputs, outputs, moves) if moves else NpuPart(inputs, outputs, tuple(run)))
    return parts


def operators_of(plan: Plan, part: NpuPart | CpuPart | MovePart) -> tuple[Operator, ...]:
    """The model's operators that a part works on, in order."""
    if isinstance(part, CpuPart):
        indices: tuple[int, ...] = part.operators
    else:
        tasks: tuple[Task, ...] = part.tasks if isinstance(part, NpuPart) else part.moves
        indices = tuple(dict.fromkeys(task.operator for task in tasks))
    return tuple(plan.graph.operators[index] for index in indices)
