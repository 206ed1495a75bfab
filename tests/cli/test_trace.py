# SPDX-License-Identifier: MIT
"""Does ``hornito trace`` show what it is asked for, and refuse the rest in one line?"""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from hornito.cli import pager, trace_record
from tests.cli.conftest import Hornito
from tests.compiler.networks import Layer
from tests.trace import samples


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples.recorded(tmp_path_factory.mktemp("recordings") / "layer.trace")


def test_show_prints_plain_text_into_a_pipe(hornito: Hornito, path: Path) -> None:
    outcome = hornito("trace", "show", path)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.lines[0] == f"{path}: test, chip vipnano-qi-88-0, program argument"
    assert "\x1b" not in outcome.out


def test_show_colours_when_told_to(hornito: Hornito, path: Path) -> None:
    assert "\x1b[33m  job 1:" in hornito("trace", "show", path, "--color", "always").out


def test_show_selects(hornito: Hornito, path: Path) -> None:
    outcome = hornito("trace", "show", path, "--job", "1", "--unit", "nn", "--field", "kernel_*size")
    assert [line.split(" = ")[0].split()[-1] for line in outcome.lines if " = " in line] == [
        "kernel_xy_size",
        "kernel_z_size",
        "kernel_y_size",
    ]
    assert "submit 1: " in hornito("trace", "show", path, "--calls").out


def test_show_json_is_json(hornito: Hornito, path: Path) -> None:
    found = json.loads(hornito("trace", "show", path, "--json").out)
    assert found["chip"] == "vipnano-qi-88-0"
    assert found["problem"] == ""
    assert sum(event["event"] == "submit" for event in found["events"]) == 2


def test_weights_are_given_as_arrays(hornito: Hornito, path: Path, tmp_path: Path) -> None:
    outcome = hornito("trace", "show", path, "--weights", "1.1", "-o", tmp_path / "w.npz")
    assert (outcome.code, outcome.out) == (0, "")
    expected = Layer().weights.transpose(0, 3, 1, 2)  # the stream's order is output, input, row, column
    with np.load(tmp_path / "w.npz") as found:
        assert np.array_equal(found["weights"], expected)
        assert len(found["biases"]) == 8
        assert found["zero_point"] == 7
    text = hornito("trace", "show", path, "--weights", "1").out
    assert "output 7: bias" in text
    found = json.loads(hornito("trace", "show", path, "--weights", "1", "--json").out)
    assert np.array_equal(np.array(found["weights"]), expected)


def test_a_cut_recording_is_shown_up_to_the_cut(hornito: Hornito, path: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.trace").write_bytes(path.read_bytes()[:-40])
    outcome = hornito("trace", "show", tmp_path / "cut.trace")
    assert outcome.code == 0
    assert "cut.trace: cut " in outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert "submit 1" in outcome.out


def test_import_makes_a_recording(hornito: Hornito, path: Path, tmp_path: Path) -> None:
    outcome = hornito("trace", "import", path, "-o", tmp_path / "copy.trace")
    assert outcome.code == 0
    shown = hornito("trace", "show", tmp_path / "copy.trace").lines
    assert shown[1:] == hornito("trace", "show", path).lines[1:]


@pytest.mark.parametrize(
    "arguments,text",
    [
        (["show", "none.trace"], "No such file"),
        (["show", "{path}", "--job", "x"], "is no job"),
        (["show", "{path}", "--chip", "z80"], "unknown chip 'z80'"),
        (["show", "{path}", "--weights", "0"], "submit 1 has no NN job 0; it has 1"),
        (["show", "{path}", "--weights", "5.0"], "has no submit 5"),
        (["show", "{path}", "-o", "w.npz"], "--weights JOB"),
        (["show"], "required: F"),
        ([], "required: ACTION"),
        (["import", "{path}", "-o", "{path}"], "is read as well"),
        (["import", "{path}", "{path}", "-o", "x.trace"], "one by one"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(
    hornito: Hornito, path: Path, arguments: list[str], text: str
) -> None:
    outcome = hornito("trace", *(argument.format(path=path) for argument in arguments))
    assert outcome.code == 2
    assert len(outcome.err.splitlines()) == 1
    assert text in outcome.err


@pytest.mark.parametrize(
    "choice,environment,expected",
    [("auto", {}, False), ("always", {"NO_COLOR": "1"}, True), ("never", {}, False)],
)
def test_colours_follow_choice_and_terminal(
    monkeypatch: pytest.MonkeyPatch, choice: str, environment: dict[str, str], expected: bool
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert pager.wants_colour(choice) is expected


def run_on_terminal(arguments: list[str], environment: dict[str, str]) -> str:
    """What a program prints to a terminal."""
    import pty
    import subprocess
    import sys

    master, slave = pty.openpty()
    command = [sys.executable, "-m", "hornito.cli.main", *arguments]
    with subprocess.Popen(command, stdout=slave, stdin=slave, env=os.environ | environment) as process:
        os.close(slave)
        found = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # the last writer has closed it
                break
            if not part:
                break
            found += part
        process.wait(timeout=60)
    os.close(master)
    return found.decode()


def test_a_terminal_gets_pager_and_colour(path: Path, tmp_path: Path) -> None:
    script = tmp_path / "pager"
    script.write_text("#!/bin/sh\necho PAGED $LESS\ncat\n")
    script.chmod(0o755)
    environment = {"PAGER": str(script), "TERM": "xterm", "NO_COLOR": ""}
    show = ["trace", "show", str(path), "--calls"]
    assert run_on_terminal(show, environment).startswith("PAGED FRX\r\n\x1b[1m")
    assert "\x1b" not in run_on_terminal(show, environment | {"NO_COLOR": "1"})
    assert "PAGED" not in run_on_terminal([*show, "--no-pager"], environment)
    assert "PAGED" not in run_on_terminal(show, environment | {"PAGER": ""})


def test_a_pager_that_is_left_early_ends_the_output(path: Path) -> None:
    found = run_on_terminal(["trace", "show", str(path)], {"PAGER": "head -n 1", "NO_COLOR": "1"})
    assert len(found.splitlines()) == 1


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples.recorded(tmp_path_factory.mktemp("recordings") / "other.trace", weight_zero=9)


def test_diff_of_the_same_prints_nothing(hornito: Hornito, path: Path) -> None:
    outcome = hornito("trace", "diff", path, path)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    found = json.loads(hornito("trace", "diff", path, path, "--json").out)
    assert (found["same"], found["hunks"]) == (True, [])


def test_diff_shows_the_fields_that_differ(hornito: Hornito, path: Path, other: Path) -> None:
    outcome = hornito("trace", "diff", path, other)
    assert outcome.code == 1
    assert outcome.lines[:3] == [
        f"--- {path}",
        f"+++ {other}",
        "@@ -job 1.1 +job 1.1 @@ NN: convolution 3x3, 8x8x4 -> 8x8x8 (x by y by z)",
    ]
    changed = outcome.lines[outcome.lines.index("- w22[7:0] coef_zero_point = 7") :]
    assert changed[1] == "+ w22[7:0] coef_zero_point = 9"
    found = json.loads(hornito("trace", "diff", path, other, "--json").out)
    fields = {one["name"]: (one["a"], one["b"]) for hunk in found["hunks"] for one in hunk["differences"]}
    assert fields["coef_zero_point"] == (7, 9)
    assert not found["same"]


def test_diff_of_a_cut_recording_is_never_the_same(hornito: Hornito, path: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.trace").write_bytes(path.read_bytes()[:-20])
    outcome = hornito("trace", "diff", path, tmp_path / "cut.trace")
    assert outcome.code == 2
    assert outcome.out == ""
    assert "cut.trace: it has no end" in outcome.err or "cut " in outcome.err


def test_diff_s_trouble_is_2(hornito: Hornito, path: Path) -> None:
    outcome = hornito("trace", "diff", path, "none.trace")
    assert (outcome.code, outcome.out) == (2, "")
    assert len(outcome.err.splitlines()) == 1


def test_coverage_counts_and_names(hornito: Hornito, path: Path) -> None:
    outcome = hornito("trace", "coverage", path)
    assert outcome.code == 0
    assert outcome.lines[0].split() == ["bits", "replayed", "inferred", "unknown", "strange", "unnamed"]
    assert any(line.split()[:2] == ["1", "NN"] for line in outcome.lines)
    assert any("further5 (unknown)" in line for line in outcome.lines)
    found = json.loads(hornito("trace", "coverage", path, path, "--json").out)
    assert found["structures"]["NN"] == 2
    assert sum(sum(word["bits"].values()) for word in found["words"]) == sum(found["totals"].values())


def test_facts_are_listed_with_their_sources(hornito: Hornito) -> None:
    outcome = hornito("trace", "facts", "kernel_xy*", "NOP")
    assert [line.split()[:4] for line in outcome.lines] == [
        ["command", "0x03", "NOP", "replayed"],
        ["NN", "w0[5:2]", "kernel_xy_size", "replayed"],
    ]
    assert all("Mesa 25.0.7" in line for line in outcome.lines)
    assert len(json.loads(hornito("trace", "facts", "--json").out)) > 150


def test_study_prints_a_table(hornito: Hornito) -> None:
    arguments = ["trace", "study", "output_zero=0..20/5", "size=8", "inputs=4"]
    outcome = hornito(*arguments)
    assert outcome.code == 0
    assert outcome.lines[0] == "output_zero = 0, 5, 10, 15, 20: TP, NN, TP"
    assert outcome.lines[1].startswith("checked at 1, ") and outcome.lines[1].endswith(", 255")
    assert outcome.lines[2] == "  job 1: NN"
    assert outcome.lines[3].split()[:4] == ["w22[15:8]", "out_zero_point", "=", "output_zero"]
    assert "[strong: at 5 values and " in outcome.lines[3]
    found = json.loads(hornito(*arguments, "--json").out)
    assert (found["parameters"], found["asked"], found["refused"]) == (["output_zero"], 5, [])
    assert found["found"][0]["coefficients"] == [1, 0]
    assert len(found["found"][0]["values"]) == len(found["values"]) > 5
    assert "w22[" in hornito(*arguments, "--raw").out
    alone = hornito(*arguments, "--no-checks")
    assert "[fair: at 5 values and no other]" in alone.out
    assert "checked" not in alone.out


def test_study_of_two_parameters_has_products(hornito: Hornito, tmp_path: Path) -> None:
    arguments = ["trace", "study", "size=4,5,6", "outputs=8,9,20", "inputs=4", "--keep", tmp_path / "kept"]
    outcome = hornito(*arguments)
    assert outcome.lines[0] == "size = 4..6, outputs = 8, 9, 20: TP, NN, TP"
    assert "= size^2 * outputs   [strong: at 9 values and " in outcome.out
    kept = {path.suffix for path in (tmp_path / "kept").iterdir()}
    assert kept == {".tflite", ".trace"}
    pair = [tmp_path / "kept" / f"size=4,outputs={outputs}" for outputs in (8, 20)]
    infer = hornito("trace", "diff", *(f"{one}.trace" for one in pair), "--infer", *(f"{one}.tflite" for one in pair))
    assert infer.code == 1
    assert "out_image_z_size                 = p   [a guess" in infer.out


def test_study_tells_what_no_model_is_taken_for(hornito: Hornito) -> None:
    outcome = hornito("trace", "study", "kernel=2,4")
    assert outcome.code == 3
    assert outcome.err.startswith("hornito: no model was taken; kernel = 2: Op#0 CONV_2D: needs a kernel of 1x1")


def test_study_of_nonsense_is_refused(hornito: Hornito) -> None:
    for arguments in (
        ["colour=1..3"],
        ["kernel"],
        ["kernel=x"],
        ["kernel=3"],
        ["size=4,5", "size=3"],
        ["size=1e9,2"],
        ["input_scale=1e400,2"],
        ["same=0,1", "relu=0,1", "size=4,5"],
    ):
        outcome = hornito("trace", "study", *arguments)
        assert (outcome.code, len(outcome.err.splitlines())) == (2, 1)


def test_diff_infers_what_follows_a_number(hornito: Hornito, tmp_path: Path) -> None:
    files: dict[str, list[Path]] = {"npz": [], "tflite": []}
    for zero in (3, 9, 20):
        model = tmp_path / f"{zero}.tflite"
        model.write_bytes(Layer(output_zero=zero).graph().source)
        files["tflite"].append(model)
        files["npz"].append(tmp_path / f"{zero}.npz")
        assert hornito("compile", model, "-o", files["npz"][-1]).code == 0
    outcome = hornito("trace", "diff", *files["npz"], "--infer", *files["tflite"])
    assert outcome.code == 1
    assert outcome.lines[0] == "p = output zero point"
    found = json.loads(hornito("trace", "diff", *files["npz"], "--infer", *files["tflite"], "--json").out)
    assert {row["name"] for entry in found for row in entry["found"]} == {"out_zero_point", "in_zp", "out_zp"}
    assert {row["formula"] for entry in found for row in entry["found"]} == {"p"}
    outcome = hornito("trace", "diff", *files["npz"][:2], "--infer", *files["tflite"][:2])
    assert "a guess" in outcome.out
    for bad in ([*files["npz"][:2], "--infer", files["tflite"][0]], files["npz"]):
        outcome = hornito("trace", "diff", *bad)
        assert (outcome.code, len(outcome.err.splitlines())) == (2, 1)


@pytest.mark.parametrize(
    ("chip", "name"), [((), "vipnano-qi-88-0"), (("--chip", "imx8mp"), "vipnano-si-plus-9f-6000000")]
)
def test_a_recording_without_a_node_says_which_chip_is_emulated_by_its_full_name(
    chip: tuple[str, ...], name: str, hornito: Hornito, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_record, "_find_node", lambda device: trace_record._Node("virtual", ""))
    monkeypatch.setattr(trace_record, "run_on_virtual_node", lambda *arguments, **more: 0)
    found = hornito("trace", "record", "--device", "auto", *chip, "-o", tmp_path / "r.trace", "--", "true")
    assert (found.code, found.err) == (0, f"device: virtual ({name})\n")
