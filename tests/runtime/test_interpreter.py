# SPDX-License-Identifier: MIT
"""Can ``Interpreter`` take the place of LiteRT's own: arguments, details, results, errors?"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRT

from hornito.driver import Device
from hornito.errors import BadInput, DeviceError, Unsupported
from hornito.model import ModelBuilder
from hornito.runtime import Interpreter
from tests.runtime.calls import MODELS, filled, opened, outputs
from tests.runtime.networks import (
    Layer,
    alternating,
    convolution,
    furthest,
    image,
    litert,
    noise,
    signed_per_channel,
    small_float,
    two_inputs,
)


def assert_same_details(found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert [detail.keys() for detail in found] == [detail.keys() for detail in wanted]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_equal(one, other)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> bytes:
    return MODELS[request.param]()


# The constructor


def test_constructor_takes_arguments_of_litert() -> None:
    ours, theirs = inspect.signature(Interpreter).parameters, inspect.signature(LiteRT).parameters
    for number, (name, parameter) in enumerate(list(theirs.items())[:4]):
        assert list(ours)[number] == name
        assert ours[name].default == parameter.default


def test_methods_have_arguments_of_litert() -> None:
    for name, method in vars(LiteRT).items():
        if name.startswith("_") or not inspect.isfunction(method):
            continue
        if name == "experimental_compress_quantization_zero_points":
            continue
        ours = inspect.signature(getattr(Interpreter, name)).parameters
        theirs = inspect.signature(method).parameters
        assert [(p.name, p.default) for p in ours.values()] == [(p.name, p.default) for p in theirs.values()], name


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"model_path": "/no/such/model.tflite"},
        {"model_content": b""},
        {"model_content": b"TFL3" * 8},
        {"model_content": b"x" * 40},
        {"model_path": "model.tflite", "model_content": b"x"},
        {"model_content": Layer().model(), "num_threads": 0},
        {"model_content": Layer().model(), "num_threads": -1},
        {"model_content": Layer().model(), "num_threads": "2"},
        {"model_content": Layer().model(), "num_threads": 1.5},
        {"model_content": Layer().model(), "experimental_op_resolver_type": "best"},
        {"model_content": Layer().model(), "no_such_argument": 1},
        {"model_path": 3},
    ],
    ids=lambda arguments: " ".join(arguments) or "none",
)
def test_constructor_raises_what_litert_raises(arguments: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)) as theirs:
        LiteRT(**arguments)
    with pytest.raises(type(theirs.value)) as ours:
        Interpreter(**arguments)
    assert "\n" not in str(ours.value)


def test_name_that_is_no_text_is_bad_input(device: Device) -> None:
    """LiteRT takes such a model, but can't give the details of its tensors."""
    for name in (b"image", b"conv_2d_0", b"max_pool_2d_1"):
        model = alternating().replace(name, b"\xed\xb0\x80" + name[3:])
        with pytest.raises(BadInput, match="utf-8"):
            Interpreter(model_content=model, device=device).allocate_tensors()


def test_model_by_path_of_any_kind(tmp_path: Path, device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(Layer().model())
    monkeypatch.setenv("HORNITO_MODELS", str(tmp_path))
    for name in (str(path), path, bytes(path), "m.tflite", "m"):
        assert Interpreter(name, device=device).plan is not None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("choice", "error"),
    [
        ({"device": "gpu"}, BadInput),
        ({"device": "/dev/dri/renderD777"}, DeviceError),
        ({"device": "hornito://board"}, BadInput),
        ({"device": "hornito+unix:/none"}, BadInput),
        ({"chip": "vipnano"}, BadInput),
        ({"device": "cpu", "chip": "vipnano"}, BadInput),
        ({"plan_level": "bold"}, BadInput),
        ({"plan_level": "fast", "without": ("tales",)}, BadInput),
        ({"disable": ("cpu",)}, BadInput),
        ({"disable": "nn"}, BadInput),
        ({"experimental_delegates": ["a delegate"]}, ValueError),
    ],
    ids=str,
)
@pytest.mark.parametrize("which", ["npu", "float"])
def test_wrong_choice_is_refused_for_any_model(which: str, choice: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        Interpreter(model_content=MODELS[which](), **choice)
    assert "\n" not in str(raised.value)


def test_chip_without_virtual_device_is_unsupported() -> None:
    with pytest.raises(Unsupported):
        Interpreter(model_content=Layer().model(), device="virtual", chip="gcnanoultra31-vip2-13-0")


# Details


def test_details_are_those_of_litert(model: bytes, device: Device) -> None:
    ours, theirs = Interpreter(model_content=model, device=device), LiteRT(model_content=model)
    for allocated in (False, True):
        if allocated:
            ours.allocate_tensors()
            theirs.allocate_tensors()
        assert_same_details(ours.get_input_details(), theirs.get_input_details())
        assert_same_details(ours.get_output_details(), theirs.get_output_details())
    # LiteRT has tensors of its own once delegates have been at work.
    count = len(ours.graph.tensors)
    assert_same_details(ours.get_tensor_details()[:count], theirs.get_tensor_details()[:count])
    assert ours.get_signature_list() == theirs.get_signature_list()
    assert ours.num_subgraphs() == theirs.num_subgraphs()
    with pytest.raises(ValueError):
        ours.get_tensor_details(1)


def test_results_have_shape_and_type_of_details(model: bytes, device: Device) -> None:
    interpreter = opened(model, device)
    interpreter.invoke()
    for detail in (*interpreter.get_input_details(), *interpreter.get_output_details()):
        value = interpreter.get_tensor(detail["index"])
        assert value.dtype == detail["dtype"]
        assert value.shape == tuple(detail["shape"])


# Tensors in and out


def test_results_are_near_those_of_litert(device: Device) -> None:
    for model in (alternating(), alternating(np.int8)):
        interpreter = opened(model, device)
        for seed in range(3):
            values = filled(interpreter, seed)
            interpreter.invoke()
            [found], [wanted] = outputs(interpreter), litert(model, values)
            assert furthest(found, wanted) <= 12  # three layers; each adds its own rounding to the one before
            assert np.abs(found.astype(int) - wanted.astype(int)).mean() < 1


@pytest.mark.parametrize("which", ["npu", "two inputs", "float"])
def test_errors_are_of_the_types_that_litert_raises(which: str, device: Device) -> None:
    model = MODELS[which]()
    ours, theirs = Interpreter(model_content=model, device=device), LiteRT(model_content=model)
    detail = ours.get_input_details()[0]
    index, value = detail["index"], np.zeros(detail["shape"], detail["dtype"])
    output = ours.get_output_details()[0]["index"]
    steps: list[tuple[str, Callable[[Any], Any]]] = [
        ("set before allocation", lambda i: i.set_tensor(index, value)),
        ("get before allocation", lambda i: i.get_tensor(output)),
        ("view before allocation", lambda i: i.tensor(index)()),
        ("invoke before allocation", lambda i: i.invoke()),
        ("allocate", lambda i: i.allocate_tensors()),
        ("allocate again", lambda i: i.allocate_tensors()),
        ("get input before invoke", lambda i: i.get_tensor(index)),
        ("get output before invoke", lambda i: i.get_tensor(output)),
        ("set", lambda i: i.set_tensor(index, value)),
        ("set by numpy's index", lambda i: i.set_tensor(np.int64(index), value)),
        ("set every other column", lambda i: i.set_tensor(index, np.repeat(value, 2, 2)[:, :, ::2])),
        ("set a list", lambda i: i.set_tensor(index, value.astype(np.int64).tolist())),
        ("set another type", lambda i: i.set_tensor(index, value.astype(np.int32))),
        ("set too few dimensions", lambda i: i.set_tensor(index, value[0])),
        ("set another shape", lambda i: i.set_tensor(index, value[:, :-1])),
        ("set a number", lambda i: i.set_tensor(index, 3)),
        ("set nothing", lambda i: i.set_tensor(index, None)),
        ("set -1", lambda i: i.set_tensor(-1, value)),
        ("set 999", lambda i: i.set_tensor(999, value)),
        ("get -1", lambda i: i.get_tensor(-1)),
        ("get 999", lambda i: i.get_tensor(999)),
        ("get a name", lambda i: i.get_tensor("image")),
        ("get from subgraph 1", lambda i: i.get_tensor(index, 1)),
        ("get from subgraph -1", lambda i: i.get_tensor(index, -1)),
        ("get a constant", lambda i: i.get_tensor(1)),
        ("resize by a wrong index", lambda i: i.resize_tensor_input(999, (1, 2))),
        ("resize by a constant's index", lambda i: i.resize_tensor_input(1, (1, 2))),
        ("resize to words", lambda i: i.resize_tensor_input(index, "abc")),
        ("resize to nothing", lambda i: i.resize_tensor_input(index, None)),
        ("resize strictly", lambda i: i.resize_tensor_input(index, (2, *value.shape[1:]), strict=True)),
        ("resize to the same", lambda i: i.resize_tensor_input(index, value.shape)),
        ("resize to the same strictly", lambda i: i.resize_tensor_input(index, list(value.shape), strict=True)),
        ("allocate once more", lambda i: i.allocate_tensors()),
        ("reset variables", lambda i: i.reset_all_variables()),
        ("invoke", lambda i: i.invoke()),
        ("no such signature", lambda i: i.get_signature_runner("no such")),
    ]
    for name, step in steps:
        try:
            step(theirs)
        except Exception as error:
            with pytest.raises(type(error)) as raised:
                step(ours)
            assert str(raised.value), name
        else:
            step(ours)


def test_refused_step_leaves_interpreter_as_it_was(device: Device) -> None:
    interpreter = opened(Layer().model(), device)
    values = filled(interpreter)
    index = interpreter.get_input_details()[0]["index"]
    for wrong in (np.zeros((1, 2)), np.zeros((1, 6, 7, 3), np.int8)):
        with pytest.raises(ValueError):
            interpreter.set_tensor(index, wrong)
    with pytest.raises(RuntimeError):
        interpreter.resize_tensor_input(index, (2, 6, 7, 3), strict=True)
    assert interpreter.plan is not None
    assert np.array_equal(interpreter.get_tensor(index), values[0])
    interpreter.invoke()
    assert furthest(outputs(interpreter)[0], litert(Layer().model(), values)[0]) <= 1


def test_get_tensor_gives_copies(model: bytes, device: Device) -> None:
    interpreter = opened(model, device)
    interpreter.invoke()
    for detail in (*interpreter.get_input_details(), *interpreter.get_output_details()):
        first = interpreter.get_tensor(detail["index"])
        before = first.copy()
        first.fill(77)
        second = interpreter.get_tensor(detail["index"])
        np.testing.assert_array_equal(second, before)
        assert second is not first and second.flags.writeable


def test_result_stays_when_the_next_input_is_set(device: Device) -> None:
    interpreter = opened(Layer().model(), device)
    filled(interpreter, 1)
    interpreter.invoke()
    [first] = outputs(interpreter)
    kept = first.copy()
    filled(interpreter, 2)
    assert np.array_equal(outputs(interpreter)[0], kept)
    interpreter.invoke()
    assert not np.array_equal(outputs(interpreter)[0], kept)
    assert np.array_equal(first, kept)


def test_inputs_can_be_filled_in_place(device: Device) -> None:
    for model in (Layer().model(), signed_per_channel()):
        interpreter, set_one = opened(model, device), opened(model, device)
        detail, output = interpreter.get_input_details()[0], interpreter.get_output_details()[0]["index"]
        value = noise(detail["shape"], detail["dtype"], 3)
        interpreter.tensor(detail["index"])()[:] = value
        set_one.set_tensor(detail["index"], value)
        interpreter.invoke()
        set_one.invoke()
        assert np.array_equal(interpreter.tensor(output)(), set_one.get_tensor(output))


def test_values_survive_a_second_allocation(device: Device) -> None:
    interpreter = opened(Layer().model(), device)
    values = filled(interpreter)
    interpreter.allocate_tensors()
    assert np.array_equal(interpreter.get_tensor(interpreter.get_input_details()[0]["index"]), values[0])


def test_tensor_inside_a_segment_is_out_of_reach(device: Device) -> None:
    builder = ModelBuilder()
    inner = convolution(builder, image(builder))
    builder.output(convolution(builder, inner, kernel=1))
    interpreter = opened(builder.build(), device)
    interpreter.invoke()
    with pytest.raises(ValueError, match="within one segment"):
        interpreter.get_tensor(inner.index)
    with pytest.warns(UserWarning, match="debugging purposes"):  # LiteRT's own
        keeping = opened(builder.build(), device, experimental_preserve_all_tensors=True)
    keeping.invoke()
    assert keeping.plan is None and keeping.get_tensor(inner.index).shape == inner.shape


# Signatures


@pytest.mark.parametrize("make", [lambda: two_inputs(signature=True), signed_per_channel], ids=["npu", "litert"])
def test_signature_runner_behaves_as_litert_s(make: Callable[[], bytes], device: Device) -> None:
    model = make()
    ours = Interpreter(model_content=model, device=device).get_signature_runner()
    theirs = LiteRT(model_content=model).get_signature_runner()
    np.testing.assert_equal(ours.get_input_details(), theirs.get_input_details())
    np.testing.assert_equal(ours.get_output_details(), theirs.get_output_details())
    values = {
        name: noise(detail["shape"], detail["dtype"], number)
        for number, (name, detail) in enumerate(ours.get_input_details().items())
    }
    found, wanted = ours(**values), theirs(**values)
    assert found.keys() == wanted.keys()
    for name, value in found.items():
        assert furthest(value, wanted[name]) <= 4
    first = next(iter(values))
    for wrong in (
        {},
        values | {"other": values[first]},
        {("x" if name == first else name): value for name, value in values.items()},
        values | {first: values[first].astype(np.float32)},
    ):
        with pytest.raises(ValueError):
            theirs(**wrong)
        with pytest.raises(ValueError):
            ours(**wrong)


def test_signature_runner_resizes_as_litert_s(device: Device) -> None:
    model = two_inputs(signature=True)
    interpreter = Interpreter(model_content=model, device=device)
    runner = interpreter.get_signature_runner("sums")
    values = {"a": noise((2, 6, 8, 3), np.uint8, 1), "b": noise((2, 6, 8, 3), np.uint8, 2)}
    found = runner(**values)
    assert interpreter.plan is None and interpreter.remarks
    wanted = LiteRT(model_content=model).get_signature_runner("sums")(**values)
    for name, value in wanted.items():
        assert np.array_equal(found[name], value)


def test_signature_must_be_named_where_there_is_not_one(device: Device) -> None:
    for model in (alternating(), small_float()):
        with pytest.raises(ValueError):
            Interpreter(model_content=model, device=device).get_signature_runner()
