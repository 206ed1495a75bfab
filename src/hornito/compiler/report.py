# SPDX-License-Identifier: MIT
"""What does a compiled plan consist of, row by row? What ``hornito plan`` shows, as plain values."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hornito.compiler.assemble import Compiled
from hornito.compiler.encoded import EncodedJob
from hornito.compiler.evidence import Trust
from hornito.compiler.operators import MOVES
from hornito.compiler.options import Level, Unit
from hornito.compiler.plan import CpuPart, MovePart, NpuPart, Plan, make_plan
from hornito.compiler.residence import kept_on_chip, tensor_memory
from hornito.compiler.tasks import Convolution, Detranspose, Job, Move, Strided, Transpose, View
from hornito.compiler.waves import Waves
from hornito.cost import Choices, Demand, Item, Target, Work, choices_of, move_work, nn_work
from hornito.hardware.chips import CoefficientFormat
from hornito.model.graph import DepthwiseOptions, Graph, Operator


@dataclass(frozen=True)
class Row:
    """One job. ``weight_bytes``: the layer's weights and biases in the model, ``work.coefficient_bytes`` when packed;
    ``real_macs``: what the layer needs, of which ``work.macs`` is what the hardware is given; ``reason``:
    the rule that keeps an operator on the CPU, or what marks a job; ``off_by``: the most, in output steps, that the
    operator's results may differ from exact ones beside rounding, for per-axis weights that share jobs; ``piece``:
    which of the operator's outputs the job computes, where it was too big for one; ``elements``: those that the CPU
    reads and writes; ``choices``: what the descriptor states of tiling and caching; ``wave``: jobs of the same segment
    and wave may run at the same time, None: alone."""

    segment: int
    unit: Unit
    operator: int
    operation: str
    input: tuple[int, ...]
    output: tuple[int, ...]
    tile: str = ""
    superblocks: int = 0
    zrl_bits: int = 0
    real_macs: int = 0
    weight_bytes: int = 0
    work: Work = Work()
    reason: str = ""
    off_by: int = 0
    piece: str = ""
    elements: int = 0
    choices: Choices = Choices()
    wave: int | None = None

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"unit": self.unit.value}


@dataclass(frozen=True)
class Crossing:
    """A tensor that goes to the NPU ("in") or comes back ("out"): ``bytes`` that the CPU copies, and ``turned``
    bytes of traffic on the NPU for changing its layout."""

    segment: int
    direction: str
    tensor: int
    name: str
    bytes: int
    turned: int

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


def crossings(compiled: Compiled) -> list[Crossing]:
    """What crosses between NPU and CPU, segment by segment."""
    plan = compiled.plan
    found: list[Crossing] = []
    encoded = iter(compiled.jobs)
    for segment, part in enumerate(plan.parts):
        if not isinstance(part, NpuPart):
            continue
        turning = [job for job in next(encoded) if _turns(plan.graph, job.task)]
        for direction, numbers in (("in", part.inputs), ("out", part.outputs)):
            for number in numbers:
                jobs = [job for job in turning if number in (job.task.source, job.task.target)]
                traffic = sum(move_work(job.descriptors).traffic for job in jobs)
                info = plan.tensor(number)
                found.append(Crossing(segment, direction, number, info.name, info.bytes, traffic))
    return found


def _turns(graph: Graph, task: Job) -> bool:
    """Is a job there to change a tensor's layout, on behalf of an operator that is no move itself?"""
    moved = isinstance(task, Strided) and graph.operators[task.operator].kind not in MOVES
    return moved or isinstance(task, Transpose | Detranspose)


@dataclass(frozen=True)
class Outlook:
    """What the next plan level would bring: how many operators the CPU has, and their multiplications; and how many of
    both would be the NPU's at ``level``."""

    level: Level
    on_cpu: int
    macs_on_cpu: int
    brought: int
    macs_brought: int

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self) | {"level": self.level.value}


def outlook(plan: Plan) -> Outlook | None:
    """What the next plan level would bring, or None where there is none, or nothing that it brings."""
    if plan.options.level is not Level.PROVEN or not plan.refusals:
        return None  # level fast takes the same operators as wide
    graph = plan.graph
    further = make_plan(graph, dataclasses.replace(plan.options, level=Level.WIDE))
    brought = plan.refusals.keys() - further.refusals.keys()
    macs = {index: real_macs(graph, graph.operators[index]) for index in plan.refusals}
    if not brought:
        return None
    return Outlook(Level.WIDE, len(macs), sum(macs.values()), len(brought), sum(macs[index] for index in brought))


def nothing_for_npu(plan: Plan) -> str:
    """Why the NPU gets no operator of a plan, by the first one's reason; and what the next level would bring."""
    first = next(iter(plan.refusals.values()), "it has no operators")
    ahead = outlook(plan)
    more = "" if ahead is None else f"; --plan {ahead.level} would bring it {ahead.brought} of {ahead.on_cpu}"
    return f"the NPU can run none of its operators ({first}){more}"


def sharing(plan: Plan) -> str | None:
    """By how much results of a plan may be off because per-axis weights share jobs; None where none do."""
    tasks = [task for part in plan.parts if isinstance(part, NpuPart) for task in part.tasks]
    off = {task.operator: task.off_by for task in tasks if isinstance(task, Convolution) and task.off_by}
    if not off:
        return None
    which = "1 operator" if len(off) == 1 else f"{len(off)} operators"
    return (
        f"per-axis weights of {which} share jobs: at worst results are off by {max(off.values())} output steps, "
        f"on average far less; a --per-axis-error below {plan.options.per_axis_error:g} lessens that, for more jobs"
    )


def rows(compiled: Compiled) -> list[Row]:
    """Every job of the plan in the order in which they run."""
    plan = compiled.plan
    graph = plan.graph
    found: list[Row] = []
    encoded = iter(zip(compiled.jobs, compiled.waves, strict=True))
    for segment, part in enumerate(plan.parts):
        match part:
            case NpuPart():
                own, waves = next(encoded)
                jobs, numbers = iter(own), _numbers(waves)
                for task in part.tasks:
                    if isinstance(task, View):
                        found.append(_view_row(graph, segment, task))
                    else:
                        made = _npu_rows(compiled, segment, next(jobs))
                        found += [dataclasses.replace(row, wave=next(numbers)) for row in made]
            case CpuPart():
                for index in part.operators:
                    operator = graph.operators[index]
                    why = plan.refusals[index]
                    macs = real_macs(graph, operator)
                    found.append(
                        Row(
                            segment,
                            Unit.CPU,
                            index,
                            operator.kind,
                            _shape(graph, operator.inputs[:1]),
                            _shape(graph, operator.outputs[:1]),
                            real_macs=macs,
                            reason=why.text,
                            elements=_elements(graph, operator),
                        )
                    )
            case MovePart():
                found += [
                    Row(
                        segment,
                        Unit.CPU,
                        move.operator,
                        _move_name(graph, move),
                        _sizes(move, before=True),
                        _sizes(move, before=False),
                        reason="needs the TP unit; it has none (--disable tp)",
                        elements=math.prod(_sizes(move, before=True)) + math.prod(_sizes(move, before=False)),
                    )
                    for move in part.moves
                ]
    return found


def _numbers(waves: Waves | None) -> Iterator[int | None]:
    """The wave of each job in order."""
    if waves is None:
        yield from itertools.repeat(None)
    for number, wave in enumerate(waves or ()):
        yield from itertools.repeat(number, len(wave))


def _view_row(graph: Graph, segment: int, view: View) -> Row:
    operator = graph.operators[view.operator]
    inputs = [graph.tensor(index) for index in operator.inputs if index >= 0]
    moved = next(tensor for tensor in reversed(inputs) if not tensor.is_constant)  # others say how
    after = graph.tensor(operator.outputs[0]).shape
    return Row(segment, Unit.VIEW, view.operator, operator.kind, moved.shape, after)


def _npu_rows(compiled: Compiled, segment: int, job: EncodedJob) -> list[Row]:
    plan, task = compiled.plan, job.task
    operator = plan.graph.operators[task.operator]
    unproven = plan.evidence[task.operator].trust is not Trust.SILICON
    marks = ["unproven on silicon"] if unproven else []
    marks += [task.note] if isinstance(task, Convolution) and task.note else []
    reason = "; ".join(marks)
    sizes = _sizes(task, before=True), _sizes(task, before=False)
    if job.convolution is None:
        assert isinstance(task, Move)
        name, parts = _move_name(plan.graph, task), job.flushed
        pieces = [f"part {number} of {len(parts)}" if len(parts) > 1 else "" for number in range(1, len(parts) + 1)]
        return [
            Row(segment, Unit.TP, task.operator, name, *sizes, work=move_work(part), reason=reason, piece=piece)
            for part, piece in zip(parts, pieces, strict=True)
        ]
    assert isinstance(task, Convolution)
    conv = job.convolution
    tensors = [plan.graph.tensor(index) for index in operator.inputs[1:] if index >= 0]
    # Of an operator that takes several jobs, each has the share of the outputs that it computes.
    pixels = task.output.rows * task.output.columns
    channels = plan.graph.tensor(operator.outputs[0]).shape[-1]
    whole = channels * task.target_frame.plane_bytes
    own = (channels if task.outputs is None else task.outputs) * pixels
    row = Row(
        segment,
        Unit.NN,
        task.operator,
        operator.kind,
        *sizes,
        tile=f"{conv.tile.width}x{conv.tile.height}",
        superblocks=conv.tile.superblocks,
        zrl_bits=conv.coefficients.zrl_bits,
        real_macs=real_macs(plan.graph, operator) * own // whole,
        weight_bytes=sum(tensor.nbytes for tensor in tensors) * own // whole,
        work=nn_work(conv.descriptor, len(conv.coefficients.blob), plan.options.chip),
        reason=reason,
        off_by=task.off_by,
        piece=task.piece,
        choices=choices_of(conv.descriptor, plan.options.chip, conv.coefficients.zrl_bits),
    )
    return [row]


def demand(compiled: Compiled) -> Demand:
    """What an inference consists of, as far as time goes: submissions, copies, jobs, the CPU's operators, in order."""
    plan = compiled.plan
    items: list[Item] = []
    copies = crossings(compiled)
    found = rows(compiled)
    for segment, part in enumerate(plan.parts):
        npu = isinstance(part, NpuPart)
        own = [one for one in copies if one.segment == segment]
        items += [_copy(one) for one in own if one.direction == "in"]
        if npu:
            items.append(Item(Target.SUBMIT, f"segment {segment}", "SUBMIT"))
        items += [_item(plan, row) for row in found if row.segment == segment and row.unit is not Unit.VIEW]
        items += [_copy(one) for one in own if one.direction == "out"]
    on_chip = _on_chip(compiled, items) if plan.options.level.reaches(Level.FAST) else ()
    memory: dict[str, int] = {}
    for submission in compiled.archive.submissions:
        for buffer in submission.buffers:
            memory[buffer.kind.value] = memory.get(buffer.kind.value, 0) + buffer.size
    name = plan.graph.name.rsplit("/", 1)[-1].removesuffix(".tflite")
    title = f"{name}, {plan.options.chip.name}, {plan.options.level.value}"
    unproven = plan.options.chip.coefficient_format is CoefficientFormat.UNPROVEN
    return Demand(title, tuple(items), memory, unproven, tensor_memory(compiled), on_chip)


def _on_chip(compiled: Compiled, items: Sequence[Item]) -> tuple[Item, ...]:
    """The items if tensors stayed on the chip; none where it has no memory for that."""
    if not compiled.plan.options.chip.axi_sram:
        return ()
    works = iter([work for number in range(len(compiled.jobs)) for work in kept_on_chip(compiled, number)])
    npu = (Target.NN, Target.TP)
    return tuple(dataclasses.replace(item, work=next(works)) if item.target in npu else item for item in items)


def _copy(one: Crossing) -> Item:
    return Item(Target.COPY, f"T#{one.tensor}", f"COPY {one.direction}", bytes=one.bytes)


def _item(plan: Plan, row: Row) -> Item:
    target = {Unit.NN: Target.NN, Unit.TP: Target.TP}.get(row.unit, Target.CPU)
    kind = plan.graph.operators[row.operator].kind
    name = f"{row.operation} {row.piece}".rstrip()
    wave = None if row.wave is None else (row.segment, row.wave)
    work, macs, elements, choices = row.work, row.real_macs, row.elements, row.choices
    return Item(target, f"Op#{row.operator} {kind}", name, work, macs, elements, choices=choices, wave=wave)


def _elements(graph: Graph, operator: Operator) -> int:
    """What an operator on the CPU reads and writes, constants aside."""
    inputs = [graph.tensor(index) for index in operator.inputs if index >= 0]
    moving = [tensor for tensor in inputs if not tensor.is_constant]
    outputs = [graph.tensor(index) for index in operator.outputs]
    return sum(tensor.elements for tensor in (*moving, *outputs) if tensor.shape)


def real_macs(graph: Graph, operator: Operator) -> int:
    """Multiplications that an operator needs, 0 for those that are no convolution or matrix product."""
    if operator.kind not in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED") or len(operator.inputs) < 2:
        return 0
    output, weights = graph.tensor(operator.outputs[0]), graph.tensor(operator.inputs[1])
    if not weights.shape or not output.shape:
        return 0
    outputs = weights.shape[-1] if isinstance(operator.options, DepthwiseOptions) else weights.shape[0]
    return output.elements * weights.elements // max(outputs, 1)


def _move_name(graph: Graph, move: Move) -> str:
    if isinstance(move, Strided):
        kind = graph.operators[move.operator].kind
        return kind if kind in MOVES else "MOVE"
    return type(move).__name__.upper()


def _sizes(task: Job, *, before: bool) -> tuple[int, ...]:
    shape = task.input if before else task.output
    return shape.rows, shape.columns, shape.channels


def _shape(graph: Graph, tensors: tuple[int, ...]) -> tuple[int, ...]:
    return graph.tensor(tensors[0]).shape if tensors and tensors[0] >= 0 else ()
