# SPDX-License-Identifier: MIT
"""``hornito serve`` and its clients, as programs: what they print, how they end."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.cli.conftest import Hornito

COMMAND = [sys.executable, "-m", "hornito.cli.main"]


@dataclass
class Lender:
    """A running ``hornito serve``, and what it said."""

    process: "subprocess.Popen[str]"
    address: str
    token: str
    chip: str


def start(*arguments: str | Path, token: str | None = None) -> Lender:
    environment = {name: value for name, value in os.environ.items() if name != "HORNITO_TOKEN"}
    if token is not None:
        environment["HORNITO_TOKEN"] = token
    process = subprocess.Popen(
        [*COMMAND, "serve", "--device", "virtual", "--json", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    found = json.loads(process.stdout.readline())
    return Lender(process, found["address"], found["token"], found["chip"])


def end(lender: Lender, number: int = signal.SIGKILL) -> tuple[int, str]:
    lender.process.send_signal(number)
    _, remarks = lender.process.communicate(timeout=60)
    return lender.process.returncode, remarks


@pytest.fixture(scope="module")
def lender(prepared: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lender]:
    lender = start("--listen", f"unix:{tmp_path_factory.mktemp('s') / 'npu'}", "--chip", "imx8mp")
    yield lender
    end(lender)


@pytest.fixture
def token(lender: Lender, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORNITO_TOKEN", lender.token)


def test_a_model_runs_on_the_lent_device(lender: Lender, token: None, hornito: Hornito) -> None:
    here = hornito("label-image", "--device", "virtual", "--chip", "imx8mp")
    there = hornito("label-image", "--device", lender.address)
    assert there.code == 0, there.err
    assert there.out == here.out
    assert f"device: virtual at {lender.address} ({lender.chip})" in there.err.splitlines()


def _workers(process: int) -> set[int]:
    """Its children."""
    found: set[int] = set()
    for task in Path(f"/proc/{process}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found.update(int(child) for child in (task / "children").read_text().split())
    return found


def test_lent_jobs_run_in_a_process_of_their_own_whose_death_harms_nobody(
    lender: Lender, token: None, hornito: Hornito
) -> None:
    before = hornito("label-image", "--device", lender.address)
    (worker,) = _workers(lender.process.pid)
    os.kill(worker, signal.SIGKILL)
    after = hornito("label-image", "--device", lender.address)
    assert (after.code, after.out) == (0, before.out)
    assert len(_workers(lender.process.pid)) == 1 and worker not in _workers(lender.process.pid)


def test_a_submission_file_runs_on_the_lent_device(
    lender: Lender, token: None, hornito: Hornito, folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "o.npz"
    arguments = ["--input", str(folder / "layer.npy"), "--json"]
    assert hornito("compile", folder / "layer.tflite", "-o", file, "--chip", "imx8mp").code == 0
    here = hornito("run", file, *arguments, "--device", "virtual")
    there = hornito("run", file, *arguments, "--device", lender.address)
    assert there.code == 0, there.err
    assert there.out == here.out


def test_every_verb_takes_the_lent_device(lender: Lender, token: None, hornito: Hornito, folder: Path) -> None:
    for arguments in (
        ["run", str(folder / "layer.tflite"), "--input", str(folder / "layer.npy")],
        ["benchmark", "--count", "2"],
        ["conformance", "--filter", "Pad.Op/1_is_signed_0", "--jobs", "1"],
        ["devices"],
    ):
        found = hornito(*arguments, "--device", lender.address)
        assert found.code == 0, found.err


def test_devices_tells_of_the_lent_device(lender: Lender, token: None, hornito: Hornito) -> None:
    (found,) = json.loads(hornito("devices", "--device", lender.address, "--json").out)
    assert (found["device"], found["chip"], found["usable"]) == (lender.address, lender.chip, True)
    assert "other clients: 0, 0 of 1024 MiB in use" in found["description"]


def test_another_chip_than_the_lent_one_is_refused(lender: Lender, token: None, hornito: Hornito) -> None:
    found = hornito("label-image", "--device", lender.address, "--chip", "a311d")
    assert found.code == 2
    assert f"is a {lender.chip}, not a " in found.err


@pytest.mark.parametrize(("given", "words"), [(None, "needs a token"), ("x", "refuses the token"), ("a b", "no token")])
def test_wrong_or_missing_token_is_one_line(
    lender: Lender, hornito: Hornito, monkeypatch: pytest.MonkeyPatch, given: str | None, words: str
) -> None:
    monkeypatch.delenv("HORNITO_TOKEN", raising=False)
    if given is not None:
        monkeypatch.setenv("HORNITO_TOKEN", given)
    found = hornito("label-image", "--device", lender.address)
    assert found.code == 2 and found.out == ""
    (line,) = found.err.splitlines()
    assert words in line and "HORNITO_TOKEN" in line


def test_no_server_is_one_line(hornito: Hornito, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HORNITO_TOKEN", "x")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    for address in (f"hornito://127.0.0.1:{port}", f"hornito+unix:{tmp_path / 'none'}"):
        found = hornito("label-image", "--device", address)
        assert found.code == 4 and found.out == ""
        (line,) = found.err.splitlines()
        assert address in line and "hornito serve" in line


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_server_ends_cleanly_on_a_signal(
    prepared: None, tmp_path: Path, hornito: Hornito, monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    monkeypatch.setenv("HORNITO_TOKEN", "mine")
    lender = start("--listen", f"unix:{tmp_path / 's'}", token="mine")
    assert lender.token == "mine"
    assert os.stat(tmp_path / "s").st_mode & 0o777 == 0o600
    assert hornito("label-image", "--device", lender.address).code == 0
    status, remarks = end(lender, number)
    assert status == code
    assert "Traceback" not in remarks and not (tmp_path / "s").exists()


def test_server_takes_the_place_of_one_that_was_killed(prepared: None, tmp_path: Path, hornito: Hornito) -> None:
    place = f"unix:{tmp_path / 's'}"
    end(start("--listen", place))
    assert (tmp_path / "s").exists()
    lender = start("--listen", place)
    second = hornito("serve", "--device", "virtual", "--listen", place)
    assert second.code == 2 and "listens there already" in second.err
    end(lender)


@pytest.mark.parametrize("place", ["board", "board:x", "board:99999", "::1:5", "unix:", "", "[::1", "a b:1"])
def test_place_that_is_none_is_refused(place: str, hornito: Hornito) -> None:
    found = hornito("serve", "--device", "virtual", "--listen", place)
    assert found.code == 2 and len(found.err.splitlines()) == 1


def test_place_that_can_t_be_had_is_refused(hornito: Hornito, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (f"unix:{tmp_path / 'file'}", f"unix:{tmp_path / 'no' / 'folder'}", f"unix:/tmp/{'x' * 200}"):
        found = hornito("serve", "--device", "virtual", "--listen", place)
        assert found.code == 2 and "can't listen" in found.err and len(found.err.splitlines()) == 1
    assert (tmp_path / "file").read_text() == "mine"


def test_the_cpu_is_not_lent(hornito: Hornito) -> None:
    found = hornito("serve", "--device", "cpu")
    assert found.code == 2 and "nothing to lend" in found.err
