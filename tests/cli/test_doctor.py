# SPDX-License-Identifier: MIT
"""``hornito doctor`` and ``--evidence`` as users have them."""

import getpass
import json
import socket
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hornito.doctor import Verdict, read_report, write_report
from hornito.doctor.selftests import selftests
from hornito.driver import EtnavivDevice
from hornito.hardware.chips import find_chip
from hornito.model.draw import Draw
from hornito.runtime import devices
from hornito.uapi.drm import RENDER_NODE
from hornito.virtual.injection import FaultPlan
from hornito.virtual.kernel import VirtualKernel
from hornito.virtual.npu.executor import Executor
from tests.cli.conftest import Hornito
from tests.cli.test_errors import BAD, UNSUPPORTED, assert_one_line


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the virtual device."""
    from hornito.cli.main import main

    path = tmp_path_factory.mktemp("doctor") / "R.zip"
    assert main(["doctor", "--device", "virtual", "--filter", "FullyConnected", "-o", str(path)]) == 0
    return path


def test_report_holds_nothing_private(report: Path) -> None:
    with zipfile.ZipFile(report) as file:
        text = "\n".join(file.read(name).decode("latin-1") for name in file.namelist())
    for private in (socket.gethostname(), str(Path.home()), str(report.parent)):
        assert private not in text
    assert f'"{getpass.getuser()}"' not in text


def test_table_and_last_line_tell_what_passed(hornito: Hornito) -> None:
    found = hornito("doctor", "--device", "virtual", "--filter", "Conv")
    assert found.code == 0, found.err
    lines = found.out.splitlines()
    assert not any(line.startswith("Add ") for line in lines)
    assert lines[0] == "device: virtual (vipnano-qi-88-0), emulated"
    assert any(line.startswith("Conv2D ") and " NN " in line for line in lines)
    passed = lines[-1].removesuffix(" pass").split(" jobs: ")
    assert passed[0] == passed[1]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--device", "cpu"], UNSUPPORTED, "is no NPU"),
        (["--device", "gpu"], BAD, "unknown device 'gpu'"),
        (["--chip", "gpu"], BAD, "unknown chip"),
        (["--device", "virtual", "--filter", "Cnov"], BAD, "there are Conv2D, DepthwiseConv2D, Add"),
        (["--chip", "vippico-v3-99-2000000", "--device", "virtual"], UNSUPPORTED, "unproven"),
        (["--device", "/dev/dri/renderD777"], 4, "ENOENT"),
    ],
)
def test_device_that_cannot_be_tested(arguments: list[str], code: int, words: str, hornito: Hornito) -> None:
    assert_one_line(hornito("doctor", *arguments), code, words)


def test_report_goes_nowhere_if_its_place_cannot_be_written(hornito: Hornito, tmp_path: Path) -> None:
    found = hornito("doctor", "--device", "virtual", "-o", tmp_path / "no" / "R.zip")
    assert found.code == BAD and "R.zip" in found.err


# --evidence


def test_report_of_an_emulated_device_is_no_evidence(report: Path, folder: Path, hornito: Hornito) -> None:
    assert_one_line(
        hornito("plan", folder / "classifier.tflite", "--evidence", report), BAD, "emulated device", "proves nothing"
    )


def test_report_of_a_board_takes_marks_away(report: Path, tmp_path: Path, hornito: Hornito) -> None:
    found = read_report(report)
    real = replace(found, patient=replace(found.patient, real=True))
    write_report(tmp_path / "real.zip", real, {})
    jobs = tuple(
        replace(job, verdict=Verdict.DIFFERS) if "FULLY_CONNECTED" in job.keys[0] else job for job in found.jobs
    )
    write_report(tmp_path / "ill.zip", replace(real, jobs=jobs), {})

    [recipe] = [r for r in selftests() if r.label == "128_to_32" and r.kind is np.int8]
    (tmp_path / "model.tflite").write_bytes(recipe.make(Draw("any", 7)))

    def marked(*more: str | Path) -> int:
        told = hornito("plan", tmp_path / "model.tflite", "--json", *more)
        assert told.code == 0, told.err
        return sum("unproven on silicon" in row["reason"] for row in json.loads(told.out)["rows"])

    assert marked() > 0
    assert marked("--evidence", tmp_path / "real.zip") == 0
    assert marked("--evidence", tmp_path / "ill.zip") > 0


@pytest.mark.parametrize("verb", ["plan", "label-image"])
def test_evidence_that_is_no_report_is_refused(verb: str, folder: Path, tmp_path: Path, hornito: Hornito) -> None:
    (tmp_path / "R.zip").write_bytes(b"x")
    arguments = [folder / "classifier.tflite"] if verb == "plan" else []
    assert_one_line(hornito(verb, *arguments, "--evidence", tmp_path / "R.zip"), BAD, "R.zip: no report")


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("mmu@9", 1, ["failed: ", "unit MMU at 0x", "jobs: ", " 1 failed"]),
        ("lost@9", 4, ["failed: ", "[ENODEV]; it is gone", " not run", "could not be opened again"]),
    ],
)
def test_failures_are_told_and_kept(
    fault: str, code: int, words: list[str], tmp_path: Path, hornito: Hornito, monkeypatch: pytest.MonkeyPatch
) -> None:
    chip = find_chip("a311d")
    kernel = VirtualKernel(chip, Executor(chip), faults=FaultPlan.parse([fault]))
    opened = devices.open_device
    judges = iter([True])

    def open_device(name: str, *arguments: Any, **more: Any) -> Any:
        """The first is the judge; then comes the device under test, whenever it is opened."""
        return opened(name, *arguments, **more) if next(judges, False) else EtnavivDevice(kernel, RENDER_NODE)

    monkeypatch.setattr(devices, "open_device", open_device)
    found = hornito("doctor", "--device", "virtual", "--filter", "Depthwise", "-o", tmp_path / "R.zip")
    assert found.code == code, found.out + found.err
    for text in words:
        assert text in found.out
    report = read_report(tmp_path / "R.zip")
    [bad] = [job for job in report.jobs if job.verdict is Verdict.FAILED]
    with zipfile.ZipFile(tmp_path / "R.zip") as file:
        assert bad.file in file.namelist()
    kernel.shutdown()
