# SPDX-License-Identifier: MIT
"""Are jobs on bands of rows and columns, and on groups of channels, together what one job is?

Against TFLite's reference kernels, within 1, where no single job could hold the tensors; and against the single job,
byte for byte, where limits far below the hardware's are invented.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hornito.compiler import Level, Options, compile_plan, make_plan, rows
from hornito.compiler.bands import FIELDS, Limits, cut
from hornito.compiler.plan import NpuPart, Plan
from hornito.compiler.tasks import Convolution, Job, Reshuffle
from hornito.driver import Device
from hornito.model import (
    Activation,
    AddOptions,
    ModelBuilder,
    Padding,
    Pool2DOptions,
    affine,
    read_model,
)
from tests.runtime.networks import Array, Dtype, furthest, litert, noise
from tests.runtime.test_wide import FIXTURES, Layer, check, compiled, device, run

__all__ = ["device"]
DTYPES: tuple[Dtype, ...] = (np.uint8, np.int8)


def banded(model: bytes, device: Device, limits: Limits) -> tuple[list[Array], list[Array], int]:
    """Results of a model as it is compiled, those with all jobs cut to fit other limits, and by how many jobs more."""
    plan = compiled(model, device).plan
    graph = plan.graph
    parts, more = [], 0
    for part in plan.parts:
        assert isinstance(part, NpuPart)
        tasks = tuple(itertools.chain.from_iterable(cut(task, limits) for task in part.tasks))
        more += len(tasks) - len(part.tasks)
        parts.append(replace(part, tasks=tasks))
    for task in itertools.chain.from_iterable(part.tasks for part in parts):
        assert fits(task, limits)
    values = [noise(graph.tensor(index).shape, graph.tensor(index).dtype.type, 1) for index in graph.inputs]  # type: ignore[union-attr]
    small: Plan = replace(plan, parts=tuple(parts))
    return run(compile_plan(plan), device, values), run(compile_plan(small), device, values), more


def fits(task: object, limits: Limits) -> bool:
    if isinstance(task, Convolution):
        step = 2 if task.first_pixel else 1
        sizes = task.input.rows, task.input.columns, step * task.output.rows, step * task.output.columns
        return max(sizes) <= limits.size and task.output.channels <= limits.outputs
    if isinstance(task, Reshuffle):
        return max(task.stride_y * task.output.rows, task.stride_x * task.output.columns) <= limits.window + 1
    return True


FORMS = {
    "3x3": Layer((12, 14), outputs=20),
    "3x3, valid": Layer((12, 14), padding=Padding.VALID, outputs=20),
    "5x5 with its padding in the first and the last band": Layer((12, 14), (5, 5), inputs=2, outputs=20),
    "1x1": Layer((12, 14), (1, 1), outputs=20),
    "1x1 of one plane": Layer((12, 14), (1, 1), inputs=1, outputs=20),
    "first pixel of 1x1": Layer((17, 19), (1, 1), (2, 2), outputs=20),
    "first pixel, depthwise": Layer((24, 17), (3, 3), (2, 2), multiplier=1, inputs=20),
    "stride 2, reshuffled": Layer((17, 19), (3, 3), (2, 2), outputs=20),
    "stride 2 of even sizes": Layer((20, 18), (3, 3), (2, 2), outputs=20),
    "stride 3": Layer((26, 29), (5, 5), (3, 3), outputs=20),
    "dilated": Layer((18, 19), dilation=(3, 2), padding=Padding.VALID, outputs=20),
    "depthwise": Layer((12, 14), multiplier=1, inputs=20),
    "depthwise of two outputs a channel": Layer((12, 14), multiplier=2, inputs=11),
    "groups": Layer((12, 14), groups=2, inputs=6, outputs=20),
    "scales of their own": Layer((12, 14), scales=(1.0, 0.01, 0.5), outputs=20, dtype=np.int8),
}


@pytest.mark.parametrize("limits", [Limits(8, 1000, 1000), Limits(1000, 12, 1000), Limits(9, 13, 20)], ids=str)
@pytest.mark.parametrize("form", FORMS)
def test_bands_together_are_the_whole(form: str, limits: Limits, device: Device) -> None:
    whole, parts, more = banded(FORMS[form].model(), device, limits)
    assert more > 0
    for one, other in zip(whole, parts, strict=True):
        assert np.array_equal(one, other)


@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=FIXTURES)
@given(
    *(st.tuples(*[st.integers(1, 32)] * 2), st.tuples(*[st.integers(1, 6)] * 2), st.tuples(*[st.integers(1, 3)] * 2)),
    *(st.booleans(), st.sampled_from((Padding.SAME, Padding.VALID)), st.integers(14, 30), st.integers(14, 40)),
)
def test_bands_of_any_convolution_are_the_whole(
    device: Device,
    size: tuple[int, int],
    kernel: tuple[int, int],
    stride: tuple[int, int],
    depthwise: bool,
    padding: Padding,
    most: int,
    widest: int,
) -> None:
    assume(padding is Padding.SAME or (kernel[0] <= size[0] and kernel[1] <= size[1]))
    layer = Layer(size, kernel, stride, padding=padding, inputs=7, multiplier=int(depthwise), outputs=20)
    whole, parts, _ = banded(layer.model(), device, Limits(most, 14, widest))
    assert np.array_equal(whole[0], parts[0])


LARGE = {
    "3x9000": Layer((3, 9000), inputs=2, outputs=3),
    "9000x3": Layer((9000, 3), inputs=2, outputs=3),
    "5x5 on one plane of 9000 columns": Layer((5, 9000), (5, 5), inputs=1, outputs=2),
    "stride 2 of 2x17001": Layer((2, 17001), (3, 3), (2, 2), inputs=2, outputs=2),
    "depthwise of stride 2 on 9001x2": Layer((9001, 2), (3, 3), (2, 2), multiplier=1, inputs=8),
    "stride 3 of 1x40000": Layer((1, 40000), (1, 5), (1, 3), inputs=1, outputs=2),
    "1x65535": Layer((1, 65535), (1, 3), inputs=1, outputs=1),
    "turned from 1x40000x2": Layer((1, 40000), (1, 3), inputs=2, outputs=2),
    "17000 outputs": Layer((1, 2), (1, 1), inputs=3, outputs=17000),
    "17000 depthwise": Layer((2, 2), (2, 2), multiplier=1, inputs=17000, padding=Padding.VALID),
    "17000 inputs": Layer((1, 2), (1, 1), inputs=17000, outputs=30, dtype=np.int8),
}


@pytest.mark.parametrize("form", LARGE)
def test_tensors_beyond_a_field_s_limit_are_litert_s(form: str, device: Device) -> None:
    check(LARGE[form].model(), device)


def added(
    shape: Sequence[int], dtype: Dtype = np.uint8, activation: Activation = Activation.NONE, scale: float = 0.05
) -> bytes:
    builder = ModelBuilder()
    zero = 100 if dtype is np.uint8 else -20
    one = builder.input("one", tuple(shape), dtype, quantization=affine(0.03, zero))
    two = builder.input("two", tuple(shape), dtype, quantization=affine(scale, zero + 20))
    result = builder.tensor("sum", tuple(shape), dtype, quantization=affine(0.06, zero + 10))
    builder.operator("ADD", [one, two], [result], AddOptions(activation))
    builder.output(result)
    return builder.build()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "shape",
    [(1, 1, 12289, 1), (1, 12289, 1, 1), (1, 1, 1, 12289), (1, 3, 9001, 1), (1, 2, 2, 9001), (1, 1, 8209, 3)],
    ids=str,
)
def test_additions_of_any_number_of_bytes_are_litert_s(shape: Sequence[int], dtype: Dtype, device: Device) -> None:
    check_sums(added(shape, dtype), device)


def check_sums(model: bytes, device: Device) -> None:
    """Within what weights of 8 bits cost."""
    found = compiled(model, device)
    graph = found.plan.graph
    values = [noise(graph.tensor(index).shape, graph.tensor(index).dtype.type, 3 + index) for index in graph.inputs]  # type: ignore[union-attr]
    scales = [graph.tensor(index).quantization.scale for index in (*graph.inputs, *graph.outputs)]  # type: ignore[union-attr]
    (result,) = run(found, device, values)
    (expected,) = litert(model, values)
    assert furthest(result, expected) <= 1 + np.ceil(max(scales[:-1]) / (2 * scales[-1]))
    assert expected.std() > 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 6, 7, 5), (1, 1, 1, 12289)], ids=str)
def test_additions_clamp_as_their_activation_says(shape: Sequence[int], dtype: Dtype, device: Device) -> None:
    model = added(shape, dtype, Activation.RELU)
    check_sums(model, device)
    graph = read_model(model)
    values = [noise(graph.tensor(index).shape, graph.tensor(index).dtype.type, 3) for index in graph.inputs]  # type: ignore[union-attr]
    (result,) = run(compiled(model, device), device, values)
    zero = graph.tensor(graph.outputs[0]).quantization.zero_point  # type: ignore[union-attr]
    assert result.min() == zero and (result == zero).mean() > 0.2


# Averages whose windows leave the image


def pooled(
    size: Sequence[int], window: Sequence[int], stride: Sequence[int], dtype: Dtype = np.uint8, channels: int = 10
) -> bytes:
    builder = ModelBuilder()
    image = builder.input("image", (1, *size, channels), dtype, quantization=affine(0.05, 7))
    options = Pool2DOptions(Padding.SAME, stride[0], stride[1], window[0], window[1])
    builder.output(builder.average_pool(image, options))
    return builder.build()


POOLS = {
    "3x3 stride 1": ((9, 8), (3, 3), (1, 1)),
    "3x3 stride 2, odd": ((9, 11), (3, 3), (2, 2)),
    "3x3 stride 2, even": ((8, 10), (3, 3), (2, 2)),
    "2x2 stride 2, odd": ((9, 7), (2, 2), (2, 2)),
    "5x5 stride 1": ((9, 8), (5, 5), (1, 1)),
    "5x3 stride 2x1": ((9, 8), (5, 3), (2, 1)),
    "3x3 stride 3": ((10, 11), (3, 3), (3, 3)),
    "3x3 on a single pixel": ((1, 1), (3, 3), (1, 1)),
    "3x3 on two pixels": ((2, 1), (3, 3), (1, 1)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", POOLS)
def test_averages_at_the_edges_divide_by_the_pixels_that_are_there(form: str, dtype: Dtype, device: Device) -> None:
    check(pooled(*POOLS[form], dtype), device)


def test_averages_of_many_channels_at_the_edges(device: Device) -> None:
    check(pooled((6, 7), (3, 3), (1, 1), channels=70), device)


def test_averages_of_too_many_regions_stay_on_the_cpu(device: Device) -> None:
    plan = make_plan(read_model(pooled((20, 20), (7, 7), (1, 1))), Options(device.chip, Level.WIDE))
    assert str(plan.refusals[0]) == (
        "Op#0 AVERAGE_POOL_2D: needs at most 25 regions of outputs that average over as many pixels; it has 49"
    )


def test_as_many_regions_as_the_limit_says_are_taken(device: Device) -> None:
    plan = make_plan(read_model(pooled((20, 20), (5, 5), (1, 1))), Options(device.chip, Level.WIDE))
    assert plan.refusals == {}
    jobs = [task for part in plan.parts if isinstance(part, NpuPart) for task in part.tasks]
    assert len([task for task in jobs if isinstance(task, Convolution)]) == 25


# What a user sees of it


def test_groups_of_channels_share_an_operator_s_work(device: Device) -> None:
    found = [row for row in rows(compiled(LARGE["17000 outputs"].model(), device)) if row.unit == "nn"]
    assert [row.piece for row in found] == ["channels 0 to 8499", "channels 8500 to 16999"]
    assert [row.real_macs for row in found] == [2 * 3 * 8500] * 2


def test_bands_of_an_addition_say_which_bytes_are_theirs(device: Device) -> None:
    found = [row for row in rows(compiled(added((1, 3, 9001, 1)), device)) if row.unit == "nn"]
    assert [row.piece for row in found] == ["bytes 0 to 26879", "bytes 26880 to 27002"]


def test_plan_shows_bands_and_their_shares(device: Device) -> None:
    found = compiled(LARGE["3x9000"].model(), device)
    bands = [row for row in rows(found) if row.unit == "nn"]
    assert [row.output for row in bands] == [(3, 4500, 3), (3, 4500, 3)]
    assert [row.piece for row in bands] == ["columns 0 to 4499", "columns 4500 to 8999"]
    whole = 9000 * 3 * 3 * 9 * 2
    assert [row.real_macs for row in bands] == [whole // 2, whole // 2]
    assert found.plan.keys[0][-1] == f"{device.chip.name}/bands"
    assert len(compiled(Layer().model(), device).plan.keys[0]) == 1


def test_no_job_is_cut_that_fits() -> None:
    job = Job(0, 0, 1, *[None] * 2)  # type: ignore[arg-type]
    assert cut(job, FIELDS) == [job]
