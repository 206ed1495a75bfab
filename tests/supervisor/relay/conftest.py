# SPDX-License-Identifier: MIT
"""Programs on a relayed node: as the ``run`` of ``hornito exec``'s tests, with a relay in the place of that."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hornito.trace.load import load
from hornito.trace.records import Recording
from tests.supervisor.conftest import Outcome

RECORD = [sys.executable, "-m", "tests.supervisor.relay.record"]
ROOT = Path(__file__).parents[3]
Relayed = Callable[..., tuple[Outcome, Recording]]


@pytest.fixture
def relayed(watching: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Relayed]:
    """Runs a program, or a Python text, on a relayed node; what it left behind, and its recording."""
    folder = tmp_path / "relayed"
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]))
    path = tmp_path / "relayed.trace"

    def call(
        *command: str, python: str | None = None, options: tuple[str, ...] = (), timeout: float = 60
    ) -> tuple[Outcome, Recording]:
        if python is not None:
            command = (sys.executable, "-c", python, *command)
        made = [*RECORD, str(path), *options, "--", *command]
        done = subprocess.run(made, capture_output=True, text=True, timeout=timeout)
        return Outcome(done.returncode, done.stdout, done.stderr), load(path)

    yield call
    assert os.listdir(folder) == []
