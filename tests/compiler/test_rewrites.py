# SPDX-License-Identifier: MIT
"""Which jobs does plan level fast leave out or put together, and which must stay?"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from hornito.compiler import Level, Options, Technique, compile_graph, make_plan
from hornito.compiler.plan import NpuPart
from hornito.compiler.residence import tensor_memory
from hornito.compiler.rewrites.borders import fold_borders
from hornito.compiler.rewrites.clamps import fold_clamps
from hornito.compiler.rewrites.flow import Jobs
from hornito.compiler.tasks import Convolution, Detranspose, Job, Pad, Reshuffle, Strided, Transpose
from hornito.model import Graph, ModelBuilder, Padding, Value, affine
from tests.compiler.networks import CHIP, Layer, made
from tests.compiler.test_crossings import two

OTHERS = frozenset({Technique.GROUPS, Technique.TILES, Technique.CACHING, Technique.STRIDES})  # of single jobs
ZERO = affine(0.05, 3)
BY_ONE = [(0, 0), (1, 1), (1, 1), (0, 0)]


def jobs(graph: Graph, *without: Technique) -> list[Job]:
    (part,) = make_plan(graph, Options(CHIP, Level.FAST, without=OTHERS.union(without))).parts
    assert isinstance(part, NpuPart)
    return [task for task in part.tasks if isinstance(task, Job)]


def kinds(graph: Graph, *without: Technique) -> list[str]:
    return [type(job).__name__ for job in jobs(graph, *without)]


def model(*layers: Callable[[ModelBuilder, Value], Value], channels: int = 8, size: int = 12) -> Graph:
    """Layers behind a convolution, so that they find planes."""

    def build(b: ModelBuilder) -> Sequence[Value]:
        value = b.input("image", (1, size, size, 3), np.uint8, quantization=ZERO)
        value = Layer(inputs=3, outputs=channels).add(b, value) if channels else value
        for layer in layers:
            value = layer(b, value)
        return [value]

    return made(build)


def pad(b: ModelBuilder, value: Value) -> Value:
    return b.pad(value, BY_ONE)


def conv(stride: int = 1, padding: Padding = Padding.VALID, kernel: int = 3) -> Callable[[ModelBuilder, Value], Value]:
    def add(b: ModelBuilder, value: Value) -> Value:
        return Layer(inputs=value.shape[3], stride=stride, padding=padding, kernel=kernel).add(b, value)

    return add


def test_convolution_sees_the_border_that_a_pad_would_write() -> None:
    (_, last) = [job for job in jobs(model(pad, conv())) if isinstance(job, Convolution)]
    assert (last.offset_x, last.offset_y, last.input.rows, last.output.rows) == (-1, -1, 12, 12)
    assert "Pad" not in kinds(model(pad, conv()))
    assert "Pad" in kinds(model(pad, conv()), Technique.FOLDS)


def test_reshuffle_sees_the_border_that_a_pad_would_write() -> None:
    found = jobs(model(pad, conv(stride=2)))
    (move,) = [job for job in found if isinstance(job, Reshuffle)]
    assert (move.pad_x, move.pad_y, move.input.rows) == (1, 1, 12)
    assert not any(isinstance(job, Pad) for job in found)


def test_pad_stays_whose_result_leaves_or_is_joined() -> None:
    def branches(b: ModelBuilder) -> Sequence[Value]:
        value = Layer().add(b, Layer().input(b))
        padded = pad(b, value)
        return [padded, conv()(b, padded)]

    assert "Pad" in kinds(made(branches))


def test_window_that_would_begin_too_far_outside_keeps_its_pad() -> None:
    far = CHIP.max_offset + 1

    def wide(b: ModelBuilder, value: Value) -> Value:
        return b.pad(value, [(0, 0), (far, far), (far, far), (0, 0)])

    assert "Strided" in kinds(model(wide, conv()), Technique.CORES)


def test_input_is_turned_and_parted_at_once() -> None:
    graph = model(conv(stride=2, padding=Padding.SAME), channels=0)
    assert kinds(graph)[:2] == ["Strided", "Convolution"]
    assert kinds(graph, Technique.LAYOUTS, Technique.CORES)[:3] == ["Transpose", "Reshuffle", "Convolution"]


def test_two_convolutions_share_the_parted_image() -> None:
    def branches(b: ModelBuilder) -> Sequence[Value]:
        value = Layer().add(b, Layer().input(b))
        return [conv(2, Padding.SAME)(b, value), conv(2, Padding.SAME)(b, value)]

    assert kinds(made(branches)).count("Reshuffle") == 1
    assert kinds(made(branches), Technique.LAYOUTS).count("Reshuffle") == 2


def test_different_paddings_are_parted_apart() -> None:
    def branches(b: ModelBuilder) -> Sequence[Value]:
        value = Layer(rows=9).add(b, Layer(rows=9).input(b))
        return [conv(2, Padding.SAME)(b, value), conv(2, Padding.VALID)(b, value)]

    assert kinds(made(branches)).count("Reshuffle") == 2


@pytest.mark.parametrize(("size", "turned"), [(3, 0), (4, 1)])
def test_single_pixels_are_not_turned_back(size: int, turned: int) -> None:
    found = jobs(model(conv(), size=size, channels=4), Technique.CORES)
    assert sum(isinstance(job, Detranspose) for job in found) == turned


def test_large_moves_are_dealt_out_and_small_ones_not() -> None:
    large = jobs(model(conv(), size=64))
    assert isinstance(large[0], Strided) and isinstance(large[-1], Strided)
    small = jobs(model(conv(), size=12))
    assert isinstance(small[0], Transpose) and isinstance(small[-1], Detranspose)


def test_other_levels_change_nothing() -> None:
    for level in (Level.PROVEN, Level.WIDE):
        assert make_plan(model(pad, conv(stride=2)), Options(CHIP, level)).rewrites == ()


def test_each_change_says_what_it_is_for() -> None:
    found = make_plan(model(pad, conv(stride=2)), Options(CHIP, Level.FAST, without=OTHERS)).rewrites
    assert [(one.operator, one.technique) for one in found] == [(1, Technique.FOLDS)]


def skipping(*, cpu_reads: bool = False, is_output: bool = False) -> Graph:
    """A tensor goes from one NPU segment to another, past an operator of the CPU between them."""

    def build(b: ModelBuilder) -> Sequence[Value]:
        skipped = Layer(outputs=4).add(b, Layer().input(b))
        near = Layer(outputs=4, seed=1).add(b, skipped)
        far = two(b, "MAXIMUM", near, skipped if cpu_reads else near)
        last = b.add(Layer(outputs=4, seed=2).add(b, far), skipped, quantization=ZERO)
        return [last, skipped] if is_output else [last]

    return made(build)


def crossing(graph: Graph, *without: Technique) -> list[tuple[int, ...]]:
    """Shapes of what goes from the first segment to the last."""
    plan = make_plan(graph, Options(CHIP, Level.FAST, without=OTHERS.union(without)))
    first, _, last = plan.parts
    assert isinstance(first, NpuPart) and isinstance(last, NpuPart)
    return [plan.tensor(number).shape for number in first.outputs if number in last.inputs]


def test_tensor_between_two_segments_stays_in_planes() -> None:
    assert crossing(skipping()) == [(1, 4, 8, 8)]
    assert crossing(skipping(), Technique.LAYOUTS) == [(1, 8, 8, 4)]


@pytest.mark.parametrize(("cpu_reads", "is_output"), [(True, False), (False, True)], ids=["the CPU", "the user"])
def test_tensor_between_two_segments_is_turned_back_for_who_wants_it(cpu_reads: bool, is_output: bool) -> None:
    assert crossing(skipping(cpu_reads=cpu_reads, is_output=is_output)) == [(1, 8, 8, 4)]


def test_convolution_clamps_its_own_results() -> None:
    def relu(b: ModelBuilder, value: Value) -> Value:
        return b.elementwise("RELU", value, quantization=value.quantization)

    (first, last) = [job for job in jobs(model(conv(), relu)) if isinstance(job, Convolution)]
    assert (first.relu, last.relu) == (False, True)
    assert kinds(model(conv(), relu), Technique.FOLDS).count("Convolution") == 3


def unfolded(graph: Graph, place: int, **changes: int) -> Jobs:
    """The jobs of a graph before any is left out, the NN job at ``place`` of them changed."""
    (part,) = make_plan(graph, Options(CHIP, Level.FAST, without=frozenset(Technique))).parts
    assert isinstance(part, NpuPart)
    tasks = list(part.tasks)
    at = [number for number, task in enumerate(tasks) if isinstance(task, Convolution)][place]
    tasks[at] = dataclasses.replace(tasks[at], **changes)  # type: ignore[arg-type]
    return Jobs(tuple(tasks), part.inputs, part.outputs)


FAST = Options(CHIP, Level.FAST)


def test_clamp_at_another_zero_point_than_its_maker_stays() -> None:
    def relu(b: ModelBuilder, value: Value) -> Value:
        return b.elementwise("RELU", value, quantization=value.quantization)

    graph = model(relu)
    assert len(fold_clamps(unfolded(graph, 0), FAST)[1]) == 1
    changed = unfolded(graph, 0, output_zero_point=77)
    assert fold_clamps(changed, FAST) == (changed, [])


def test_border_of_another_zero_point_than_its_reader_sees_stays() -> None:
    graph = model(pad, conv())
    assert len(fold_borders(unfolded(graph, 1), FAST)[1]) == 1
    changed = unfolded(graph, 1, input_zero_point=77)
    assert fold_borders(changed, FAST) == (changed, [])


def test_clamp_stays_at_another_scale_or_where_the_tensor_is_wanted_as_it_is() -> None:
    def elsewhere(b: ModelBuilder, value: Value) -> Value:
        return b.elementwise("RELU", value, quantization=affine(0.04, 3))

    def both(b: ModelBuilder) -> Sequence[Value]:
        value = Layer().add(b, Layer().input(b))
        return [value, b.elementwise("RELU", value, quantization=value.quantization)]

    assert kinds(model(conv(), elsewhere)).count("Convolution") == 3
    assert kinds(made(both)).count("Convolution") == 2


def test_branches_are_finished_one_after_the_other_where_that_needs_less_memory() -> None:
    def abreast(b: ModelBuilder) -> Sequence[Value]:
        value = Layer(outputs=4).add(b, Layer().input(b))
        wide = [Layer(outputs=64, kernel=1, seed=seed).add(b, value) for seed in range(3)]
        return [Layer(inputs=64, outputs=4, kernel=1, seed=3).add(b, one) for one in wide]

    def branches(*without: Technique) -> tuple[list[int], int]:
        compiled = compile_graph(made(abreast), Options(CHIP, Level.FAST, without=OTHERS.union(without)))
        order = [job.task.operator for job in compiled.jobs[0] if isinstance(job.task, Convolution)]
        return order, tensor_memory(compiled).placed

    before, after = branches(Technique.ORDER), branches()
    assert before[0] == [0, 1, 2, 3, 4, 5, 6]
    assert after[0] == [0, 1, 4, 2, 5, 3, 6]
    assert after[1] < before[1]
