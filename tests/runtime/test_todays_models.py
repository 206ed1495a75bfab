# SPDX-License-Identifier: MIT
"""Do models as converters make them today, int8 with a scale for each output channel, run, and how well?

At ``proven`` nearly all of them runs on the CPU, at ``wide`` on the NPU. Whole networks of random weights let the NPU's
roundings grow, so that nearness is judged by how far apart the results of different pictures are.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from tools.train_digits import HELD_OUT, TO_INT8, plain, scores

from hornito.compiler import Compiled, Level, Unit, compile_plan, rows
from hornito.driver import Device
from hornito.examples.builtin import builtin_per_axis_model
from hornito.model import read_model
from hornito.runtime import Interpreter
from tests.runtime.calls import opened, outputs
from tests.runtime.conftest import Devices
from tests.runtime.networks import Array, litert
from tests.runtime.todays_models import mobilenet_like, movenet_like, picture, reference

MODELS: dict[str, Callable[[], bytes]] = {
    "mobilenet, MEAN": lambda: mobilenet_like("MEAN"),
    "mobilenet, AVERAGE_POOL_2D": lambda: mobilenet_like("AVERAGE_POOL_2D"),
    "movenet": movenet_like,
}
PICTURES = range(100, 105)  # none that the scales were found by
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")

wide = pytest.mark.skipif("WIDE" not in Level.__members__, reason="there is no plan level wide yet")


@pytest.fixture(params=["vipnano-qi", "vipnano-si-plus"])
def device(request: pytest.FixtureRequest, devices: Devices) -> Device:
    """The virtual device of either generation."""
    return devices(request.param)


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> bytes:
    return MODELS[request.param]()


def check_near(found: Sequence[Sequence[Array]], model: bytes) -> None:
    """The results for PICTURES differ from the reference's, each output on average, by less than half of what those of
    different pictures differ by."""
    wanted = [litert(model, [picture(seed)]) for seed in PICTURES]
    for number in range(len(wanted[0])):
        ours = np.stack([results[number] for results in found]).astype(int)
        theirs = np.stack([results[number] for results in wanted]).astype(int)
        apart = np.abs(theirs - np.roll(theirs, 1, 0)).mean()
        assert apart > 1, f"output {number} hardly depends on the picture"
        assert np.abs(ours - theirs).mean() < apart / 2, f"output {number}"


def results(interpreter: Interpreter) -> list[list[Array]]:
    """What an interpreter makes of PICTURES."""
    found = []
    for seed in PICTURES:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture(seed))
        interpreter.invoke()
        found.append(outputs(interpreter))
    return found


def compiled(interpreter: Interpreter) -> Compiled:
    assert interpreter.plan is not None
    return compile_plan(interpreter.plan)


def npu_share(interpreter: Interpreter) -> float:
    """The part of the MACs that the NPU runs."""
    found = [(row.unit, row.real_macs) for row in rows(compiled(interpreter))]
    return sum(macs for unit, macs in found if unit is not Unit.CPU) / sum(macs for _, macs in found)


def test_weights_are_int8_with_a_scale_for_each_channel(model: bytes) -> None:
    graph = read_model(model)
    for operator in graph.operators:
        if operator.kind not in WEIGHTED:
            continue
        weights, bias = graph.tensor(operator.inputs[1]), graph.tensor(operator.inputs[2])
        axis = 3 if operator.kind == "DEPTHWISE_CONV_2D" else 0
        for tensor, along in ((weights, axis), (bias, 0)):
            assert tensor.quantization is not None and tensor.quantization.axis == along
            assert len(tensor.quantization.scales) == weights.shape[axis]
            assert set(tensor.quantization.zero_points) == {0}
        assert weights.type_name == "INT8" and bias.type_name == "INT32"


def test_activations_use_their_range(model: bytes) -> None:
    graph, interpreter = read_model(model), reference(model)
    ends = []
    for seed in PICTURES:
        interpreter.set_tensor(graph.inputs[0], picture(seed))
        interpreter.invoke()
        values = [interpreter.get_tensor(operator.outputs[0]) for operator in graph.operators]
        ends.append([(int(value.min()), int(value.max())) for value in values])
    for operator, spans in zip(graph.operators, zip(*ends, strict=True), strict=True):
        if operator.kind != "SOFTMAX":
            assert max(high for _, high in spans) - min(low for low, _ in spans) > 150, operator.index


def test_default_kernels_of_litert_run_them(model: bytes) -> None:
    check_near([litert(model, [picture(seed)], reference=False) for seed in PICTURES], model)


def test_proven_leaves_all_that_has_many_scales_on_the_cpu(model: bytes, device: Device) -> None:
    interpreter = opened(model, device)
    plan = interpreter.plan
    assert plan is not None and interpreter.remarks == []
    for operator in interpreter.graph.operators:
        if operator.index not in plan.refusals:  # additions, and MoveNet's head of one channel
            assert operator.kind == "ADD" or interpreter.graph.tensor(operator.outputs[0]).shape[-1] == 1
    assert npu_share(interpreter) < 0.01
    for row in rows(compiled(interpreter)):
        if row.unit is Unit.CPU:
            assert row.reason.startswith(("needs ", "is considered at ", "could be run by ", "has no way "))
            assert row.operation not in WEIGHTED or "one scale" in row.reason
    check_near(results(interpreter), model)


@wide
def test_wide_runs_them(model: bytes, device: Device) -> None:
    interpreter = opened(model, device, plan_level="wide")
    assert npu_share(interpreter) >= 0.9
    shared = [row for row in rows(compiled(interpreter)) if "per-axis" in row.reason]
    assert shared and all(f"off by at most {row.off_by} " in row.reason and row.unit is Unit.NN for row in shared)
    off_by = max(row.off_by for row in shared)
    [remark] = interpreter.remarks
    assert f"at worst results are off by {off_by} output steps" in remark and "--per-axis-error below 0.1" in remark
    check_near(results(interpreter), model)


@wide
def test_wide_brings_the_classifier_to_the_npu(device: Device) -> None:
    interpreter = opened(builtin_per_axis_model().read_bytes(), device, plan_level="wide")
    assert npu_share(interpreter) >= 0.9


@wide
def test_classifier_is_as_good_at_wide_as_in_litert(device: Device) -> None:
    """The held-out digits belong to scikit-learn's data, which are not shipped."""
    datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn, whose digits these are, is not installed")
    data = datasets.load_digits()
    digits = (data.images[-HELD_OUT:] / 16).astype(np.float32)
    pictures = np.concatenate([plain(digits), plain(digits, inverted=True)])
    expected = np.tile(data.target[-HELD_OUT:], 2)
    model = builtin_per_axis_model().read_bytes()
    interpreter = opened(model, device, plan_level="wide")
    index = interpreter.get_input_details()[0]["index"]
    answers = []
    for given in pictures:
        interpreter.set_tensor(index, (given[None].astype(np.int16) - TO_INT8).astype(np.int8))
        interpreter.invoke()
        answers.append(int(outputs(interpreter)[0].argmax()))
    wanted = np.mean(scores(model, pictures).argmax(1) == expected)
    assert wanted > 0.95
    assert abs(np.mean(np.array(answers) == expected) - wanted) <= 0.005
