# SPDX-License-Identifier: MIT
"""Whose submissions are studied? A client is a black box: it is given models, and all that is known of it is what it
asks of the virtual kernel."""

import dataclasses
import json
import logging
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from hornito.errors import DeviceError, Unsupported
from hornito.hardware.chips import Chip
from hornito.trace.reader import open_trace
from hornito.trace.records import Call, Done, Event, Header, JobTime, Recording, Submit
from hornito.trace.writer import TraceWriter, save
from hornito.uapi.drm import RENDER_NODE
from hornito.words import counted

if TYPE_CHECKING:
    from hornito.virtual.npu.executor import Executor

_log = logging.getLogger(__name__)
SECONDS = 300.0  # that a command may take for one model
_LONGEST = 160  # characters of a reason
_NO_JOB = "it starts no job"
_CALL = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
    "sys.exit(importlib.import_module(sys.argv.pop(1)).main(sys.argv[1:]))"
)


@dataclass(frozen=True)
class Refusal:
    """Why a client takes no model."""

    reason: str


class Client(Protocol):
    """Whoever is given models."""

    def record(self, models: Sequence[Path]) -> Iterator[Recording | Refusal]:
        """What it submits for each TFLite model, in order; recordings are written beside the models, and are read as
        long as they are there. Raises HornitoError where none can be recorded."""


@dataclass(frozen=True)
class OwnDriver:
    """Hornito's compiler and driver in this process, with a virtual NPU of that chip. ``report`` follows what that has
    to prepare once."""

    chip: Chip
    level: str = "proven"
    report: "Callable[[int, int, str], None] | None" = None

    def record(self, models: Sequence[Path]) -> Iterator[Recording | Refusal]:
        from hornito.virtual.npu.executor import Executor

        executor = Executor(self.chip, self.report)
        for path in models:
            try:
                yield self._one(path, executor)
            except Unsupported as error:
                yield Refusal(str(error))

    def _one(self, path: Path, executor: "Executor") -> Recording:
        from hornito.compiler import Options, compile_plan, find_level, make_plan
        from hornito.driver import EtnavivDevice
        from hornito.model import read_model
        from hornito.runtime import Session
        from hornito.trace.own_process import RecordedKernel
        from hornito.trace.recorder import Recorder
        from hornito.virtual.etnaviv.device import VirtualDevice

        plan = make_plan(read_model(path.read_bytes()), Options(self.chip, find_level(self.level)))
        if not plan.uses_npu:
            raise Unsupported(str(next(iter(plan.refusals.values()), _NO_JOB)))
        recorder = Recorder(TraceWriter(_beside(path), Header("study", self.chip.name, (path.name,))))
        try:
            device = VirtualDevice(self.chip, executor)
            try:
                with EtnavivDevice(RecordedKernel(device, recorder), RENDER_NODE) as opened:
                    session = Session(compile_plan(plan).archive, opened, trusted=True)
                    try:
                        session.run({one.index: np.zeros(one.shape, one.dtype) for one in session.inputs})
                    finally:
                        session.close()
            finally:
                device.shutdown()
        finally:
            recorder.close()
        return open_trace(_beside(path))


@dataclass(frozen=True)
class Command:
    """Any program, run once for each model, on a virtual NPU of that chip (``each_model`` says where the model's path
    goes). All of it under one supervisor (``supervised``), whose recording is cut into pieces."""

    command: Sequence[str]
    chip: Chip
    seconds: float = SECONDS
    writer: str = ""  # as recordings name who made them

    def record(self, models: Sequence[Path]) -> Iterator[Recording | Refusal]:
        with tempfile.TemporaryDirectory() as folder:
            whole = Path(folder) / "all.trace"
            self._run(models, whole)
            recording = open_trace(whole)
            statuses = [json.loads(path.with_suffix(".status").read_text("utf-8")) for path in models]
            pieces = _pieces(recording, len(models), statuses[0]["runner"])
            if recording.problem:
                raise DeviceError(f"the recording has no end: {recording.problem}")
            failed = []
            for path, status, piece in zip(models, statuses, pieces, strict=True):
                if not any(isinstance(event, Submit) for event in piece):
                    yield Refusal(_reason(status))
                    continue
                if status["status"]:
                    failed.append(f"{path.stem}: {_reason(status)}")
                header = dataclasses.replace(recording.header, source="study")
                save(Recording(str(path), header, _events(piece), recording), _beside(path))
                yield open_trace(_beside(path))
            if failed:
                more = f", and {counted(len(failed) - 1, 'other')} in some such way" if len(failed) > 1 else ""
                _log.warning("%s%s; what it had submitted by then is what was compared", failed[0], more)

    def _run(self, models: Sequence[Path], trace: Path) -> None:
        runner = [*_program("hornito.trace.each_model"), str(self.seconds), *map(str, models), "--", *self.command]
        supervisor = [*_program("hornito.trace.supervised"), str(trace), self.chip.name, self.writer]
        done = subprocess.run([*supervisor, *runner], stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if done.returncode:
            said = (done.stdout or done.stderr).strip().splitlines()
            raise DeviceError(said[-1] if said else f"the supervisor ended with status {done.returncode}")


def _program(module: str) -> list[str]:
    """A command that calls the module's ``main`` with our own paths, and leaves the environment as it is: the client's
    Python may be another one."""
    return [sys.executable, "-P", "-c", _CALL, json.dumps(sys.path), module]


def _events(piece: Sequence[Event]) -> Callable[[Recording], Iterator[Event]]:
    return lambda _: iter(piece)


def _beside(model: Path) -> Path:
    return model.with_suffix(".trace")


def _reason(status: dict[str, Any]) -> str:
    said = str(status["said"])[-_LONGEST:]
    if code := status["status"]:
        told = f"status {code}" if code >= 0 else f"status {code} ({_signal(-code)})"
        return f"the client ended with {told}" + (f": {said}" if said else "")
    return _NO_JOB


def _signal(number: int) -> str:
    return signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"


def _pieces(recording: Recording, count: int, runner: int) -> list[list[Event]]:
    """The events between two calls of the runner's, by model. Submits are numbered anew in each."""
    pieces: list[list[Event]] = [[] for _ in range(count)]
    piece_of: dict[int | None, int] = {}  # by call
    numbers: dict[int, tuple[int, int]] = {}  # of a submit: its piece, its number there
    at = -1
    submits = Counter[int]()
    for event in recording.events():
        match event:
            case Call() if event.process == runner:
                at += 1
            case Call() if at >= 0:
                piece_of[event.number] = at
                pieces[at].append(event)
            case Submit() if event.call in piece_of:
                piece = piece_of[event.call]
                numbers[event.number] = piece, submits[piece]
                pieces[piece].append(dataclasses.replace(event, number=submits[piece]))
                submits[piece] += 1
            case Done() | JobTime() if event.submit in numbers:
                piece, number = numbers[event.submit]
                pieces[piece].append(dataclasses.replace(event, submit=number))
    return pieces
