# SPDX-License-Identifier: MIT
"""What does every verb print, and what does it leave behind?"""

import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hornito import __version__
from hornito.cli.main import VERBS
from tests.cli.conftest import Hornito
from tests.examples.detectors import yolox
from tests.runtime.networks import furthest, litert

OF_THEIR_OWN = {"exec", "trace"}  # verbs that run programs, or have verbs in turn; their own tests know their help


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb(verb: str, hornito: Hornito) -> None:
    found = hornito(verb, "--help")
    assert found.code == 0 and found.err == ""
    assert found.out.startswith(f"usage: hornito {verb} ")
    if verb not in OF_THEIR_OWN:
        assert VERBS[verb][1][1:] in " ".join(found.out.split())
        assert "--json" in found.out


def test_help_names_every_verb_and_exit_code(hornito: Hornito) -> None:
    found = hornito("--help")
    assert found.code == 0
    for verb in VERBS:
        assert re.search(rf"^    {verb}\s", found.out, re.M)
    for code in (0, 1, 2, 3, 4, 130):
        assert re.search(rf"\b{code}\b", found.out)


def test_version(hornito: Hornito) -> None:
    assert hornito("--version").out == f"hornito {__version__}\n"


def test_devices(hornito: Hornito) -> None:
    found = hornito("devices")
    assert found.code == 0
    assert any(line.startswith("--device virtual --chip vipnano-qi-88-0: virtual NPU, 8 NN") for line in found.lines)
    assert found.lines[-1] == "--device cpu: LiteRT on the CPU"
    listed = json.loads(hornito("devices", "--json").out)
    assert [entry["usable"] for entry in listed] == [line.startswith("--device") for line in found.lines]
    assert len(listed) == 13
    assert ("virtual", "vipnano-qi-88-0") in [(entry["device"], entry["chip"]) for entry in listed]


def test_inspect(folder: Path, hornito: Hornito) -> None:
    found = hornito("inspect", folder / "alternating.tflite")
    assert found.code == 0 and found.err == ""
    assert "Op#0 CONV_2D(T#0, T#1, T#2" in found.out
    content = json.loads(hornito("inspect", folder / "alternating.tflite", "--json").out)
    assert [operator["kind"] for operator in content["operators"]].count("MAX_POOL_2D") == 2


def test_plan_has_a_row_for_each_job(folder: Path, hornito: Hornito) -> None:
    found = hornito("plan", folder / "alternating.tflite")
    assert found.code == 0 and found.err == ""
    table = found.out.split("\n\n")[0].splitlines()
    assert table[0].endswith("on vipnano-qi-88-0, plan level proven")
    assert [next(word for word in line.split() if word.isalpha()) for line in table[2:]] == (
        ["TP", "NN", "TP", "CPU", "TP", "TP", "NN", "TP", "CPU", "TP", "NN", "TP"]
    )
    assert "Op#1 MAX_POOL_2D on the CPU: could be run by the NN unit's pooling = 1" in found.out
    assert re.search(r"^jobs: 3 NN, 7 TP; on the CPU: 2, with 0\.0 % of the MACs$", found.out, re.M)


@pytest.mark.parametrize(("units", "jobs"), [("nn", (0, 0, 5)), ("tp", (3, 0, 9)), ("nn,tp", (0, 0, 5))])
def test_plan_without_units(units: str, jobs: tuple[int, ...], folder: Path, hornito: Hornito) -> None:
    found = hornito("plan", folder / "alternating.tflite", "--disable", units, "--json")
    content = json.loads(found.out)
    assert tuple(content["totals"]["jobs"].values()) == jobs
    on_cpu = [row for row in content["rows"] if row["unit"] == "cpu"]
    assert all(row["reason"] for row in on_cpu)
    assert content["totals"]["macs_on_cpu"] == (content["totals"]["macs_real"] if "nn" in units else 0)


def test_plan_marks_what_is_unproven(folder: Path, hornito: Hornito, tmp_path: Path) -> None:
    from tests.runtime.networks import Layer

    (tmp_path / "m.tflite").write_bytes(Layer(dtype=np.int8).model())
    assert "jobs unproven on silicon: 3" in hornito("plan", tmp_path / "m.tflite").out
    assert "unproven" not in hornito("plan", folder / "layer.tflite").out


def test_plan_of_a_model_without_npu(folder: Path, hornito: Hornito) -> None:
    for name in ("refused", "float"):
        found = hornito("plan", folder / f"{name}.tflite")
        assert found.code == 0
        assert "jobs: 0 NN, 0 TP; on the CPU: 1, with 100.0 % of the MACs" in found.out


def run_outputs(hornito: Hornito, tmp_path: Path, model: Path, inputs: list[Path], count: int, *more: str) -> list[Any]:
    paths = [tmp_path / f"out{number}.npy" for number in range(count)]
    arguments: list[str | Path] = ["run", model, *more]
    for path in inputs:
        arguments += ["--input", path]
    for path in paths:
        arguments += ["--output", path]
    found = hornito(*arguments)
    assert found.code == 0, found.err
    assert len(found.lines) == count
    return [np.load(path) for path in paths]


@pytest.mark.parametrize("units", [(), ("--disable", "tp")], ids=["all units", "without TP"])
@pytest.mark.parametrize("chip", ["vipnano-qi", "vipnano-qi-7d-0"])
@pytest.mark.parametrize(
    ("model", "inputs", "outputs"),
    [("layer", ["layer"], 1), ("alternating", ["image"], 1), ("two", ["image", "second"], 3)],
)
def test_model_and_submission_file_give_equal_outputs(
    model: str,
    inputs: list[str],
    outputs: int,
    chip: str,
    units: tuple[str, ...],
    folder: Path,
    hornito: Hornito,
    tmp_path: Path,
) -> None:
    path, given = folder / f"{model}.tflite", [folder / f"{name}.npy" for name in inputs]
    compiled = tmp_path / "o.npz"
    assert hornito("compile", path, "-o", compiled, "--chip", chip, *units).code == 0
    direct = run_outputs(hornito, tmp_path, path, given, outputs, "--chip", chip, *units)
    loaded = run_outputs(hornito, tmp_path, compiled, given, outputs)
    named = run_outputs(hornito, tmp_path, compiled, given, outputs, "--chip", chip, "--device", "virtual")
    for one, other, third in zip(direct, loaded, named, strict=True):
        assert one.dtype == other.dtype and np.array_equal(one, other) and np.array_equal(one, third)
    if model == "layer":
        assert furthest(direct[0], litert(path.read_bytes(), [np.load(given[0])])[0]) <= 1


def test_compile_is_repeatable_and_says_what_it_did(
    folder: Path, hornito: Hornito, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HORNITO_CACHE_LIMIT", "0")
    for name in ("a.npz", "b.npz"):
        found = hornito("compile", folder / "alternating.tflite", "-o", tmp_path / name)
        assert found.code == 0 and found.out == ""
        assert found.err == f"{tmp_path / name}: 10 jobs in 3 submissions for vipnano-qi-88-0, 2 operators on the CPU\n"
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    content = json.loads(hornito("compile", folder / "layer.tflite", "-o", tmp_path / "a.npz", "--json").out)
    assert content["jobs"] == 3 and content["cpu_operators"] == 0
    assert (tmp_path / "a.npz").stat().st_mode & 0o777 == (tmp_path / "b.npz").stat().st_mode & 0o777


def test_what_was_compiled_before_is_written_again(
    folder: Path, hornito: Hornito, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HORNITO_CACHE", str(tmp_path / "cache"))
    found = [
        json.loads(hornito("compile", folder / "alternating.tflite", "-o", tmp_path / f"{name}.npz", "--json").out)
        for name in "ab"
    ]
    assert [each.pop("from_cache") for each in found] == [False, True]
    assert found[0] | {"output": ""} == found[1] | {"output": ""}
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    (entry,) = (tmp_path / "cache" / "compiled").iterdir()
    entry.write_bytes(entry.read_bytes()[:-1])
    assert hornito("compile", folder / "alternating.tflite", "-o", tmp_path / "c.npz").code == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "c.npz").read_bytes()
    monkeypatch.setenv("HORNITO_CACHE_LIMIT", "lots")
    found_limit = hornito("compile", folder / "alternating.tflite", "-o", tmp_path / "c.npz")
    assert found_limit.code == 2
    assert found_limit.err == (
        "hornito: HORNITO_CACHE_LIMIT='lots' is no size; give bytes, or for example 512M, or 0 to keep nothing\n"
    )


def test_run_prints_a_line_for_each_output(folder: Path, hornito: Hornito) -> None:
    found = hornito("run", folder / "layer.tflite", "--input", folder / "layer.npy")
    assert found.code == 0
    assert re.fullmatch(r"conv_2d_0: uint8 \[1, 6, 7, 8\], \d+ \.\. \d+\n", found.out)


def test_run_on_the_cpu(folder: Path, hornito: Hornito, tmp_path: Path) -> None:
    given = folder / "layer.npy"
    [found] = run_outputs(hornito, tmp_path, folder / "layer.tflite", [given], 1, "--device", "cpu", "--threads", "1")
    wanted = litert((folder / "layer.tflite").read_bytes(), [np.load(given)], reference=False)[0]
    assert np.array_equal(found, wanted)


def test_json_has_no_number_that_json_lacks(folder: Path, hornito: Hornito) -> None:
    found = hornito("run", folder / "float.tflite", "--input", folder / "float.npy", "--json")
    assert found.code == 0

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    [summary] = json.loads(found.out, parse_constant=refuse)
    assert summary["min"] is None and summary["dtype"] == "float32"
    assert "hornito: " in found.err and "runs in LiteRT on the CPU" in found.err


def test_model_is_found_by_name(
    folder: Path, hornito: Hornito, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert hornito("inspect", "alternating").code == 2
    monkeypatch.setenv("HORNITO_MODELS", f"/nowhere:{folder}")
    for verb in ("inspect", "plan"):
        assert hornito(verb, "alternating").code == 0


def test_benchmark(folder: Path, hornito: Hornito) -> None:
    arguments = ("benchmark", folder / "layer.tflite", "-c", "3", "--warmup-runs", "1", "--compare", "cpu")
    found = hornito(*arguments)
    assert found.code == 0
    assert [line.split(":")[0] for line in found.lines] == (
        ["device", "load", "compile", "npu latency", "cpu latency", "npu / cpu"]
    )
    assert "3 runs, a new input each, after 1 to warm up" in found.err
    content = json.loads(hornito(*arguments, "--json").out)
    for figures in content["latency_ms"].values():
        assert 0 < figures["median"] <= figures["p95"]
    assert content["ratio_to_cpu"] > 0


@pytest.mark.parametrize("model", ["float", "refused"])
def test_benchmark_of_a_model_without_npu_has_the_cpu_s_figures(model: str, folder: Path, hornito: Hornito) -> None:
    content = json.loads(hornito("benchmark", folder / f"{model}.tflite", "-c", "2", "--compare", "cpu", "--json").out)
    assert list(content["latency_ms"]) == ["cpu"] and content["device"] == "LiteRT on the CPU"


SCORE = re.compile(r"[01]\.\d{6}: \d+ .+")


@pytest.mark.parametrize("device", ["virtual", "cpu"])
def test_label_image(device: str, folder: Path, hornito: Hornito) -> None:
    arguments: list[str | Path] = ["label-image", "--model", folder / "classifier.tflite", "--device", device]
    arguments += ["--image", folder / "picture.png", "--labels", folder / "labels.txt"]
    found = hornito(*arguments, "-c", "2", "--warmup-runs", "1")
    assert found.code == 0
    assert len(found.lines) == 5
    for line in found.lines:
        assert SCORE.fullmatch(line)
        assert line.split(" ", 1)[1].split(" ", 1)[1] == f"class {line.split()[1]}"
    scores = [float(line.split(":")[0]) for line in found.lines]
    assert scores == sorted(scores, reverse=True)
    for word in ("load: ", "compile: ", "average: ", "over 2 runs"):
        assert word in found.err
    content = json.loads(hornito(*arguments, "--json", "--top", "3").out)
    assert [(entry["index"], entry["label"]) for entry in content["results"]] == [
        (int(line.split()[1]), line.split(" ", 2)[2]) for line in found.lines[:3]
    ]


def test_label_image_with_neither_model_nor_picture(hornito: Hornito) -> None:
    found = hornito("label-image")
    assert found.code == 0, found.err
    assert len(found.lines) == 5 and all(SCORE.fullmatch(line) for line in found.lines)
    assert json.loads(hornito("label-image", "--json", "--disable", "tp").out)["results"]


def test_label_image_names_grace_hopper_s_uniform(shared: Path, hornito: Hornito) -> None:
    models = shared / "models"
    arguments: list[str | Path] = ["label-image", "--model", models / "mobilenet_v1_1.0_224_quant.tflite"]
    arguments += ["--image", models / "grace_hopper.bmp", "--labels", models / "labels_mobilenet_quant_v1_224.txt"]
    found = hornito(*arguments)
    assert found.code == 0
    assert re.fullmatch(r"0\.\d{6}: 653 military uniform", found.lines[0])
    assert len(found.lines) == 5
    assert hornito(*arguments, "--disable", "tp").out == found.out


def test_captured_submission_without_meta_is_refused(shared: Path, hornito: Hornito) -> None:
    golden = shared / "goldens" / "vipnano-qi" / "mb-000.npz"
    assert golden.is_file()
    found = hornito("run", golden)
    assert found.code == 2 and found.out == ""
    assert len(found.err.splitlines()) == 1 and "no model" in found.err


def test_output_of_every_verb_is_json_on_request(folder: Path, hornito: Hornito, tmp_path: Path) -> None:
    model = folder / "classifier.tflite"
    np.save(tmp_path / "x.npy", np.zeros((1, 12, 16, 3), np.uint8))
    (tmp_path / "detector.tflite").write_bytes(yolox())
    calls: dict[str, list[str | Path]] = {
        "detect": ["--model", tmp_path / "detector.tflite", "--image", folder / "picture.bmp"],
        "conformance": ["--filter", "Pad.Op/1_is_signed_0", "--jobs", "1"],
        "label-image": ["--model", model, "--image", folder / "picture.bmp", "--labels", folder / "labels.txt"],
        "inspect": [model],
        "plan": [model],
        "compile": [model, "-o", tmp_path / "o.npz"],
        "run": [model, "--input", tmp_path / "x.npy"],
        "benchmark": [model, "-c", "1"],
        "devices": [],
        "doctor": ["--device", "virtual", "--filter", "Chain"],
    }
    assert set(VERBS) - set(calls) == {*OF_THEIR_OWN, "fetch", "serve"}  # tested on their own
    for verb, arguments in calls.items():
        found = hornito(verb, *arguments, "--json")
        assert found.code == 0, found.err
        json.load(io.StringIO(found.out))


def test_plan_explains_a_job(folder: Path, hornito: Hornito) -> None:
    found = hornito("plan", folder / "layer.tflite", "--explain", "Op#0", "--plan", "fast")
    assert (found.code, found.err) == (0, "")
    assert found.lines[0] == "Op#0 CONV_2D on vipnano-qi-88-0, plan level fast"
    assert sum(line.startswith("*") for line in found.lines) == 2
    assert any(line.startswith("not possible: ") for line in found.lines)
    value = json.loads(hornito("plan", folder / "layer.tflite", "--explain", "1", "--json").out)
    assert value["level"] == "proven" and value["job"] == 1
    assert sum(row["chosen"] for row in value["shapings"]) == sum(row["fast"] for row in value["shapings"]) == 1
    assert all(row["low_ms"] <= row["ms"] <= row["high_ms"] for row in value["ways"])


def test_plan_s_jobs_have_the_numbers_that_explain_takes(folder: Path, hornito: Hornito) -> None:
    table = hornito("plan", folder / "layer.tflite").out.split("\n\n")[0].splitlines()[2:]
    assert [line.split()[0] for line in table] == [str(number) for number in range(len(table))]
    assert hornito("plan", folder / "layer.tflite", "--explain", str(len(table) - 1)).code == 0
    rows = json.loads(hornito("plan", folder / "alternating.tflite", "--json").out)["rows"]
    assert [row["job"] for row in rows if row["unit"] != "cpu"] == list(range(10))
    assert {row["job"] for row in rows if row["unit"] == "cpu"} == {None}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--explain", "Op#7"], "'Op#7': the plan has 1 operator"),
        (["--explain", "soon"], "'soon' is no job of the plan"),
        (["--explain", "9" * 5000], f"'{'9' * 40}...' is no job of the plan"),
        (["--explain", "Op#" + "9" * 5000], "...' is no job of the plan"),
        (["--explain", "0", "--against", "wide"], "--against: has no meaning with --explain"),
        (["--without", "groups,tales", "--plan", "fast"], "unknown technique 'tales'; known are groups, tiles"),
    ],
)
def test_plan_refuses_what_can_t_be_explained(more: list[str], words: str, folder: Path, hornito: Hornito) -> None:
    found = hornito("plan", folder / "layer.tflite", *more)
    assert (found.code, found.out) == (2, "") and words in found.err and len(found.err.splitlines()) == 1


def test_techniques_are_ignored_with_a_remark_below_fast(folder: Path, hornito: Hornito) -> None:
    found = hornito("plan", folder / "layer.tflite", "--without", "groups")
    assert found.code == 0 and "--without: ignored at plan level proven; use --plan fast" in found.err
