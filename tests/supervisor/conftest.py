# SPDX-License-Identifier: MIT
"""``hornito exec``, started as a user does; what it left behind is counted."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hornito.runtime import open_device

EXEC = [sys.executable, "-m", "hornito.cli.main", "exec"]


@dataclass(frozen=True)
class Outcome:
    """What ``hornito exec`` left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Outcome]


@pytest.fixture(scope="session")
def watching(tmp_path_factory: pytest.TempPathFactory, cache_folder: Path) -> None:
    """Skips where this system does not let us watch system calls. The virtual NPU's kernels are compiled."""
    device = open_device("virtual")
    assert device is not None
    device.close()
    done = subprocess.run([*EXEC, "--", "true"], capture_output=True, text=True, timeout=100)
    if done.returncode == 125 and "can't watch system calls" in done.stderr:
        pytest.skip(done.stderr.strip())


@pytest.fixture
def run(watching: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a program, or a Python text, under ``hornito exec`` with these options. Nothing may stay behind."""
    folder = tmp_path / "runtime"
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))

    def call(*command: str, python: str | None = None, options: tuple[str, ...] = (), timeout: float = 60) -> Outcome:
        if python is not None:
            command = (sys.executable, "-c", python, *command)
        done = subprocess.run([*EXEC, *options, "--", *command], capture_output=True, text=True, timeout=timeout)
        return Outcome(done.returncode, done.stdout, done.stderr)

    yield call
    assert os.listdir(folder) == []
