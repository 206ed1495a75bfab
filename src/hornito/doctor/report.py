# SPDX-License-Identifier: MIT
"""What does a report of a device's self-test say? Values, their JSON form (docs/doctor.md), and what they prove."""

import dataclasses
import enum
import math
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hornito.compiler import Evidence
from hornito.cost import Calibration, Measured, Work, calibrate
from hornito.errors import BadInput
from hornito.hardware.chips import CHIPS, find_chip

FORMAT = "hornito-doctor"
VERSION = 1
_MAX_TEXT = 4096  # characters of any text in a report
_MAX_ROWS = 100_000
_MAX_NUMBER = 1 << 64
_WORK = [entry.name for entry in dataclasses.fields(Work)]  # what a report does not have is 0


class Verdict(enum.StrEnum):
    """What came of a job."""

    PASS = "pass"
    DIFFERS = "differs"  # it ended, and left other bytes than the virtual NPU
    FAILED = "failed"  # the device or its kernel refused or killed it
    NOT_RUN = "not run"  # time was up, or the device was gone


@dataclass(frozen=True)
class JobResult:
    """One job. ``milliseconds``: from submitting it to knowing that it has ended, once for each time that it was run;
    ``compared``, ``differing``: bytes; ``largest``: difference of any; ``first``: where, as tensor buffer and offset;
    ``error`` and ``messages``: what the driver and the kernel said; ``file``: in the report, for what did not pass."""

    name: str
    family: str
    unit: str
    operator: str
    keys: tuple[str, ...]
    verdict: Verdict
    work: Work
    milliseconds: tuple[float, ...] = ()
    compared: int = 0
    differing: int = 0
    largest: int = 0
    first: tuple[int, int] | None = None
    error: str = ""
    messages: tuple[str, ...] = ()
    file: str = ""

    @property
    def median(self) -> float | None:
        """Of ``milliseconds``; None where there are none."""
        return statistics.median(self.milliseconds) if self.milliseconds else None


@dataclass(frozen=True)
class Patient:
    """The device that was tested, and the machine that it is part of. ``real``: silicon, not an emulation;
    ``parameters``: what GET_PARAM told of the NPU's core, by the parameters' names."""

    name: str
    real: bool
    chip: str
    pipe: int
    driver: str
    driver_version: str
    parameters: dict[str, int]
    cores: tuple[dict[str, int | str | None], ...]
    kernel: str
    architecture: str
    board: str
    compatible: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """All of a self-test. ``seconds`` it took; ``gone``: the device could not be opened again; ``hornito``: the
    version that tested."""

    patient: Patient
    jobs: tuple[JobResult, ...]
    seconds: float
    gone: bool = False
    log_readable: bool = False
    messages: tuple[str, ...] = ()
    hornito: str = ""

    def count(self, verdict: Verdict) -> int:
        """How many jobs came out so."""
        return sum(job.verdict is verdict for job in self.jobs)

    @property
    def passed(self) -> bool:
        return bool(self.jobs) and self.count(Verdict.PASS) == len(self.jobs)

    def proven(self) -> frozenset[str]:
        """The compiler's keys of which jobs ran, and all came out right."""
        named = {key for job in self.jobs for key in job.keys}
        return frozenset(named) - {key for job in self.jobs if job.verdict is not Verdict.PASS for key in job.keys}

    def evidence(self, source: str) -> Evidence:
        """What it proves of silicon. Raises BadInput for a report of an emulated device: that proves nothing."""
        if not self.patient.real:
            raise BadInput(f"{source}: is the report of an emulated device, which proves nothing of silicon")
        return Evidence(self.proven(), source)

    def calibration(self, source: str) -> Calibration:
        """What its times say of the chip's speed. Raises BadInput for a report of an emulated device, whose times are
        those of its host; for one of an older Hornito, and for one with too few timed jobs."""
        if not self.patient.real:
            raise BadInput(f"{source}: is the report of an emulated device, whose times are those of its host")
        timed = [job for job in self.jobs if job.verdict is Verdict.PASS and job.median]
        if any(job.work.macs and not job.work.lane_macs for job in timed):
            raise BadInput(f"{source}: was made by an older Hornito, which did not count all that a calibration needs")
        measured = [Measured(job.work, (job.median or 0.0) / 1000) for job in timed]
        try:
            return calibrate(measured, find_chip(self.patient.chip), source)
        except ValueError as error:
            raise BadInput(str(error)) from None

    def as_json(self) -> dict[str, Any]:
        """For report.json."""
        patient = dataclasses.asdict(self.patient)
        patient["cores"], patient["compatible"] = list(self.patient.cores), list(self.patient.compatible)
        return {
            "format": FORMAT,
            "version": VERSION,
            "hornito": self.hornito,
            "device": patient,
            "seconds": round(self.seconds, 3),
            "gone": self.gone,
            "log_readable": self.log_readable,
            "messages": list(self.messages),
            "summary": {verdict.value: self.count(verdict) for verdict in Verdict},
            "jobs": [_job_json(job) for job in self.jobs],
        }


def _job_json(job: JobResult) -> dict[str, Any]:
    values = dataclasses.asdict(job)
    values["verdict"] = job.verdict.value
    values["milliseconds"] = [round(time, 4) for time in job.milliseconds]
    for name in ("keys", "messages", "first"):
        values[name] = None if values[name] is None else list(values[name])
    return values


def from_json(value: Any) -> Report:
    """What ``as_json`` gave. Raises BadInput, naming the entry at fault and what it holds."""
    top = _Entry(value, "report.json")
    if top.get("format") != FORMAT:
        raise BadInput(f"report.json is no report of 'hornito doctor' (its format is {_short(top.get('format'))})")
    if top.get("version") != VERSION:
        raise BadInput(f"has version {_short(top.get('version'))}; this Hornito reads {VERSION}")
    patient = top.entry("device")
    chip = patient.text("chip")
    if chip not in {known.name for known in CHIPS}:
        raise BadInput(f"is of the chip {_short(chip)}, which this Hornito does not know")
    jobs = tuple(_job(entry, chip) for entry in top.entries("jobs"))
    return Report(
        _patient(patient, chip),
        jobs,
        top.real("seconds"),
        top.flag("gone"),
        top.flag("log_readable"),
        top.texts("messages"),
        top.text("hornito"),
    )


def _patient(entry: "_Entry", chip: str) -> Patient:
    parameters = entry.entry("parameters")
    return Patient(
        entry.text("name"),
        entry.flag("real"),
        chip,
        entry.whole("pipe"),
        entry.text("driver"),
        entry.text("driver_version"),
        {name: parameters.whole(name) for name in parameters.names()},
        tuple(core.plain() for core in entry.entries("cores")),
        entry.text("kernel"),
        entry.text("architecture"),
        entry.text("board"),
        entry.texts("compatible"),
    )


def _job(entry: "_Entry", chip: str) -> JobResult:
    try:
        verdict = Verdict(entry.text("verdict"))
    except ValueError:
        raise BadInput(f"{entry.place}.verdict is {_short(entry.get('verdict'))}") from None
    keys = entry.texts("keys")
    for key in keys:
        if not key.startswith(f"{chip}/"):
            raise BadInput(f"{entry.place}.keys has {_short(key)}, which is no key of {chip}")
    work = entry.entry("work")
    first = entry.get("first")
    return JobResult(
        entry.text("name"),
        entry.text("family"),
        entry.text("unit"),
        entry.text("operator"),
        keys,
        verdict,
        Work(**{name: work.whole(name) for name in _WORK if name in work.names()}),
        entry.reals("milliseconds"),
        entry.whole("compared"),
        entry.whole("differing"),
        entry.whole("largest"),
        None if first is None else entry.pair("first"),
        entry.text("error"),
        entry.texts("messages"),
        entry.text("file"),
    )


class _Entry:
    """An object of a JSON text that may hold anything; every question checks type and range."""

    def __init__(self, value: Any, place: str) -> None:
        if not isinstance(value, Mapping):
            raise BadInput(f"{place} is {_short(value)}; expected an object")
        self._value = value
        self.place = place

    def names(self) -> list[str]:
        return [str(name) for name in self._value]

    def get(self, name: str) -> Any:
        return self._value.get(name)

    def _checked(self, name: str, right: bool, expected: str) -> Any:
        if not right:
            raise BadInput(f"{self.place}.{name} is {_short(self.get(name))}; expected {expected}")
        return self.get(name)

    def text(self, name: str) -> str:
        value = self.get(name)
        fits = isinstance(value, str) and len(value) <= _MAX_TEXT
        return str(self._checked(name, fits, f"a text of at most {_MAX_TEXT} characters"))

    def flag(self, name: str) -> bool:
        return bool(self._checked(name, isinstance(self.get(name), bool), "true or false"))

    def whole(self, name: str) -> int:
        return int(self._checked(name, _is_whole(self.get(name)), "a whole number from 0"))

    def real(self, name: str) -> float:
        return float(self._checked(name, _is_real(self.get(name)), "a number from 0"))

    def _list(self, name: str) -> list[Any]:
        value = self.get(name)
        fits = isinstance(value, list) and len(value) <= _MAX_ROWS
        return list(self._checked(name, fits, f"a list of at most {_MAX_ROWS} entries"))

    def texts(self, name: str) -> tuple[str, ...]:
        values = self._list(name)
        self._checked(name, all(isinstance(v, str) and len(v) <= _MAX_TEXT for v in values), "a list of texts")
        return tuple(values)

    def reals(self, name: str) -> tuple[float, ...]:
        values = self._list(name)
        self._checked(name, all(_is_real(value) for value in values), "a list of numbers from 0")
        return tuple(float(value) for value in values)

    def pair(self, name: str) -> tuple[int, int]:
        values = self._list(name)
        self._checked(name, len(values) == 2 and all(map(_is_whole, values)), "two whole numbers")
        return values[0], values[1]

    def entry(self, name: str) -> "_Entry":
        return _Entry(self.get(name), f"{self.place}.{name}")

    def entries(self, name: str) -> Iterator["_Entry"]:
        return (_Entry(value, f"{self.place}.{name}[{at}]") for at, value in enumerate(self._list(name)))

    def plain(self) -> dict[str, int | str | None]:
        """All of it, if that is numbers, texts and nulls."""
        for name in self.names():
            value = self.get(name)
            fits = value is None or _is_whole(value) or (isinstance(value, str) and len(value) <= _MAX_TEXT)
            self._checked(name, fits, "a whole number, a text or null")
        return dict(self._value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MAX_NUMBER


def _is_real(value: Any) -> bool:
    return _is_whole(value) or (isinstance(value, float) and math.isfinite(value) and value >= 0)


def _short(value: Any) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
