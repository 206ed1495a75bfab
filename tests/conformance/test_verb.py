# SPDX-License-Identifier: MIT
"""Does ``hornito conformance`` do what it says, on the virtual NPU?"""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.cli.conftest import Hornito, hornito, prepared

__all__ = ["hornito", "prepared"]


@pytest.mark.parametrize("chip", ["vipnano-qi", "vipnano-si-plus"])
def test_sample_on_the_virtual_npu(chip: str, hornito: Hornito, tmp_path: Path) -> None:
    files = {name: tmp_path / name for name in ("page.html", "units.xml")}
    outcome = hornito(
        *("conformance", "--chip", chip, "--sample", "30", "--seed", "2", "--jobs", "2", "--filter", "*_size_?_*"),
        *("--html", files["page.html"], "--junit", files["units.xml"], "--json", "--save", tmp_path / "save"),
    )
    value = json.loads(outcome.out)
    assert outcome.code == 0, [case for case in value["cases"] if case["status"] in ("fail", "error")]
    assert len(value["cases"]) == 30
    assert {case["status"] for case in value["cases"]} == {"pass"}
    assert {"Conv2D", "Add", "DepthwiseConv2D", "Conv2D int8"} <= {family["family"] for family in value["families"]}
    assert len(ElementTree.parse(files["units.xml"]).findall(".//testcase")) == 30
    assert files["page.html"].read_text().startswith("<!DOCTYPE html>")
    assert not (tmp_path / "save").exists()


@pytest.mark.parametrize("chip", ["vipnano-qi", "vipnano-si-plus"])
def test_sample_at_plan_level_fast(chip: str, hornito: Hornito) -> None:
    outcome = hornito(
        *("conformance", "--plan", "fast", "--chip", chip, "--sample", "24", "--seed", "3", "--jobs", "2", "--json"),
        *("--filter", "*_size_?_*"),
    )
    value = json.loads(outcome.out)
    assert outcome.code == 0, [case for case in value["cases"] if case["status"] in ("fail", "error")]
    assert {case["status"] for case in value["cases"]} == {"pass"}


def test_table_names_rules_and_the_list_decides(hornito: Hornito, tmp_path: Path) -> None:
    listed = tmp_path / "known.txt"
    listed.write_text("Pad.Op/1_is_signed_0,Fail\nPad.Op/never_heard_of\n")
    outcome = hornito("conformance", "--filter", "Pad.Op*", "--jobs", "1", "--against", listed)
    assert outcome.code == 1
    assert "refused: PAD: needs a border of one pixel on all four sides (Pad 3, Pad int8 3)" in outcome.lines
    assert "passes, but is listed: Pad.Op/1_is_signed_0" in outcome.lines
    assert "1 listed names are no cases, Pad.Op/never_heard_of for one" in outcome.err
    listed.write_text("")
    outcome = hornito("conformance", "--filter", "Pad.Op/1_is_signed_0", "--jobs", "50", "--against", listed)
    assert "1 case in " in outcome.err and "by 1 process" in outcome.err.splitlines()[-1]
    assert (outcome.code, outcome.lines[-1]) == (0, "all as the list expects")


def test_places_in_each_other_s_way_are_refused_before_any_work(hornito: Hornito, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("Pad.Op/1_is_signed_0\n")
    for arguments, words in (
        (["--junit", tmp_path / "a", "--html", tmp_path / ".." / tmp_path.name / "a"], "name the same file"),
        (["--against", kept, "--html", kept], "is read as well"),
        (["--save", kept], "is no folder"),
    ):
        outcome = hornito("conformance", "--filter", "Pad.Op/1*", *arguments)
        assert outcome.code == 2 and words in outcome.err and len(outcome.err.splitlines()) == 1
    assert kept.read_text() == "Pad.Op/1_is_signed_0\n" and list(tmp_path.iterdir()) == [kept]


@pytest.mark.parametrize(
    "arguments,code,words",
    [
        (["--filter", "nothing"], 2, "no case is called 'nothing'"),
        (["--device", "cpu"], 2, "is no NPU"),
        (["--device", "quantum"], 2, "unknown device"),
        (["--chip", "quantum"], 2, "quantum"),
        (["--plan", "quantum"], 2, "unknown plan level"),
        (["--sample", "0"], 2, "no whole number"),
        (["--against", "/nowhere/list"], 2, "can't be read"),
        (["--html", "/nowhere/page.html", "--filter", "Pad.Op/1"], 2, "can't be written"),
    ],
)
def test_errors_are_one_line(hornito: Hornito, arguments: list[str], code: int, words: str) -> None:
    outcome = hornito("conformance", *arguments)
    assert (outcome.code, outcome.out) == (code, "")
    assert words in outcome.err and len(outcome.err.splitlines()) == 1
