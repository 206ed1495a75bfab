# SPDX-License-Identifier: MIT
"""Does a model come out right wherever its parts run: NPU, CPU, by turns, and all in LiteRT where it must?"""

import logging

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRT
from ai_edge_litert.interpreter import OpResolverType

from hornito.compiler.plan import CpuPart, NpuPart
from hornito.driver import Device
from hornito.model import Conv2DOptions, ModelBuilder, Value, affine
from hornito.runtime import Interpreter
from tests.runtime.calls import MODELS, filled, opened, outputs
from tests.runtime.networks import (
    Array,
    Dtype,
    Layer,
    alternating,
    convolution,
    furthest,
    image,
    litert,
    max_pool,
    noise,
    two_inputs,
)


def test_operators_that_the_npu_refuses_run_in_litert(device: Device) -> None:
    interpreter = opened(alternating(), device)
    plan = interpreter.plan
    assert plan is not None and interpreter.remarks == []
    assert [type(part) for part in plan.parts] == [NpuPart, CpuPart, NpuPart, CpuPart, NpuPart]
    assert [why.kind for why in plan.refusals.values()] == ["MAX_POOL_2D", "MAX_POOL_2D"]


def test_several_inputs_and_consumed_outputs(device: Device) -> None:
    interpreter = opened(two_inputs(), device)
    values = filled(interpreter)
    interpreter.invoke()
    last, first, second = outputs(interpreter)
    wanted = litert(two_inputs(), values)
    assert interpreter.plan is not None
    assert furthest(first, wanted[1]) <= 1 and furthest(second, wanted[2]) <= 1
    assert furthest(last, wanted[0]) <= 4


def ends(builder: ModelBuilder) -> tuple[Value, Value]:
    value = image(builder)
    return value, convolution(builder, value)


def test_output_that_is_an_input_or_a_constant(device: Device) -> None:
    builder = ModelBuilder()
    value, result = ends(builder)
    constant = builder.constant("constant", np.arange(5, dtype=np.int32))
    builder.output(result, value, constant)
    interpreter = opened(builder.build(), device)
    assert interpreter.plan is not None
    values = filled(interpreter)
    interpreter.invoke()
    found, same, fixed = outputs(interpreter)
    assert furthest(found, litert(builder.build(), values)[0]) <= 1
    assert np.array_equal(same, values[0])
    assert np.array_equal(fixed, np.arange(5, dtype=np.int32))
    fixed.fill(0)
    assert np.array_equal(outputs(interpreter)[2], np.arange(5, dtype=np.int32))


def test_same_output_twice(device: Device) -> None:
    builder = ModelBuilder()
    _, result = ends(builder)
    builder.output(result, result)
    interpreter = opened(builder.build(), device)
    filled(interpreter)
    interpreter.invoke()
    first, second = outputs(interpreter)
    assert np.array_equal(first, second)


def test_unused_input(device: Device) -> None:
    builder = ModelBuilder()
    unused = builder.input("unused", (2, 2), np.float32)
    _, result = ends(builder)
    builder.output(result)
    interpreter = opened(builder.build(), device)
    interpreter.set_tensor(unused.index, np.ones((2, 2), np.float32))
    interpreter.invoke()
    assert interpreter.plan is not None
    assert np.array_equal(interpreter.get_tensor(unused.index), np.ones((2, 2)))


def test_input_is_never_written_by_the_device(device: Device) -> None:
    interpreter = opened(two_inputs(), device)
    values = filled(interpreter)
    for _ in range(2):
        interpreter.invoke()
        for detail, value in zip(interpreter.get_input_details(), values, strict=True):
            assert np.array_equal(interpreter.get_tensor(detail["index"]), value)


def test_state_kept_from_run_to_run_stays_in_litert(device: Device) -> None:
    builder = ModelBuilder()
    _, result = ends(builder)
    state = builder.tensor("state", (1, 4), np.float32, is_variable=True)
    builder.output(result, builder.elementwise("RELU", state))
    interpreter = Interpreter(model_content=builder.build(), device=device)
    assert interpreter.plan is None
    assert "keeps its value" in interpreter.remarks[0]
    interpreter.allocate_tensors()
    interpreter.reset_all_variables()
    filled(interpreter)
    interpreter.invoke()


@pytest.mark.parametrize("which", ["all refused", "float", "open batch"])
def test_model_without_npu_is_litert_with_a_remark(
    which: str, device: Device, caplog: pytest.LogCaptureFixture
) -> None:
    model = MODELS[which]()
    with caplog.at_level(logging.WARNING, "hornito"):
        interpreter = opened(model, device)
    assert interpreter.plan is None and interpreter.device is None
    [remark] = interpreter.remarks
    assert "runs in LiteRT on the CPU" in remark and "\n" not in remark
    if "none of its operators" in remark:
        assert interpreter.refusals.keys() == {operator.index for operator in interpreter.graph.operators}
    else:
        assert not interpreter.refusals
    assert [record.getMessage() for record in caplog.records] == [remark]
    detail = interpreter.get_input_details()[0]
    value = np.full(detail["shape"], 3, detail["dtype"])
    interpreter.set_tensor(detail["index"], value)
    interpreter.invoke()
    for found, wanted in zip(outputs(interpreter), litert(model, [value], reference=False), strict=True):
        assert np.array_equal(found, wanted)


def test_device_cpu_runs_everything_in_litert_without_a_remark() -> None:
    interpreter = opened(alternating(), "cpu")
    values = filled(interpreter)
    interpreter.invoke()
    assert interpreter.plan is None and interpreter.remarks == [] and interpreter.device is None
    assert not interpreter.refusals
    assert np.array_equal(outputs(interpreter)[0], litert(alternating(), values, reference=False)[0])


def test_op_resolver_reaches_litert(device: Device) -> None:
    builder = ModelBuilder()
    value = convolution(builder, image(builder))
    value = builder.dequantize(value)
    builder.output(value, builder.elementwise("LOGISTIC", value))
    interpreter = opened(builder.build(), device, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    assert interpreter.plan is not None
    filled(interpreter)
    interpreter.invoke()
    given, found = outputs(interpreter)
    part = ModelBuilder()
    value = part.input("given", given.shape, np.float32)
    part.output(part.elementwise("LOGISTIC", value))
    assert np.array_equal(found, litert(part.build(), [given])[0])


# Other shapes


def test_resized_input_moves_model_to_litert(device: Device, caplog: pytest.LogCaptureFixture) -> None:
    model = Layer().model()
    interpreter = opened(model, device)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, (1, 6, 7, 3))
    assert interpreter.plan is not None
    with caplog.at_level(logging.WARNING, "hornito"):
        interpreter.resize_tensor_input(index, (2, 9, 4, 3))
    assert interpreter.plan is None
    assert [record.getMessage() for record in caplog.records] == interpreter.remarks
    assert "was resized" in interpreter.remarks[0]
    with pytest.raises(RuntimeError):
        interpreter.invoke()
    interpreter.allocate_tensors()
    values = filled(interpreter)
    interpreter.invoke()
    [found] = outputs(interpreter)
    assert found.shape == (2, 9, 4, 8)
    other = LiteRT(model_content=model)
    other.resize_tensor_input(index, (2, 9, 4, 3))
    other.allocate_tensors()
    other.set_tensor(index, values[0])
    other.invoke()
    assert np.array_equal(found, other.get_tensor(other.get_output_details()[0]["index"]))
    interpreter.close()


def test_shape_that_litert_refuses_is_runtime_error(device: Device) -> None:
    interpreter = opened(alternating(), device)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, (1, 6, 8))
    with pytest.raises(RuntimeError):
        interpreter.allocate_tensors()


def test_batch_of_two_runs_in_litert(device: Device) -> None:
    builder = ModelBuilder()
    value = builder.input("image", (2, 6, 8, 3), np.uint8, quantization=affine(0.05, 128))
    builder.output(convolution(builder, value))
    interpreter = opened(builder.build(), device)
    assert interpreter.plan is None and "batch of 1" in interpreter.remarks[0]
    values = filled(interpreter)
    interpreter.invoke()
    assert np.array_equal(outputs(interpreter)[0], litert(builder.build(), values, reference=False)[0])


def test_shape_chosen_at_run_time_passes_between_segments(device: Device) -> None:
    """The CPU's first part gives a tensor whose shape only the run tells; its second part takes it."""
    from ai_edge_litert import schema_py_generated as schema

    builder = ModelBuilder()
    value, count = image(builder), builder.input("count", (), np.int32)
    ranged = builder.tensor("ranged", (1,), np.int32, shape_signature=(-1,))
    first, step = (builder.constant(f"constant {number}", np.int32(number)) for number in (0, 1))
    builder.operator("RANGE", [first, count, step], [ranged])
    floats = builder.tensor("floats", (1,), np.float32, shape_signature=(-1,))
    builder.operator("CAST", [ranged], [floats], schema.CastOptionsT())
    mean = builder.mean(builder.dequantize(convolution(builder, value)), (0, 1, 2, 3), keep_dims=False)
    product = builder.tensor("product", (1,), np.float32, shape_signature=(-1,))
    builder.operator("MUL", [floats, mean], [product], schema.MulOptionsT())
    builder.output(mean)
    interpreter = opened(builder.build(), device)
    assert [type(part) for part in interpreter.plan.parts] == [CpuPart, NpuPart, CpuPart]  # type: ignore[union-attr]
    for length in (4, 7, 7, 1):
        interpreter.set_tensor(count.index, np.array(length, np.int32))
        interpreter.invoke()


def test_signed_and_unsigned_layers_agree(device: Device) -> None:
    """int8 is uint8 moved by 128: the same bits, the same results."""
    found: dict[Dtype, Array] = {}
    for dtype in (np.uint8, np.int8):
        layer = Layer(3, dtype=dtype, seed=9)
        interpreter = opened(layer.model(), device)
        value = noise(layer.shape, np.uint8, 4)
        given = value if dtype is np.uint8 else (value ^ np.uint8(128)).view(np.int8)
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], given)
        interpreter.invoke()
        assert interpreter.plan is not None
        found[dtype] = outputs(interpreter)[0]
    wanted = litert(Layer(3, dtype=np.int8, seed=9).model(), [(noise((1, 6, 7, 3), np.uint8, 4) ^ 128).view(np.int8)])
    assert furthest(found[np.int8], wanted[0]) <= 1


def test_convolution_whose_weights_are_computed_runs_in_litert(device: Device) -> None:
    builder = ModelBuilder()
    value = image(builder)
    weights = builder.input("weights", (2, 3, 3, 3), np.uint8, quantization=affine(0.01, 128))
    bias = builder.constant("bias", np.zeros(2, np.int32), quantization=affine(0.0005))
    result = builder.tensor("result", (1, 6, 8, 2), np.uint8, quantization=affine(0.1, 128))
    builder.operator("CONV_2D", [value, weights, bias], [result], Conv2DOptions())
    other = max_pool(builder, convolution(builder, value))
    builder.output(result, other)
    interpreter = opened(builder.build(), device)
    assert interpreter.plan is not None
    values = filled(interpreter)
    interpreter.invoke()
    wanted = litert(builder.build(), values, reference=False)
    assert furthest(outputs(interpreter)[0], wanted[0]) == 0
    assert furthest(outputs(interpreter)[1], wanted[1]) <= 1
