# SPDX-License-Identifier: MIT
"""Does the command line show estimates as documented, and refuse in one line what it can't?"""

import csv
import dataclasses
import json
import re
from pathlib import Path

import pytest

from hornito.cost import Work
from hornito.doctor import Report, Verdict, write_report
from tests.cli.conftest import Hornito
from tests.doctor.test_report import GOOD, PATIENT
from tests.trace.samples import recorded

TIME = re.compile(r"^time: [\d.]+ ms \([\d.]+ \.\. [\d.]+\); ", re.M)


def report(path: Path, *, real: bool = True, count: int = 30, lanes: int = 10**8) -> Path:
    """Of a board that is slower than the model thinks."""
    work = Work(macs=10**8, lane_macs=lanes, read=10**6, written=10**6)
    jobs = tuple(dataclasses.replace(GOOD, work=work, milliseconds=(1.2 + number / 100,)) for number in range(count))
    assert all(job.verdict is Verdict.PASS for job in jobs)
    write_report(path, Report(dataclasses.replace(PATIENT, real=real), jobs, 1.0), {})
    return path


def test_an_estimate_has_a_row_for_each_step_and_says_what_it_rests_on(folder: Path, hornito: Hornito) -> None:
    found = hornito("plan", folder / "alternating.tflite", "--estimate")
    assert (found.code, found.err) == (0, "")
    table, totals = found.out.split("\n\n")
    assert table.splitlines()[0] == "alternating, vipnano-qi-88-0, proven, estimated"
    units = [line.split()[0] for line in table.splitlines()[2:]]
    assert (units.count("NN"), units.count("TP"), units.count("CPU"), units.count("submit")) == (3, 7, 2, 3)
    assert all(re.search(r"[\d.]+ +[\d.]+ \.\. [\d.]+ ", line) for line in table.splitlines()[2:])
    assert TIME.search(totals)
    assert "energy: no source says" in totals
    assert "docs/performance.md" in totals


def test_json_has_the_items_and_the_comparison(folder: Path, hornito: Hornito) -> None:
    found = json.loads(hornito("plan", folder / "layer.tflite", "--against", "imx8mp", "--json").out)
    assert found["chip"] == "vipnano-qi-88-0" and found["against"]["chip"] == "vipnano-si-plus-9f-6000000"
    assert sum(item["ms"] for item in found["items"]) == pytest.approx(found["total"]["ms"])


@pytest.mark.parametrize("other", ["wide", "imx8mp", "vip9000nano-di-be-8000000"])
def test_two_plans_are_compared(other: str, folder: Path, hornito: Hornito) -> None:
    found = hornito("plan", folder / "alternating.tflite", "--against", other)
    assert found.code == 0
    assert "\nB: alternating, " in found.out and "MACs dispatched" in found.out and "\nB - A: " in found.out


def test_a_plan_and_recordings_are_compared(folder: Path, hornito: Hornito, tmp_path: Path) -> None:
    assert hornito("compile", folder / "layer.tflite", "-o", tmp_path / "layer.npz").code == 0
    found = json.loads(hornito("plan", folder / "layer.tflite", "--against", tmp_path / "layer.npz", "--json").out)
    assert found["against"]["macs_dispatched"] == found["macs_dispatched"]
    assert found["against"]["bytes_read"] == found["bytes_read"]
    trace = recorded(tmp_path / "layer.trace", chip="imx8mp", stride=2)
    alone = hornito("plan", trace, "--estimate")
    assert alone.code == 0 and TIME.search(alone.out)
    assert hornito("compile", folder / "alternating.tflite", "-o", tmp_path / "other.npz").code == 0
    both = hornito("plan", trace, "--against", tmp_path / "other.npz")
    assert both.code == 0 and "NN job 2" in both.out
    assert "A: layer.trace, vipnano-si-plus-9f-6000000, recorded\nB: other.npz, vipnano-qi-88-0, recorded" in both.out


@pytest.mark.parametrize("level", ["proven", "fast"])
def test_a_plan_and_its_own_recording_take_the_same_by_what_a_recording_has(
    level: str, folder: Path, hornito: Hornito, tmp_path: Path
) -> None:
    model, recording = folder / "alternating.tflite", tmp_path / "O.npz"
    assert hornito("compile", model, "--plan", level, "-o", recording).code == 0
    arguments = ("plan", model, "--plan", level, "--against", recording)
    text = hornito(*arguments).out
    assert "A is compared without its CPU and copy steps" in text
    assert re.search(r"^ms +([\d.]+) +\1 +1.00$", text, re.M)
    assert text.splitlines()[-1] == "B - A: +0.000 ms (+0.000 .. +0.000); neither is faster"
    found = json.loads(hornito(*arguments, "--json").out)
    both = found["comparison"]
    assert both["left_out"] == ["CPU", "copy"]
    assert both["total"] == pytest.approx(both["against_total"], rel=1e-3)
    assert both["against_total"] == found["against"]["total"]
    assert both["against_minus_this"]["ms"] == pytest.approx(0, abs=1e-3)
    assert found["total"]["ms"] > both["total"]["ms"]  # of the whole plan


def test_plans_and_recordings_among_themselves_are_compared_whole(
    folder: Path, hornito: Hornito, tmp_path: Path
) -> None:
    layer = folder / "layer.tflite"
    assert hornito("compile", layer, "-o", tmp_path / "O.npz").code == 0
    for first, second in ((layer, "wide"), (tmp_path / "O.npz", tmp_path / "O.npz")):
        assert "compared without" not in hornito("plan", first, "--against", second).out
        found = json.loads(hornito("plan", first, "--against", second, "--json").out)
        assert found["comparison"]["left_out"] == []
        assert found["comparison"]["total"] == found["total"]


def test_what_explain_and_a_comparison_heed_is_not_remarked_on(folder: Path, hornito: Hornito) -> None:
    layer = folder / "layer.tflite"
    for wanted in (("--explain", "1"), ("--against", "fast")):
        found = hornito("plan", layer, *wanted, "--without", "groups")
        assert (found.code, found.err) == (0, "")
    assert "--without: ignored" in hornito("plan", layer, "--estimate", "--without", "groups").err


def test_csv_has_vela_s_columns_and_ours(folder: Path, hornito: Hornito, tmp_path: Path) -> None:
    found = hornito("plan", folder / "layer.tflite", "--csv", tmp_path / "o.csv", "--against", "imx8mp")
    assert found.code == 0 and "o.csv: " in found.err
    with (tmp_path / "o.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["plan"] for row in rows}) == 2
    wanted = {"operator", "target", "staging_bytes", "staging_peak_percent", "cycles", "npu_cycles", "sram_cycles"}
    wanted |= {"dram_cycles", "macs", "utilisation_percent", "tile", "superblocks", "zero_run_bits", "real_macs"}
    assert wanted | {"kernel_caching", "ms", "low_ms", "high_ms", "bound"} <= set(rows[0])


@pytest.mark.parametrize(("name", "start"), [("o.png", b"\x89PNG"), ("o.svg", b"<?xml")])
def test_plots_are_drawn(name: str, start: bytes, folder: Path, hornito: Hornito, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    for model in ("layer.tflite", "alternating.tflite"):
        found = hornito("plan", folder / model, "--plot", tmp_path / name, "--against", "imx8mp")
        assert found.code == 0
        assert (tmp_path / name).read_bytes().startswith(start)


def test_a_plot_without_matplotlib_is_refused(
    folder: Path, hornito: Hornito, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.figure", None)
    monkeypatch.setitem(__import__("sys").modules, "matplotlib.backends.backend_agg", None)
    found = hornito("plan", folder / "layer.tflite", "--plot", tmp_path / "o.svg")
    assert found.code == 3
    assert found.err.count("\n") == 1 and "pip install 'hornito[plots]'" in found.err
    assert not found.out


def test_a_board_s_report_calibrates(folder: Path, hornito: Hornito, tmp_path: Path) -> None:
    path = report(tmp_path / "board.zip")
    found = hornito("plan", folder / "layer.tflite", "--calibrate", path)
    assert found.code == 0
    assert f"calibrated by 30 jobs of {path}, which settle " in found.out
    own = json.loads(hornito("plan", folder / "layer.tflite", "--calibrate", path, "--json").out)
    known = json.loads(hornito("plan", folder / "layer.tflite", "--estimate", "--json").out)
    assert own["total"]["ms"] > known["total"]["ms"]


def test_benchmark_has_the_estimate_beside_the_measurement(folder: Path, hornito: Hornito, tmp_path: Path) -> None:
    arguments = ("benchmark", folder / "layer.tflite", "--device", "virtual", "-c", "1", "--estimate")
    found = hornito(*arguments)
    assert found.code == 0
    assert re.search(r"^estimate for vipnano-qi-88-0: [\d.]+ ms \(", found.out, re.M)
    assert "its latency says nothing about a board" in found.err
    content = json.loads(hornito(*arguments, "--json", "--csv", tmp_path / "b.csv").out)
    assert content["estimate"]["total"]["ms"] > 0 and (tmp_path / "b.csv").exists()


def test_what_can_t_be_estimated_is_refused_in_one_line(folder: Path, hornito: Hornito, tmp_path: Path) -> None:
    layer = folder / "layer.tflite"
    (tmp_path / "odd.npz").write_bytes(b"PK no zip")
    for arguments, code, words in (
        ((layer, "--plot", "o.pdf"), 2, "can draw .svg and .png only"),
        (
            (layer, "--against", "foo"),
            2,
            "--against 'foo': is not a plan level (proven, wide, fast), a chip (vipnano-qi, ",
        ),
        ((layer, "--against", ""), 2, "--against '': is not a plan level"),
        ((layer, "--explain", "0", "--against", ""), 2, "--against: has no meaning with --explain"),
        ((layer, "--against", "gone.npz"), 2, "gone.npz"),
        ((layer, "--against", tmp_path / "odd.npz"), 2, "odd.npz"),
        ((tmp_path / "odd.npz", "--estimate"), 2, "odd.npz"),
        ((tmp_path / "odd.npz",), 2, "is a recording, not a model"),
        ((layer, "--csv", tmp_path / "no" / "o.csv"), 2, "o.csv: can't be written"),
        ((layer, "--calibrate", tmp_path / "gone.zip"), 2, "gone.zip: no such file"),
        ((layer, "--calibrate", tmp_path / "odd.npz"), 2, "make one with 'hornito doctor -o report.zip'"),
        ((layer, "--calibrate", report(tmp_path / "v.zip", real=False)), 2, "of an emulated device, whose times"),
        ((layer, "--calibrate", report(tmp_path / "old.zip", lanes=0)), 2, "was made by an older Hornito"),
        ((layer, "--calibrate", report(tmp_path / "few.zip", count=3)), 2, "has 3 timed jobs"),
        ((layer, "--calibrate", report(tmp_path / "a.zip"), "--chip", "imx8mp"), 2, "the estimate is of vipnano-si"),
        (
            (layer, "--calibrate", report(tmp_path / "b.zip"), "--against", "imx8mp"),
            2,
            "--calibrate holds for one chip",
        ),
    ):
        found = hornito("plan", *arguments)
        assert (found.code, found.err.count("\n")) == (code, 1), found.err
        assert words in found.err
        assert not found.out  # all of it is checked before anything is shown
