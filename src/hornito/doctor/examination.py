# SPDX-License-Identifier: MIT
"""How is a device tested? Job by job: given the same bytes as the virtual NPU, it must leave the same.

A job that is refused, hangs or faults is a result; the device is opened anew and the rest go on.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.compiler import Level, Options
from hornito.compiler.assemble import initialisation
from hornito.doctor.patient import describe
from hornito.doctor.report import JobResult, Report, Verdict
from hornito.doctor.report_file import pack_failure
from hornito.doctor.selftests import FAST, selftests
from hornito.doctor.trial import Trial, fast_trials, timing, trials
from hornito.driver import Device, EtnavivDevice
from hornito.driver.machine import Machine
from hornito.errors import DeviceError, HornitoError, Unsupported
from hornito.hardware.chips import Chip
from hornito.model.recipes import Recipe
from hornito.uapi.kernel_log import KernelLog

LIMIT = 90.0  # seconds after which no further job begins, so that all of it takes less than two minutes
JOB_TIMEOUT = 10.0  # seconds; kernels end a hung job after one
REPEATS = 3  # timed runs of each job that came out right
_MOST_FILES = 50  # failed jobs whose bytes are kept
_MOST_MESSAGES = 1000


@dataclass(frozen=True)
class Examination:
    """A report, and the contents of the files that its jobs name."""

    report: Report
    files: dict[str, bytes]


def examine(
    opener: Callable[[], Device | None],
    judge: Device,
    *,
    machine: Machine | None = None,
    recipes: Iterable[Recipe] | None = None,
    limit: float = LIMIT,
    progress: Callable[[int, int], None] | None = None,
) -> Examination:
    """Test the device that ``opener`` opens, and opens again after a failure. ``judge``: a virtual device of its chip.

    Raises Unsupported for a device that is no render node here or has no virtual counterpart, DeviceError where it
    can't be opened at all.
    """
    bench = _Bench(opener)
    begin = time.monotonic()
    try:
        patient = describe(bench.device, machine or Machine())
        tests = list(selftests() if recipes is None else recipes)
        results: list[JobResult] = []
        messages: list[str] = []
        files: dict[str, bytes] = {}
        for number, recipe in enumerate(tests):
            for trial in trials_of(recipe, bench.chip, judge):
                late = time.monotonic() - begin > limit
                result, kept = _not_run(trial) if late or bench.gone else bench.run(trial)
                messages += result.messages
                if kept is not None and len(files) < _MOST_FILES:
                    result = replace(result, file=f"failures/{len(files):03}.zip")
                    files[result.file] = kept
                results.append(result)
            if progress:
                progress(number + 1, len(tests))
        report = Report(
            patient,
            tuple(results),
            time.monotonic() - begin,
            bench.gone,
            not patient.real or KernelLog().readable,
            tuple(messages[:_MOST_MESSAGES]),
        )
        return Examination(report, files)
    finally:
        bench.close()


def trials_of(recipe: Recipe, chip: Chip, judge: Device) -> Iterator[Trial]:
    """The jobs of a recipe, at plan level wide but for those of the family of fast ones."""
    if recipe.family == FAST:
        return fast_trials(recipe, chip, judge)
    return trials(recipe, Options(chip, Level.WIDE), judge)


class _Bench:
    """The device under test; it is opened again after a failure, and ``gone`` if that does not work."""

    def __init__(self, opener: Callable[[], Device | None]) -> None:
        self._opener = opener
        self.gone = False
        self.device = self._open()
        self.chip = self.device.chip
        self._begin()

    def _open(self) -> EtnavivDevice:
        device = self._opener()
        if not isinstance(device, EtnavivDevice):
            name = "cpu" if device is None else device.name
            if device is not None:
                device.close()
            raise Unsupported(f"device {name}: only a render node can be tested; run 'hornito doctor' where it is")
        return device

    def _begin(self) -> None:
        """What a process submits once, before any job."""
        try:
            start = self.device.load(initialisation())
            start.run([])
            start.close()
        except DeviceError:
            self.close()
            raise

    def _reopen(self) -> None:
        self.close()
        try:
            self.device = self._open()
            self._begin()
        except HornitoError:
            self.gone = True

    def close(self) -> None:
        self.device.close()

    def run(self, trial: Trial) -> tuple[JobResult, bytes | None]:
        """What came of a job, and what is to be kept of it if it did not pass."""
        observed: list[NDArray[Any]] | None = None
        try:
            observed = self._once(trial)
            verdict, difference = _compare(trial.expected, observed)
            times = self._time(trial) if verdict is Verdict.PASS else ()
            result = replace(_result(trial, verdict), milliseconds=times, **difference)
        except DeviceError as error:
            text = str(error).replace(self.device.name, Path(self.device.name).name)  # no path goes into a report
            result = replace(_result(trial, Verdict.FAILED), error=text, messages=self._messages(error))
            self._reopen()
        else:
            result = replace(result, messages=self._messages())
        passed = result.verdict is Verdict.PASS
        return result, None if passed else pack_failure(trial.submission, trial.expected, observed)

    def _messages(self, error: DeviceError | None = None) -> tuple[str, ...]:
        try:
            lines = tuple(self.device.messages())
        except (DeviceError, OSError):
            lines = ()
        return lines or ((error.line,) if error is not None and error.line else ())

    def _once(self, trial: Trial) -> list[NDArray[Any]]:
        loaded = self.device.load(trial.submission)
        try:
            return loaded.run([])
        finally:
            loaded.close()

    def _time(self, trial: Trial) -> tuple[float, ...]:
        """Milliseconds of each of a few runs."""
        loaded = self.device.load(timing(trial.submission))
        times = []
        try:
            for _ in range(REPEATS):
                begin = time.perf_counter()
                loaded.run([])
                times.append(1000 * (time.perf_counter() - begin))
        finally:
            loaded.close()
        return tuple(times)


def _result(trial: Trial, verdict: Verdict) -> JobResult:
    return JobResult(trial.name, trial.family, trial.unit.value, trial.operator, trial.keys, verdict, trial.work)


def _not_run(trial: Trial) -> tuple[JobResult, None]:
    return _result(trial, Verdict.NOT_RUN), None


def _compare(expected: Iterable[bytes], observed: Iterable[NDArray[Any]]) -> tuple[Verdict, dict[str, Any]]:
    """How the memory that a job left compares with what it should have left."""
    compared = differing = largest = 0
    first: tuple[int, int] | None = None
    for number, (right, found) in enumerate(zip(expected, observed, strict=True)):
        wanted = np.frombuffer(right, np.uint8)
        compared += wanted.size
        wrong = np.flatnonzero(wanted != found)
        if wrong.size:
            first = first or (number, int(wrong[0]))
            differing += int(wrong.size)
            largest = max(largest, int(np.abs(wanted.astype(np.int16) - found).max()))
    values = {"compared": compared, "differing": differing, "largest": largest, "first": first}
    return Verdict.DIFFERS if differing else Verdict.PASS, values
