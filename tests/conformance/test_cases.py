# SPDX-License-Identifier: MIT
"""Does the matrix hold what it should, by the names it should, and are its models what they are said to be?"""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hornito.conformance import all_cases, matching, matrix, more, networks, read_list, sample
from hornito.conformance.case import Case
from hornito.conformance.differences import REFERENCE, litert
from hornito.errors import BadInput
from hornito.model import read_model
from hornito.model.draw import Draw, result_range

CASES = all_cases()


def test_names_are_unique_and_cases_travel_between_processes() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert [case.name for case in pickle.loads(pickle.dumps(CASES))] == [case.name for case in CASES]


def test_counts_follow_from_the_parameters() -> None:
    counts = Counter(case.family for case in matrix.cases())
    sizes_and_kernels = 2 + 3 * 4  # a kernel of 5 does not fit an image of 3
    convolutions = sizes_and_kernels * 5 * 6 * 2 * 2
    unsigned = {
        "Conv2D": convolutions,
        "Add": convolutions,
        "DepthwiseConv2D": (1 + 2 * 4) * 5 * 2 * 2,
        "AddQuant": 100,
        "FullyConnected": 4 * 6,
    }
    assert counts == unsigned | {f"{family} int8": count for family, count in unsigned.items()}
    assert len(list(networks.cases())) == 3 + 31 + 124 + 128


def test_kernels_larger_than_the_image_are_left_out() -> None:
    assert not [case for case in CASES if "input_size_3_weight_size_5" in case.name]
    assert [case for case in CASES if "input_size_5_weight_size_5" in case.name]


@pytest.mark.parametrize("chip", ["vipnano-qi", "vipnano-si-plus"])
def test_every_known_failure_is_a_case(chip: str, shared: Path) -> None:
    listed = read_list(shared / "goldens" / f"known-failures-{chip}.txt")
    assert len(listed) > 10
    assert set(listed) <= {case.name for case in CASES}


def test_sample_depends_on_its_seed_alone_and_has_every_family() -> None:
    names = [case.name for case in sample(CASES, 100, 3)]
    assert names == [case.name for case in sample(CASES, 100, 3)]
    assert names != [case.name for case in sample(CASES, 100, 4)]
    assert len(names) == len(set(names)) == 100
    order = [case.name for case in CASES]
    assert names == sorted(names, key=order.index)
    assert {case.family for case in sample(CASES, 100, 3)} == {case.family for case in CASES}


def test_sample_as_large_as_there_are_families_has_one_of_each() -> None:
    families = {case.family for case in CASES}
    assert {case.family for case in sample(CASES, len(families), 1)} == families


@pytest.mark.parametrize("size", [1, 20, 50])
def test_sample_smaller_than_the_families_has_as_many_as_it_can(size: int) -> None:
    assert len({case.family for case in sample(CASES, size, 3)}) == size


@pytest.mark.parametrize("size", [1, 5, len(CASES), len(CASES) + 1])
def test_samples_of_every_size(size: int) -> None:
    assert len(sample(CASES, size, 1)) == min(size, len(CASES))


def test_filter_takes_parts_of_names_and_patterns() -> None:
    assert {case.family for case in matching(CASES, "AddQuant")} == {"AddQuant", "AddQuant int8"}
    assert [case.name for case in matching(CASES, "*.Whole")] == ["MobileNetV1.Whole", "MobileDet.Whole", "YoloX.Whole"]
    assert [case.name for case in matching(CASES, "AddQuant.Op/?")] == [f"AddQuant.Op/{n}" for n in range(10)]
    with pytest.raises(BadInput, match="no case is called 'nothing like it'"):
        matching(CASES, "nothing like it")
    with pytest.raises(BadInput):
        matching(CASES, "[A]ddQuant")


def models(cases: list[Case]) -> list[tuple[Case, bytes]]:
    return [(case, case.make(Draw(case.name, 1))) for case in cases]


SMALL = [case for case in matrix.cases() if not any(f"size_{size}" in case.name for size in (80, 112, 25088, 62720))]


def test_models_are_the_same_for_the_same_seed() -> None:
    for case in sample(SMALL, 10, 1):
        assert case.make(Draw(case.name, 1)) == case.make(Draw(case.name, 1)) != case.make(Draw(case.name, 2))


@pytest.mark.parametrize("case", [*more.cases(), *sample(SMALL, 40, 2)], ids=lambda case: str(case.name))
def test_litert_runs_the_model_and_its_results_use_their_range(case: Case) -> None:
    draw = Draw(case.name, 1)
    graph = read_model(case.make(draw))
    kind = np.uint8 if case.name.endswith("is_signed_0") or case.family == "AddQuant" else np.int8
    assert all(graph.tensor(index).dtype == kind for index in (*graph.inputs, *graph.outputs))
    written = {output for operator in graph.operators for output in operator.outputs}
    assert written == set(graph.outputs), "an operator can be judged only where its result is an output"
    found = litert(graph.source, REFERENCE).run(
        [draw.values(graph.tensor(index).shape, kind) for index in graph.inputs]
    )
    for value, index in zip(found, graph.outputs, strict=True):
        assert value.shape == graph.tensor(index).shape
        if value.size >= 100:
            assert len(np.unique(value)) > 20
            clamped = np.mean((value == value.min()) | (value == value.max()))
            assert clamped < (0.9 if "relu" in case.name or case.family.startswith("AddQuant") else 0.4)


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
@pytest.mark.parametrize("mean,deviation", [(0.0, 1.0), (100.0, 1.0), (-1e6, 3.0), (5.0, 1e6)])
def test_result_range_holds_zero_and_most_values(mean: float, deviation: float, kind: type[np.uint8]) -> None:
    quantization = result_range(mean, deviation, kind)
    info = np.iinfo(kind)
    low, high = ((edge - quantization.zero_point) * quantization.scale for edge in (info.min, info.max))
    assert info.min <= quantization.zero_point <= info.max
    step = quantization.scale
    assert low <= min(0.0, mean - 2 * deviation) + step and max(0.0, mean + 2 * deviation) - step <= high
