# SPDX-License-Identifier: MIT
"""Would the judge notice a wrong result, and only that?"""

import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hornito.compiler import Plan
from hornito.conformance import Case, Result, Status, all_cases, differences
from hornito.conformance.case import Scope
from hornito.conformance.differences import Array, tolerance
from hornito.conformance.judge import judge
from hornito.conformance.keep import keep
from hornito.errors import BadInput
from hornito.model import ModelBuilder, Padding, Pool2DOptions, Value, affine, read_model
from hornito.model.draw import Draw
from tests.conformance.fakes import OPTIONS, Fake, off_by

CASES = {case.name: case for case in all_cases()}
CHANNELS = "input_channels_32_output_channels_32"
CONVOLUTION = CASES[f"Conv2D.Op/input_size_8_weight_size_3_{CHANNELS}_stride_1_padding_same_1_is_signed_0"]
SUM = CASES[f"Add.Op/input_size_5_weight_size_3_{CHANNELS}_stride_2_padding_same_0_is_signed_1"]
PAD = CASES["Pad.Op/1_is_signed_0"]
JOINED = CASES["Concatenation.Op/4_is_signed_1"]
DILATED = CASES["Dilation.Op/kernel_3_by_2_same_is_signed_0"]


@pytest.mark.parametrize("case", [CONVOLUTION, SUM, PAD, JOINED])
def test_right_results_pass(case: Case) -> None:
    result = judge(case, OPTIONS, Fake(), 1)
    assert (result.status, result.worst, result.reason) == (Status.PASS, 0, "")


@pytest.mark.parametrize(
    "case,kind,amount,status",
    [
        (CONVOLUTION, "CONV_2D", 1, Status.PASS),
        (CONVOLUTION, "CONV_2D", 2, Status.FAIL),
        (PAD, "PAD", 1, Status.FAIL),
        (JOINED, "CONCATENATION", 1, Status.FAIL),
        (JOINED, "CONV_2D", 1, Status.PASS),
        (SUM, "CONV_2D", 2, Status.FAIL),
        (SUM, "ADD", 3, Status.FAIL),
    ],
)
def test_wrong_value_is_noticed_beyond_the_tolerance(case: Case, kind: str, amount: int, status: Status) -> None:
    result = judge(case, OPTIONS, Fake({kind: off_by(amount)}), 1)
    assert (result.status, result.worst) == (status, amount)
    assert status is Status.PASS or kind in result.reason


def scaled(builder: ModelBuilder, value: Value, factor: int, bias: int = 0) -> Value:
    """Append a convolution that multiplies one channel; the quantisation stays."""
    weights = np.full((1, 1, 1, 1), factor, np.uint8)
    return builder.conv2d(value, weights, [bias], weights_quantization=affine(1.0), quantization=value.quantization)


def test_operator_is_judged_on_what_it_was_fed() -> None:
    """A convolution that is off by 1 moves the sum behind it further than the sum itself may be off, if scaled up."""
    builder = ModelBuilder()
    image = builder.input("image", (1, 1, 4, 1), np.uint8, quantization=affine(1.0, 0))
    value = scaled(builder, image, 1)
    large = scaled(builder, value, 20)
    builder.output(large, value)
    model = builder.build()
    case = Case("chain", "F", lambda draw: model)
    assert judge(case, OPTIONS, Fake({"CONV_2D": off_by(1)}), 1).status is Status.PASS


def test_tolerance_of_addition_grows_with_its_scales() -> None:
    def sum_of(first: float, second: float, output: float) -> int:
        builder = ModelBuilder()
        values: list[Value] = [
            builder.input(str(scale), (1, 2, 2, 1), np.uint8, quantization=affine(scale)) for scale in (first, second)
        ]
        builder.output(builder.add(*values, quantization=affine(output)))
        graph = read_model(builder.build())
        return tolerance(graph, graph.operators[0])

    assert [sum_of(1, 1, 1), sum_of(1, 2, 1), sum_of(3, 1, 1), sum_of(1, 1, 0.125)] == [2, 2, 3, 5]


def test_tolerance_of_weights_with_scales_of_their_own() -> None:
    allowed = {}
    for name in ("PerAxis.Op/conv_3_is_signed_1", "Kernels.Op/1x3_same_is_signed_1"):
        graph = read_model(CASES[name].make(Draw(name, 1)))
        allowed[name.partition(".")[0]] = tolerance(graph, graph.operators[0])
    assert allowed == {"PerAxis": 4, "Kernels": 1}


def test_refusal_names_rule_and_value() -> None:
    fake = Fake()
    result = judge(DILATED, OPTIONS, fake, 1)
    assert (result.status, result.rule, result.reason) == (
        Status.REFUSED,
        "CONV_2D: needs a dilation of 1",
        "CONV_2D: needs a dilation of 1; it has 2x2",
    )
    assert fake.runs == 0


def test_case_without_its_model_is_skipped_by_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HORNITO_MODELS", str(tmp_path))
    result = judge(CASES["MobileDetParam.Op/mobiledet082"], OPTIONS, Fake(), 1)
    assert (result.status, result.reason) == (Status.SKIPPED, "no mobiledet-082.tflite in $HORNITO_MODELS")
    (tmp_path / "mobiledet-082.tflite").write_bytes(CONVOLUTION.make(Draw("any", 1)))
    result = judge(CASES["MobileDetParam.Op/mobiledet082"], OPTIONS, Fake({"CONV_2D": off_by(8)}), 1)
    assert (result.status, result.worst, result.tolerance) == (Status.PASS, 8, 8)


def test_large_operators_fail_only_by_the_reference_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(differences, "LARGE", 0)
    assert judge(CONVOLUTION, OPTIONS, Fake(), 1).status is Status.PASS
    assert judge(CONVOLUTION, OPTIONS, Fake({"CONV_2D": off_by(2)}), 1).status is Status.FAIL


def network(layers: int) -> bytes:
    """Pointwise convolutions, each of which nearly triples what it is fed, with a pooling in between."""
    builder = ModelBuilder()
    value = builder.input("image", (1, 32, 32, 1), np.uint8, quantization=affine(1.0, 128))
    for number in range(layers):
        value = scaled(builder, value, 3, number)
        if number == 1:
            value = builder.max_pool(value, Pool2DOptions(Padding.VALID, 1, 1, 2, 2))
    builder.output(value)
    return builder.build()


class Leaky(Fake):
    """Right as long as it is watched: wrong where few tensors are outputs."""

    def __call__(self, plan: Plan, values: Mapping[int, Array]) -> dict[int, Array]:
        known = super().__call__(plan, values)
        if len(plan.graph.outputs) == 1:
            off_by(100)(known[plan.graph.outputs[0]])
        return known


def whole(fake: Fake) -> Result:
    model = network(5)
    return judge(Case("N.Whole", "N", lambda draw: model, scope=Scope.RESULTS, tolerance=8), OPTIONS, fake, 1)


def test_whole_network_passes_within_its_tolerance() -> None:
    fake = Fake()
    result = whole(fake)
    assert (result.status, result.worst, result.tolerance, fake.runs) == (Status.PASS, 0, 8, 1)


def test_network_that_amplifies_roundings_passes_with_a_remark() -> None:
    fake = Fake({"CONV_2D": lambda value: np.copyto(value, np.clip(value, 1, None) - 1)})
    result = whole(fake)
    assert (result.status, fake.runs) == (Status.PASS, 2)
    assert result.worst is not None and result.worst > 8
    assert "amplifies roundings" in result.reason


def test_network_with_a_wrong_operator_fails_and_names_it() -> None:
    result = whole(Fake({"CONV_2D": off_by(40)}))
    assert result.status is Status.FAIL
    assert result.reason.startswith("Op#0 CONV_2D")


def test_network_that_is_right_only_under_observation_fails() -> None:
    result = whole(Leaky())
    assert result.status is Status.FAIL
    assert "changes when inner tensors are outputs" in result.reason


def test_failure_of_one_operator_is_kept_alone(tmp_path: Path) -> None:
    keeper = partial(keep, tmp_path, options=["--chip", "a chip"])
    result = judge(SUM, OPTIONS, Fake({"ADD": off_by(9)}), 1, keeper)
    command, program, *words = shlex.split(result.saved)
    assert (command, program) == ("hornito", "run")
    assert words[-2:] == ["--chip", "a chip"]
    graph = read_model(Path(words[0]))
    assert [operator.kind for operator in graph.operators] == ["ADD"]
    inputs = [np.load(words[place + 1]) for place, word in enumerate(words) if word == "--input"]
    assert [value.shape for value in inputs] == [graph.tensor(index).shape for index in graph.inputs]
    assert Path(words[0]).with_suffix(".txt").read_text() == f"{SUM.name}\n{result.saved}\n"


def test_failure_that_needs_its_surroundings_is_kept_with_them(tmp_path: Path) -> None:
    class Crowded(Fake):
        def __call__(self, plan: Plan, values: Mapping[int, Array]) -> dict[int, Array]:
            self.spoil = {"ADD": off_by(9)} if len(plan.graph.operators) > 1 else {}
            return super().__call__(plan, values)

    result = judge(SUM, OPTIONS, Crowded(), 1, partial(keep, tmp_path, options=[]))
    graph = read_model(Path(shlex.split(result.saved)[2]))
    assert [operator.kind for operator in graph.operators] == ["CONV_2D", "CONV_2D", "ADD"]


def test_failures_are_kept_in_a_folder_that_can_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput, match="--save"):
        keep(tmp_path / "file" / "folder", "name", b"", [], [])
    keep(tmp_path / "a" / "b", "Odd.Op/../name", b"model", [np.zeros(3)], [])
    names = ["Odd.Op-..-name-input-0.npy", "Odd.Op-..-name.tflite", "Odd.Op-..-name.txt"]
    assert sorted(path.name for path in (tmp_path / "a" / "b").iterdir()) == names
