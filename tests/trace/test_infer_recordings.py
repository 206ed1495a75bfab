# SPDX-License-Identifier: MIT
"""Do recordings whose models differ in one number tell which fields follow it: files of any kind, whoever made them?"""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from hornito.cli.main import main
from hornito.trace.load import load
from hornito.trace.writer import save

# Families of the reference driver's submissions, of models that differ in one number: what the databook gives as affine
# in it (nn-descriptor.md, Fields; tp-descriptor.md, Detranspose), and all else that follows it.
OUTPUTS = ("conv-i8-k5-c1-o{}-s1-same", (32, 120, 128, 256))
AFFINE_IN_OUTPUTS = {
    "out_image_z_size": "p",
    **{"in_image_y_size": "8 * p", "in_window_y_end": "8 * p - 1", "in_image_slice": "64 * p"},
    **{"out_loop_0_inc": "p", "out_loop_2_inc": "8 * p", "out_loop_3_count": "p", "out_loop_4_inc": "64 * p"},
}
OTHERS_OF_OUTPUTS = {
    *("kernels_per_core", "image_caching_mode", "kernel_cache_end_address"),
    *("coefficients, bytes", "coefficients, core 0, kernels", "coefficients, core 1, first output offset"),
    "coefficients, bias of output 0",
}
# With a stride of 2 a kernel of R rows becomes one of ceil(R / 2), and of 1 row none at all (lowering.md).
KERNELS = ("conv-i5-k{}-c1-o32-s2-same", (1, 3, 5))


def inferred(capsys: pytest.CaptureFixture[str], files: list[Path], models: list[Path]) -> list[dict[str, Any]]:
    status = main(["trace", "diff", *map(str, files), "--infer", *map(str, models), "--json"])
    assert status == 1
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return found


def family(shared: Path, form: str, numbers: tuple[int, ...]) -> tuple[list[Path], list[Path]]:
    folder = shared / "goldens" / "silicon-verdicts" / "vipnano-qi"
    files = [folder / f"{form.format(number)}.npz" for number in numbers]
    return files, [file.with_suffix(".tflite") for file in files]


def test_a_family_of_the_reference_driver_s(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (found,) = inferred(capsys, *family(shared, *OUTPUTS))
    assert "output channels" in found["parameters"]
    claimed = {row["name"]: row["formula"] for row in found["found"] if row["coefficients"]}
    assert claimed == AFFINE_IN_OUTPUTS
    assert {row["name"] for row in found["found"]} - set(claimed) == OTHERS_OF_OUTPUTS
    assert {row["confidence"] for row in found["found"] if row["coefficients"]} == {"fair"}


@pytest.mark.parametrize("pair", list(itertools.combinations(OUTPUTS[1], 2)))
def test_every_pair_of_a_family_allows_what_all_of_it_proves(
    shared: Path, capsys: pytest.CaptureFixture[str], pair: tuple[int, int]
) -> None:
    """And it says of a guess that it is one."""
    (found,) = inferred(capsys, *family(shared, OUTPUTS[0], pair))
    guessed = {row["name"]: (row["formula"], row["confidence"]) for row in found["found"] if row["coefficients"]}
    expected = {name: text for name, text in AFFINE_IN_OUTPUTS.items() if not text.endswith(" - 1")}
    assert {name: guessed[name] for name in expected} == {name: (text, "a guess") for name, text in expected.items()}
    assert set(guessed) <= set(AFFINE_IN_OUTPUTS) | OTHERS_OF_OUTPUTS


def test_jobs_that_one_model_alone_takes_do_not_hide_the_others(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files, models = family(shared, *KERNELS)
    (found,) = inferred(capsys, files, models)
    rows = {(row["unit"], row["name"]): row for row in found["found"]}
    assert rows["NN", "kernel_y_size"]["values"] == [2, 2, 3]
    assert rows["TP", "in_window_x_start"]["values"] == [None, -1, -2]
    assert not any(row["coefficients"] for (unit, _), row in rows.items() if unit == "NN")
    main(["trace", "diff", *map(str, files), "--infer", *map(str, models)])
    assert "-1, -2 (in 2 of 3 recordings)" in capsys.readouterr().out


def test_recordings_and_submission_files_say_the_same(
    shared: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files, models = family(shared, *OUTPUTS)
    traces = [tmp_path / f"{file.stem}.trace" for file in files]
    for file, trace in zip(files, traces, strict=True):
        save(load(file), trace)
    plain = inferred(capsys, files, models)
    assert inferred(capsys, traces, models) == plain
    assert inferred(capsys, [files[0], traces[1], files[2], traces[3]], models) == plain
