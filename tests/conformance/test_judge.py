# SPDX-License-Identifier: MIT
"""Would the judge notice a wrong result, and only that?"""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from hornito.compiler import Level, Options, Plan, make_plan
from hornito.compiler.operators import MOVES
from hornito.compiler.plan import NpuPart
from hornito.compiler.tasks import Convolution
from hornito.conformance import Case, Result, Status, all_cases, differences
from hornito.conformance.case import Scope
from hornito.conformance.differences import Array, error_bounds, tolerance
from hornito.conformance.judge import judge
from hornito.conformance.keep import keep
from hornito.conformance.noise import mersenne_words, reference_noise
from hornito.errors import BadInput
from hornito.model import ModelBuilder, Padding, Pool2DOptions, Value, affine, per_axis, read_model
from hornito.model.draw import Draw
from hornito.runtime.litert import CpuModel
from tests.conformance.fakes import OPTIONS, Fake, off_by

WIDE = Options(OPTIONS.chip, Level.WIDE)
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


def test_tolerance_of_weights_with_scales_of_their_own_is_what_the_plan_promises() -> None:
    """At twice its scale, 3.5 and 4.5 of the second channel become 4: half a weight off, eight up and eight down."""
    builder = ModelBuilder()
    image = builder.input("image", (1, 2, 2, 16), np.int8, quantization=affine(1.0, -128))
    weights = np.concatenate([np.full(16, 100), np.full(8, 7), np.full(8, 9)]).astype(np.int8).reshape(2, 1, 1, 16)
    scales = per_axis((1.0, 0.5), 0)
    value = builder.conv2d(image, weights, [0, 0], weights_quantization=scales, quantization=affine(300.0, -128))
    builder.output(value)
    content = builder.build()
    graph = read_model(content)
    promised = math.ceil(8 * 0.5 * 255 / 300)
    bounds = error_bounds(make_plan(graph, WIDE))
    assert bounds == {0: promised}
    assert tolerance(graph, graph.operators[0], bounds[0]) == 1 + promised
    case = Case("chain", "F", lambda draw: content)
    assert judge(case, WIDE, Fake({"CONV_2D": off_by(1 + promised)}), 1).status is Status.PASS
    assert judge(case, WIDE, Fake({"CONV_2D": off_by(2 + promised)}), 1).status is Status.FAIL


@pytest.mark.parametrize("costs", [(3, 1), (1, 3), (3, 3)])
def test_error_bound_is_that_of_an_operator_s_worst_job(costs: tuple[int, ...]) -> None:
    plan = make_plan(read_model(CONVOLUTION.make(Draw(CONVOLUTION.name, 1))), WIDE)
    (part,) = (part for part in plan.parts if isinstance(part, NpuPart))
    (job,) = (task for task in part.tasks if isinstance(task, Convolution))
    jobs = tuple(replace(job, off_by=cost) for cost in costs)
    assert error_bounds(replace(plan, parts=(replace(part, tasks=jobs),))) == {0: 3}


def test_other_weights_have_no_error_bound() -> None:
    graph = read_model(CONVOLUTION.make(Draw(CONVOLUTION.name, 1)))
    assert error_bounds(make_plan(graph, WIDE)) == {0: 0}


def sum_of_convolutions() -> Case:
    """Two convolutions, which may be off by 1, and a sum, which may be off by 5."""
    builder = ModelBuilder()
    image = builder.input("image", (1, 1, 4, 1), np.uint8, quantization=affine(1.0, 0))
    one = scaled(builder, image, 1)
    builder.output(builder.add(one, scaled(builder, one, 2), quantization=affine(0.125)))
    model = builder.build()
    return Case("sum", "F", lambda draw: model)


def test_operator_beyond_its_own_tolerance_fails_though_another_is_further_off() -> None:
    result = judge(sum_of_convolutions(), OPTIONS, Fake({"CONV_2D": off_by(2), "ADD": off_by(4)}), 1)
    assert (result.status, result.worst, result.tolerance) == (Status.FAIL, 2, 1)
    assert "CONV_2D" in result.reason


def test_of_operators_as_near_to_their_tolerances_the_furthest_off_is_told() -> None:
    result = judge(sum_of_convolutions(), OPTIONS, Fake({"CONV_2D": off_by(1), "ADD": off_by(5)}), 1)
    assert (result.status, result.worst, result.tolerance) == (Status.PASS, 5, 5)
    result = judge(sum_of_convolutions(), OPTIONS, Fake({"CONV_2D": off_by(3), "ADD": off_by(7)}), 1)
    assert (result.status, result.worst, result.tolerance) == (Status.FAIL, 7, 5)


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


def test_large_operators_pass_by_the_reference_kernels_though_the_optimised_ones_differ(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    class Astray(CpuModel):
        def run(self, inputs: Sequence[Array]) -> list[Array]:
            (found,) = super().run(inputs)
            return [np.where(found > 127, found - 9, found + 9)]

    def litert(model: bytes, resolver: str) -> CpuModel:
        asked.append(resolver)
        return (Astray if resolver == differences.OPTIMISED else CpuModel)(model, "model", 1, trusted=True)

    monkeypatch.setattr(differences, "LARGE", 0)
    monkeypatch.setattr(differences, "litert", litert)
    assert judge(CONVOLUTION, OPTIONS, Fake(), 1).status is Status.PASS
    assert asked == [differences.OPTIMISED, differences.REFERENCE]


def test_differences_count_what_lies_beyond_the_tolerance_in_all_outputs() -> None:
    operator = read_model(CONVOLUTION.make(Draw("any", 1))).operators[0]
    near, far = np.array([10, 13, 12], np.uint8), np.array([0, 255], np.uint8)
    pairs = [(far, far[::-1]), (near, np.array([10, 10, 10], np.uint8))]
    found = differences.measure(operator, pairs, 2, {})
    assert (found.worst, found.wrong, found.elements, found.excess) == (255, 3, 5, 253)


def test_floats_are_compared_in_33rds_rounded_up() -> None:
    operator = read_model(CONVOLUTION.make(Draw("any", 1))).operators[0]
    found = differences.measure(operator, [(np.array([1.5, 0.99]), np.array([1.0, 1.0]))], 1, {})
    assert (found.worst, found.wrong) == (17, 1)


@pytest.mark.parametrize("kind", sorted(MOVES))
def test_moves_of_bytes_may_not_differ_at_all(kind: str) -> None:
    graph = read_model(CONVOLUTION.make(Draw("any", 1)))
    assert tolerance(graph, replace(graph.operators[0], kind=kind)) == 0
    assert tolerance(graph, graph.operators[0]) == 1


def test_signed_networks_are_fed_signed_bytes() -> None:
    builder = ModelBuilder()
    image = builder.input("image", (1, 2, 2, 1), np.int8, quantization=affine(1.0))
    weights = np.full((1, 1, 1, 1), 2, np.int8)
    builder.output(builder.conv2d(image, weights, [0], weights_quantization=affine(1.0), quantization=affine(2.0)))
    model = builder.build()
    case = Case("N.Whole", "N", lambda draw: model, scope=Scope.RESULTS, tolerance=8)
    assert judge(case, OPTIONS, Fake(), 1).status is Status.PASS


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


def whole(fake: Fake, layers: int = 5, seed: int = 1) -> Result:
    model = network(layers)
    return judge(Case("N.Whole", "N", lambda draw: model, scope=Scope.RESULTS, tolerance=8), OPTIONS, fake, seed)


def test_whole_network_passes_within_its_tolerance() -> None:
    fake = Fake()
    result = whole(fake)
    assert (result.status, result.worst, result.tolerance, fake.runs) == (Status.PASS, 0, 8, 2)


def test_network_beyond_its_tolerance_fails_though_each_operator_is_right() -> None:
    result = whole(Fake({"CONV_2D": lambda value: np.copyto(value, np.clip(value, 1, None) - 1)}))
    assert (result.status, result.tolerance) == (Status.FAIL, 8)
    assert result.worst is not None and result.worst > 8
    assert "differ by more than 8" in result.reason and "amplifies roundings" in result.reason


def test_network_within_its_tolerance_fails_by_a_wrong_operator() -> None:
    """The tolerance of a network, 8, is none of its operators'."""
    result = whole(Fake({"MAX_POOL_2D": off_by(3)}))
    assert (result.status, result.tolerance) == (Status.PASS, 8)  # it runs on the CPU: none of the device's
    result = whole(Fake({"CONV_2D": off_by(3)}), layers=1)
    assert (result.status, result.worst) == (Status.FAIL, 3)
    assert result.reason.startswith("Op#0 CONV_2D")


def test_whole_networks_are_fed_the_noise_of_the_reference_driver() -> None:
    class Watched(Fake):
        def __call__(self, plan: Plan, values: Mapping[int, Array]) -> dict[int, Array]:
            (given,) = values.values()
            assert np.array_equal(given, reference_noise(given.shape))
            return super().__call__(plan, values)

    for seed in (1, 2):
        assert whole(Watched(), seed=seed).status is Status.PASS


def test_whole_network_without_anything_for_the_npu_is_refused() -> None:
    model, fake = DILATED.make(Draw(DILATED.name, 1)), Fake()
    result = judge(Case("N.Whole", "N", lambda draw: model, scope=Scope.RESULTS, tolerance=8), OPTIONS, fake, 1)
    assert (result.status, result.rule, fake.runs) == (Status.REFUSED, "CONV_2D: needs a dilation of 1", 0)


def test_noise_is_that_of_the_standard_generator() -> None:
    assert int(mersenne_words(10000, 5489)[-1]) == 4123659995  # as the C++ standard demands of std::mt19937
    noise = reference_noise((1, 200, 100, 3))
    assert noise.dtype == np.uint8 and noise.shape == (1, 200, 100, 3) and noise.max() == 254
    counts = np.bincount(noise.reshape(-1))
    assert len(counts) == 255 and counts.min() > 150 and counts.max() < 320
    assert noise.reshape(-1)[:4].tolist() == [word * 255 >> 32 for word in mersenne_words(4, 4).tolist()]


def test_network_with_a_wrong_operator_fails_and_names_it() -> None:
    result = whole(Fake({"CONV_2D": off_by(40)}))
    assert result.status is Status.FAIL
    assert "; Op#0 CONV_2D" in result.reason


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
    """Alone it is off by as much as it may."""
    alone = judge(SUM, OPTIONS, Fake({"ADD": off_by(9)}), 1).tolerance or 0
    assert alone

    class Crowded(Fake):
        def __call__(self, plan: Plan, values: Mapping[int, Array]) -> dict[int, Array]:
            self.spoil = {"ADD": off_by(9 if len(plan.graph.operators) > 1 else alone)}
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
