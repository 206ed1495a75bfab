# SPDX-License-Identifier: MIT
"""Reports in files: what is written is read again, and what is broken is refused in one line."""

import copy
import dataclasses
import io
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hornito.cost import Work
from hornito.doctor import JobResult, Patient, Report, Verdict, read_report, write_report
from hornito.doctor.report import from_json
from hornito.errors import BadInput

CHIP = "vipnano-qi-88-0"
PATIENT = Patient(
    "renderD128",
    True,
    CHIP,
    1,
    "etnaviv",
    "1.4",
    {"GPU_MODEL": 0x8000, "SOFTPIN_START_ADDR": (1 << 64) - 1},
    ({"pipe": 0, "chip": None, "model": 0x600}, {"pipe": 1, "chip": CHIP, "model": 0x8000}),
    "6.12.0",
    "aarch64",
    "Khadas VIM3",
    ("khadas,vim3", "amlogic,a311d"),
)
GOOD = JobResult(
    "Conv2D/1x1_uint8#0", "Conv2D", "nn", "CONV_2D", (f"{CHIP}/CONV_2D/proven/uint8",), Verdict.PASS, Work(64, 8, 16, 4)
)
JOBS = (
    GOOD,
    JobResult(
        *("Pad/1_int8#1", "Pad", "tp", "PAD", (f"{CHIP}/PAD/wide/int8",), Verdict.DIFFERS, Work(read=4, written=4)),
        (1.25, 2.5),
        100,
        3,
        255,
        (1, 17),
        "",
        ("etnaviv-gpu ff100000.npu: a line",),
        "failures/000.zip",
    ),
)
REPORT = Report(PATIENT, JOBS, 12.5, False, True, ("a", "b"), "0.1.0")


def write(path: Path, report: Any, names: tuple[str, ...] = ("report.json",)) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        for name in names:
            file.writestr(name, report if isinstance(report, str | bytes) else json.dumps(report))
    return path


def test_report_that_is_written_is_read_again(tmp_path: Path) -> None:
    write_report(tmp_path / "R.zip", REPORT, {"failures/000.zip": b"bytes"})
    assert read_report(tmp_path / "R.zip") == REPORT
    with zipfile.ZipFile(tmp_path / "R.zip") as file:
        assert file.read("failures/000.zip") == b"bytes"
        assert file.read("messages.txt") == b"a\nb\n"
        assert json.loads(file.read("report.json"))["summary"]["differs"] == 1
    assert os.listdir(tmp_path) == ["R.zip"]


def test_same_report_is_the_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(tmp_path / name, REPORT, {})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_report_proves_keys_whose_jobs_all_passed() -> None:
    assert REPORT.evidence("R").proven == {f"{CHIP}/CONV_2D/proven/uint8"}


def test_a_report_passes_if_there_are_jobs_and_all_passed() -> None:
    passed = [dataclasses.replace(REPORT, jobs=jobs).passed for jobs in ((), (GOOD,), JOBS)]
    assert passed == [False, True, False]


def refused(path: Path) -> str:
    with pytest.raises(BadInput) as caught:
        read_report(path)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 600 and text.startswith(str(path))
    return text


def test_files_that_are_no_reports_are_refused(tmp_path: Path) -> None:
    place = tmp_path / "R.zip"
    assert "no such file" in refused(place)
    assert "can't be read" in refused(tmp_path)
    place.write_bytes(b"not a zip")
    assert "make one with 'hornito doctor -o report.zip'" in refused(place)
    assert "report.json" in refused(write(place, {}, ("other.json",)))
    assert "no report" in refused(write(place, b"\xff\xfe{"))
    assert "no report" in refused(write(place, "{"))
    assert "nested too deep" in refused(write(place, "[" * 100_000))
    assert "expected an object" in refused(write(place, []))
    assert "is no report of 'hornito doctor'" in refused(write(place, {}))


def test_report_that_says_it_is_huge_is_not_read(tmp_path: Path) -> None:
    place = tmp_path / "R.zip"
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("report.json", bytes(1 << 26) + b" ")
    assert "the limit is 67108864" in refused(place)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("version",), 2, "has version 2; this Hornito reads 1"),
        (("device", "chip"), "gpu", "of the chip 'gpu', which this Hornito does not know"),
        (("device", "real"), 1, "device.real is 1; expected true or false"),
        (("device", "pipe"), True, "device.pipe is True; expected a whole number from 0"),
        (("seconds",), float("inf"), "seconds is inf; expected a number from 0"),
        (("device", "pipe"), -1, "device.pipe is -1; expected a whole number from 0"),
        (("device", "parameters", "GPU_MODEL"), 1 << 65, "parameters.GPU_MODEL is"),
        (("jobs", 0, "verdict"), "fine", "jobs[0].verdict is 'fine'"),
        (("jobs", 0, "keys"), ["vipnano-si-plus-9f-6000000/ADD/proven/uint8"], "which is no key of vipnano-qi-88-0"),
        (("jobs", 1, "first"), [1], "jobs[1].first is [1]; expected two whole numbers"),
        (("jobs", 1, "milliseconds"), [float("nan")], "expected a list of numbers from 0"),
        (("jobs", 1, "work"), None, "jobs[1].work is None; expected an object"),
        (("jobs",), {}, "report.json.jobs is {}; expected a list"),
        (("messages",), ["x" * 5000], "messages"),
    ],
)
def test_entry_at_fault_is_named(tmp_path: Path, place: tuple[Any, ...], value: Any, words: str) -> None:
    report = REPORT.as_json()
    inner: Any = report
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    assert words in refused(write(tmp_path / "R.zip", report))


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def paths(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [here] if here else []
    steps = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in steps:
        found += paths(inner, (*here, step))
    return found


PLACES = paths(REPORT.as_json())


@given(st.sampled_from(PLACES), ANYTHING, st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_change_is_read_or_refused(place: tuple[Any, ...], value: Any, remove: bool) -> None:
    report = copy.deepcopy(REPORT.as_json())
    inner: Any = report
    for step in place[:-1]:
        inner = inner[step]
    if remove:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    try:
        found = from_json(json.loads(json.dumps(report)))
    except BadInput as error:
        assert "\n" not in str(error)
    else:
        assert from_json(found.as_json()) == found


def content() -> bytes:
    place = io.BytesIO()
    with zipfile.ZipFile(place, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("report.json", json.dumps(REPORT.as_json()))
    return place.getvalue()


CONTENT = content()


@given(st.lists(st.tuples(st.integers(0, len(CONTENT) - 1), st.integers(0, 255)), max_size=4), st.integers(0, 60))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_broken_file_is_read_or_refused(tmp_path: Path, changes: list[tuple[int, int]], cut: int) -> None:
    broken = bytearray(CONTENT)
    for place, value in changes:
        broken[place] = value
    path = tmp_path / "R.zip"
    path.write_bytes(broken[: len(broken) - cut])
    try:
        read_report(path)
    except BadInput as error:
        assert "\n" not in str(error)
