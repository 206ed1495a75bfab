# SPDX-License-Identifier: MIT
"""The self-test on sound devices, and on devices that compute wrong, hang, or go away."""

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hornito.compiler import Level, Options, Technique
from hornito.compiler.evidence import bands_key, fast_key
from hornito.compiler.operators import keys
from hornito.doctor import Examination, Verdict, examine
from hornito.doctor.examination import trials_of
from hornito.doctor.selftests import FAST, selftests
from hornito.doctor.trial import SHOWN, trials
from hornito.driver import EtnavivDevice
from hornito.driver.etnaviv import EtnavivLoaded
from hornito.errors import BadInput, DeviceError, Unsupported
from hornito.hardware.chips import find_chip
from hornito.model.recipes import Recipe
from hornito.stream import Submission, jobs_of, read_archive
from hornito.uapi.drm import RENDER_NODE
from hornito.virtual.injection import FaultPlan
from hornito.virtual.kernel import VirtualKernel
from hornito.virtual.npu.executor import Executor
from tests.doctor.patients import Ill, as_silicon, board, opener, virtual
from tests.driver.machines import machine

A311D = find_chip("a311d")
FAULTS = [("hang", "was killed"), ("mmu", "unit MMU at 0x"), ("alloc", "[ENOMEM]"), ("irq", "was killed")]
FEW = [recipe for recipe in islice(selftests(), 12)]


@pytest.fixture(scope="module")
def judge() -> Iterator[EtnavivDevice]:
    with virtual("a311d") as device:
        yield device


@pytest.fixture
def sound(judge: EtnavivDevice) -> Iterator[Ill]:
    kernel = Ill(A311D)
    yield kernel
    kernel.shutdown()


def test_recipes_have_names_of_their_own() -> None:
    names = [(recipe.family, recipe.label, recipe.kind) for recipe in selftests()]
    assert len(set(names)) == len(names)


def test_sound_device_passes_all(judge: EtnavivDevice, tmp_path: Path) -> None:
    check_sound("a311d", judge, list(selftests()), tmp_path)


@pytest.mark.parametrize("name", ["imx8mp", "vipnano-qi-7d-0", "vip9000nano-di-e8-8000000"])
def test_sound_device_of_another_chip_passes_a_sample(name: str, tmp_path: Path) -> None:
    with virtual(name) as judge:
        check_sound(name, judge, list(selftests())[::7], tmp_path)


def check_sound(name: str, judge: EtnavivDevice, recipes: list[Recipe], folder: Path) -> None:
    found = examine(lambda: virtual(name), judge, machine=machine(folder, {})[0], recipes=recipes)
    report = found.report
    assert report.passed and not report.gone and found.files == {}
    assert len(report.jobs) > 2 * len(recipes)
    assert not report.patient.real
    assert {job.unit for job in report.jobs} == {"nn", "tp"}
    assert all(len(job.milliseconds) == 3 and job.compared for job in report.jobs)
    chip = find_chip(name)
    assert all(key.startswith(f"{chip.name}/") for key in report.proven())


def test_every_way_of_the_compiler_that_makes_jobs_is_tried(judge: EtnavivDevice) -> None:
    tried = {key for recipe in selftests() for trial in trials_of(recipe, A311D, judge) for key in trial.keys}
    # Version 8 alone has codes to deal out; the rest is what one job by itself doesn't show.
    untried = {fast_key(A311D.name, one) for one in {*Technique} - SHOWN | {Technique.SYMBOLS}}
    assert set(keys(A311D)) - tried - {bands_key(A311D.name)} == untried


def test_fast_trials_of_version_8_show_what_it_has() -> None:
    chip = find_chip("imx8mp")
    recipes = [recipe for recipe in selftests() if recipe.family == FAST]
    with virtual("imx8mp") as own:
        tried = {key for recipe in recipes for trial in trials_of(recipe, chip, own) for key in trial.keys}
    shown = SHOWN - {Technique.GROUPS}  # it has depthwise jobs of its own
    assert tried == {fast_key(chip.name, technique) for technique in shown}


def test_each_trial_is_one_job_whose_memory_is_known(judge: EtnavivDevice) -> None:
    for recipe in FEW:
        for trial in trials(recipe, Options(A311D, Level.WIDE), judge):
            [_] = jobs_of(trial.submission)
            assert trial.work.traffic > 0
            for port, right in zip(trial.submission.outputs, trial.expected, strict=True):
                given = trial.submission.buffers[port.buffer].data
                assert given is not None and len(given) == len(right) == port.bytes
            assert any(
                right != np.asarray(trial.submission.buffers[port.buffer].data).tobytes()
                for port, right in zip(trial.submission.outputs, trial.expected, strict=True)
            )


def run(kernel: Ill, judge: EtnavivDevice, folder: Path, recipes: list[Recipe] = FEW) -> Examination:
    return examine(opener(kernel), judge, machine=machine(folder, {})[0], recipes=recipes)


class Odd(EtnavivDevice):
    """Leaves one wrong byte behind every third job."""

    jobs = 0

    def load(self, submission: Submission, *, keep_addresses: bool = False) -> EtnavivLoaded:
        loaded = super().load(submission, keep_addresses=keep_addresses)
        if submission.outputs:
            self.jobs += 1
            if self.jobs % 3 == 0:
                run = loaded.run

                def wrong(inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
                    found = run(inputs)
                    found[-1][5] ^= 0x10
                    return found

                loaded.run = wrong  # type: ignore[method-assign]
        return loaded


def test_wrong_bytes_are_counted_and_kept(sound: Ill, judge: EtnavivDevice, tmp_path: Path) -> None:
    made = machine(tmp_path, {})[0]
    found = examine(lambda: Odd(sound, RENDER_NODE), judge, machine=made, recipes=FEW)
    bad = [job for job in found.report.jobs if job.verdict is not Verdict.PASS]
    assert [job.verdict for job in bad] == [Verdict.DIFFERS] * (len(found.report.jobs) // 3)
    assert all((job.differing, job.largest, job.milliseconds) == (1, 16, ()) for job in bad)
    assert bad[0].first is not None and bad[0].first[1] == 5
    assert [job.file for job in bad] == list(found.files)
    with zipfile.ZipFile(io.BytesIO(found.files[bad[0].file])) as file:
        pairs = [(name, name.replace("expected", "observed")) for name in file.namelist() if "expected" in name]
        differences = [sum(a != b for a, b in zip(file.read(x), file.read(y), strict=True)) for x, y in pairs]
    assert differences == [*[0] * (len(pairs) - 1), 1]
    assert sound.opened == 1


def test_killed_job_is_a_result_and_the_rest_go_on(judge: EtnavivDevice, tmp_path: Path) -> None:
    kernel = Ill(A311D, killed=(1, 9))
    found = run(kernel, judge, tmp_path)
    report = found.report
    assert report.count(Verdict.FAILED) == 2 and report.count(Verdict.PASS) == len(report.jobs) - 2
    assert kernel.opened == 3
    first = next(job for job in report.jobs if job.verdict is Verdict.FAILED)
    assert "was killed (Operation canceled)" in first.error and "\n" not in first.error
    assert first.file == "failures/000.zip"
    assert not report.passed and not report.gone
    assert not set(first.keys) & report.proven()
    with zipfile.ZipFile(io.BytesIO(found.files[first.file])) as file:
        names = set(file.namelist())
        (tmp_path / "s.npz").write_bytes(file.read("submission.npz"))
    assert not any(name.startswith("observed") for name in names)
    [submission] = read_archive(tmp_path / "s.npz").submissions
    assert len(list(jobs_of(submission))) == 1
    kernel.shutdown()


def test_device_that_goes_away_leaves_the_rest_not_run(judge: EtnavivDevice, tmp_path: Path) -> None:
    kernel = Ill(A311D, lost=10)
    report = run(kernel, judge, tmp_path).report
    assert report.gone
    assert report.count(Verdict.FAILED) == 1 and report.count(Verdict.NOT_RUN) > 10
    verdicts = [job.verdict for job in report.jobs]
    assert verdicts == sorted(verdicts, key=list({v: 0 for v in verdicts}).index)
    kernel.shutdown()


def test_device_that_fails_at_once_is_an_error(judge: EtnavivDevice, tmp_path: Path) -> None:
    kernel = Ill(A311D, lost=-1)
    with pytest.raises(DeviceError, match="ENODEV"):
        run(kernel, judge, tmp_path)
    kernel.shutdown()


def test_time_that_is_up_leaves_the_rest_not_run(sound: Ill, judge: EtnavivDevice, tmp_path: Path) -> None:
    report = examine(opener(sound), judge, machine=machine(tmp_path, {})[0], recipes=FEW, limit=-1).report
    assert report.count(Verdict.NOT_RUN) == len(report.jobs) > 0
    assert not report.passed and report.proven() == frozenset()


def test_device_that_is_no_node_is_refused(judge: EtnavivDevice) -> None:
    with pytest.raises(Unsupported, match="only a render node can be tested"):
        examine(lambda: None, judge)


def test_progress_is_told_by_networks(sound: Ill, judge: EtnavivDevice, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    examine(
        opener(sound),
        judge,
        machine=machine(tmp_path, {})[0],
        recipes=FEW[:3],
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


# What it says of the machine, and what it proves.


def test_report_of_a_board_says_which_and_proves_what_passed(
    sound: Ill, judge: EtnavivDevice, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_silicon(monkeypatch)
    report = examine(opener(sound), judge, machine=board(tmp_path), recipes=FEW).report
    patient = report.patient
    assert (patient.real, patient.board, patient.name) == (True, "Khadas VIM3", "renderD128")
    assert (patient.driver_version, patient.parameters["GPU_REVISION"]) == ("1.4", 0x7120)
    evidence = report.evidence("R.zip")
    assert evidence.source == "R.zip"
    assert "vipnano-qi-88-0/CONV_2D/proven/uint8" in evidence.proven


def test_emulated_device_proves_nothing_wherever_it_says_it_is(
    sound: Ill, judge: EtnavivDevice, tmp_path: Path
) -> None:
    report = examine(opener(sound), judge, machine=board(tmp_path), recipes=FEW).report
    assert not report.patient.real and report.patient.board == ""
    with pytest.raises(
        BadInput, match=r"^R.zip: is the report of an emulated device, which proves nothing of silicon$"
    ):
        report.evidence("R.zip")


def test_one_failure_takes_its_keys_away(sound: Ill, judge: EtnavivDevice, tmp_path: Path) -> None:
    report = run(sound, judge, tmp_path).report
    key = report.jobs[0].keys[0]
    assert key in report.proven()
    spoiled = replace(report, jobs=(replace(report.jobs[0], verdict=Verdict.DIFFERS), *report.jobs[1:]))
    assert key not in spoiled.proven()


def test_device_that_is_lost_for_good_is_gone(judge: EtnavivDevice, tmp_path: Path) -> None:
    kernel = VirtualKernel(A311D, Executor(A311D), faults=FaultPlan.parse(["lost@14"]))
    report = examine(opener(kernel), judge, machine=machine(tmp_path, {})[0], recipes=FEW).report
    assert report.gone and report.count(Verdict.FAILED) == 1 and report.count(Verdict.NOT_RUN) > 10
    assert "[ENODEV]; it is gone" in next(job.error for job in report.jobs if job.error)
    kernel.shutdown()


@pytest.mark.parametrize(("fault", "words"), FAULTS)
def test_device_that_fails_as_silicon_does_goes_on(
    fault: str, words: str, judge: EtnavivDevice, tmp_path: Path
) -> None:
    kernel = VirtualKernel(A311D, Executor(A311D), faults=FaultPlan.parse([f"{fault}@14"]))
    report = examine(opener(kernel), judge, machine=machine(tmp_path, {})[0], recipes=FEW).report
    bad = [job for job in report.jobs if job.verdict is not Verdict.PASS]
    assert len(bad) == 1 and not report.gone
    for job in bad:
        assert (job.verdict, words in job.error) == (Verdict.FAILED, True), job.error
        assert fault == "alloc" or any("recover hung GPU!" in line for line in job.messages)
    kernel.shutdown()
