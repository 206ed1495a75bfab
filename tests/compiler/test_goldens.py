# SPDX-License-Identifier: MIT
"""Are our submissions those of the reference driver, bit for bit, and do they differ only where that is wrong?"""

import csv
import re
from pathlib import Path

import pytest

from hornito.compiler import Options, compile_graph
from hornito.model import read_model
from hornito.stream import Submission, read_archive
from tests.compiler import goldens
from tests.compiler.comparison import archive_differences

ROOT = Path(__file__).parent.parent.parent
# Single ADDs of two inputs of the model: the reference driver takes both as planes, which they are not.
UNTURNED_ADDS = [f"mobiledet-{number}" for number in ("008", "014", "022", "032", "038", "060", "064", "068")]
UNTURNED_ADDS += [f"yolox-{number}" for number in ("020", "026", "038")]
# A stride of 2 on a 2x2 image with SAME padding: the reference driver's window begins one pixel early.
WRONG_OFFSET = "mobiledet-082"
WITH_WRONG_PARTS = ["ssdlite_mobiledet_coco_qat_postprocess", "yolox"]  # whole networks that contain such cases


@pytest.mark.parametrize("folder", goldens.FOLDERS)
@pytest.mark.parametrize("network", ["mb", "mobilenet", "mobiledet", "yolox", "ssdlite"])
def test_every_golden_is_bit_identical_when_asked_for_the_reference_driver_s_bytes(
    shared: Path, folder: str, network: str
) -> None:
    found = {
        name: goldens.differences(shared, name, folder, True) for name in goldens.names(shared, f"{network}*", folder)
    }
    assert len(found) == {"mb": 28, "mobilenet": 1, "mobiledet": 60, "yolox": 56, "ssdlite": 1}[network]
    assert {name: lines for name, lines in found.items() if lines} == {}


@pytest.mark.parametrize("folder", goldens.FOLDERS)
def test_plans_that_are_meant_to_run_differ_only_where_the_reference_driver_is_wrong(shared: Path, folder: str) -> None:
    names = goldens.names(shared, "*", folder)
    assert len(names) == 146
    differing = {name for name in names if goldens.differences(shared, name, folder)}
    assert differing == {*UNTURNED_ADDS, WRONG_OFFSET, *WITH_WRONG_PARTS}


def test_small_depthwise_of_stride_2_differs_in_the_window_offset_alone(shared: Path) -> None:
    ours, theirs = 0, -1  # of a 2x2 image with SAME padding: nothing before, one row and column behind
    low, high = theirs & 7, theirs >> 3 & 1
    expected = [
        line
        for place, name, value in (
            ("w2[2:0]", "in_image_x_offset", low),
            ("w2[5:3]", "in_image_y_offset", low),
            ("w4[16]", "in_image_x_offset_bit_3", high),
            ("w4[17]", "in_image_y_offset_bit_3", high),
        )
        for line in (f"- {place} {name} = {ours}", f"+ {place} {name} = {value}")
    ]
    found = goldens.differences(shared, WRONG_OFFSET)
    assert [line.split(": ", 1)[-1] for line in found] == expected


def _verdicts(shared: Path) -> tuple[Path, dict[str, str]]:
    folder = shared / "goldens" / "silicon-verdicts" / goldens.FOLDERS[0]
    with (folder / "verdicts.csv").open() as table:
        return folder, {row["case"]: row["silicon"] for row in csv.DictReader(table)}


def _submissions(folder: Path, case: str, as_reference: bool = False) -> tuple[Submission, ...]:
    options = Options(goldens.CHIP, as_reference=as_reference)
    return compile_graph(read_model(folder / f"{case}.tflite"), options).archive.submissions


@pytest.mark.parametrize("verdict,count", [("pass", 106), ("fail", 35)])
def test_submissions_differ_only_where_silicon_fails(shared: Path, verdict: str, count: int) -> None:
    folder, verdicts = _verdicts(shared)
    cases = [case for case, found in verdicts.items() if found == verdict]
    assert len(cases) == count
    same = set()
    for case in cases:
        theirs = read_archive(folder / f"{case}.npz").submissions
        found = archive_differences(_submissions(folder, case), theirs, goldens.CHIP)
        if not found:
            same.add(case)
        elif case.startswith("dwconv"):
            assert all("_offset" in line for line in found), case
        elif case.startswith("conv"):
            # 5x5 kernels on one small plane, left unsplit by the reference driver.
            assert all(" weight of output " in line for line in found), case
        assert archive_differences(_submissions(folder, case, True), theirs, goldens.CHIP) == []
    assert same == (set(cases) if verdict == "pass" else set())


def test_page_of_fidelity_lists_every_file_that_differs() -> None:
    page = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8")
    listed = page.partition("### Files that differ")[2].partition("\n## ")[0]
    names = {*UNTURNED_ADDS, WRONG_OFFSET, *WITH_WRONG_PARTS}
    assert {
        word for word in re.findall(r"`([a-z0-9_-]+)`", listed) if word.startswith(("mob", "yolox", "ssd"))
    } == names


def test_page_of_fidelity_lists_every_case_that_fails_on_silicon(shared: Path) -> None:
    page = (ROOT / "docs" / "fidelity.md").read_text(encoding="utf-8")
    _, verdicts = _verdicts(shared)
    listed = set(re.findall(r"`((?:add|conv|dwconv)-i[a-z0-9-]+)`", page))
    assert listed == {case for case, found in verdicts.items() if found == "fail"}


@pytest.mark.parametrize(
    "name", ["mb-027", "mb-029", "mb-030", "mobiledet-118", "mobiledet-122", "yolox-000", "yolox-002"]
)
def test_models_without_a_golden_use_no_npu(shared: Path, name: str) -> None:
    assert not goldens.compiled(shared, name).plan.uses_npu
