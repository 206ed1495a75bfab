# SPDX-License-Identifier: MIT
"""``hornito exec --trace``: do our driver and Mesa's delegate send the same, and does what was recorded outlive all?"""

import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hornito.compiler import Options, compile_graph
from hornito.examples import builtin_model
from hornito.hardware.chips import find_chip
from hornito.model import read_model
from hornito.trace.diff import Diff
from hornito.trace.load import load
from hornito.trace.records import Call, Done, JobTime, Message, Recording, Submit
from hornito.trace.submissions import from_archive
from tests.supervisor.conftest import EXEC, Run
from tests.supervisor.test_delegate import delegate

__all__ = ["delegate"]

HORNITO = (sys.executable, "-m", "hornito.cli.main")
NODE = "/dev/dri/renderD128"
WHOLE = "mobilenet_v1_1.0_224_quant"
MOST_BYTES = 10_000_000  # of MobileNetV1's recording
CLIENT = Path(__file__).parent / "delegate_client.py"
JOBS = """
import os, sys, time
sys.path.insert(0, {root!r})
from tests.supervisor.fuzzer import CPU_PREP, SUBMIT, Client
import struct
client = Client(1)
fd = client.fd()
handle = client.handle(fd)
for number in range({count}):
    client.call(fd, SUBMIT, client.submit([(3, handle, client.handles[fd][handle])]))
    client.call(fd, CPU_PREP, struct.pack("<IIqq", handle, 3, 1 << 40, 0))
print("ready", flush=True)
{end}
"""


def jobs(count: int, end: str) -> str:
    """A client that runs so many jobs."""
    return JOBS.format(root=str(Path(__file__).parent.parent.parent), count=count, end=end)


def of_kind(recording: Recording, kind: type) -> list[object]:
    return [event for event in recording.events() if isinstance(event, kind)]


def assert_no_difference(a: Recording, b: Recording) -> None:
    assert list(Diff(a, b).hunks()) == []
    assert a.problem == b.problem == ""


def record_ours(run: Run, trace: Path, model: Path, given: Path) -> Recording:
    command = (*HORNITO, "run", str(model), "--device", NODE, "--input", str(given))
    found = run(*command, "--output", str(given.with_suffix(".out.npy")), options=("--trace", str(trace)), timeout=200)
    assert found.code == 0, found.err
    return load(trace)


def noise(path: Path, *shape: int) -> Path:
    np.save(path, np.random.default_rng(1).integers(0, 256, shape, np.uint8))
    return path


def test_our_driver_s_recording_holds_what_the_compiler_made_and_the_input(run: Run, tmp_path: Path) -> None:
    model = builtin_model()
    made = compile_graph(read_model(model), Options(find_chip("vipnano-qi"))).archive
    given = noise(tmp_path / "x.npy", 1, 32, 32, 3)
    found = record_ours(run, tmp_path / "F.trace", model, given)
    assert_no_difference(found, from_archive("made", made))
    submits = list(found.submits())
    before = b"".join(found.bytes_of(buffer.before) for submit in submits for buffer in submit.buffers)
    assert np.load(given).tobytes() in before
    done = [event for event in found.events() if isinstance(event, Done)]
    assert [(event.submit, event.status) for event in done] == [(submit.number, 1) for submit in submits]
    assert all(event.written for event in done[1:])
    times = [event for event in found.events() if isinstance(event, JobTime)]
    for submit in submits:
        ends = [0, *(time.start + time.duration for time in times if time.submit == submit.number)]
        assert [time.start for time in times if time.submit == submit.number] == pytest.approx(ends[:-1], abs=2)
    assert {time.unit for time in times} == {"NN", "TP"}


def test_trace_record_is_exec_with_trace_and_passes_the_status_on(watching: None, tmp_path: Path) -> None:
    path = tmp_path / "F.trace"
    command = [*HORNITO, "trace", "record", "--device", "virtual", "-o", str(path), "--", "sh", "-c", "exit 7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 7
    assert done.stderr == f"{NODE}: the program never used it; {path} has no calls\n"
    recording = load(path)
    assert list(recording.events()) == []
    assert (recording.problem, recording.header.program[0]) == ("", "sh")


def test_trace_record_says_how_much_it_has(watching: None, tmp_path: Path) -> None:
    path = tmp_path / "F.trace"
    command = [*HORNITO, "trace", "record", "-o", str(path), "--", sys.executable, "-c", jobs(3, "")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, f"{path}: 3 submits, {path.stat().st_size:,} bytes\n")


def test_a_program_that_is_not_there_leaves_an_older_recording(watching: None, tmp_path: Path) -> None:
    path = tmp_path / "F.trace"
    path.write_bytes(b"older")
    (tmp_path / "plain").write_text("not executable")
    for program, status in (("nosuchprogram", 127), (str(tmp_path / "plain"), 126)):
        command = [*HORNITO, "trace", "record", "-o", str(path), "--", program]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert (done.returncode, len(done.stderr.splitlines())) == (status, 1)
        assert path.read_bytes() == b"older"


@pytest.mark.parametrize("place", ["/nowhere/F.trace", ""])
def test_a_place_that_can_t_be_written_is_told_before_the_program_runs(run: Run, place: str) -> None:
    found = run("echo", "it runs", options=("--trace", place))
    assert (found.code, found.out) == (125, "")
    assert len(found.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("device", "told"),
    [
        ("/dev/dri/renderD250", "/dev/dri/renderD250: open: No such file or directory"),
        ("/dev/null", "/dev/null: not a DRM device"),
        ("cpu", "--device cpu: programs can be recorded on the virtual device"),
    ],
)
def test_a_device_that_is_none_is_told_before_the_program_runs(tmp_path: Path, device: str, told: str) -> None:
    command = [
        *HORNITO,
        "trace",
        "record",
        "--device",
        device,
        "-o",
        str(tmp_path / "F.trace"),
        "--",
        "echo",
        "it runs",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (125, "")
    assert done.stderr.startswith(f"hornito: {told}") and len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("victim", ["program", "supervisor"])
def test_nothing_that_was_recorded_is_lost_by_a_kill(watching: None, tmp_path: Path, victim: str) -> None:
    path = tmp_path / "F.trace"
    script = jobs(20, "time.sleep(0.3)\nos.kill(os.getpid() if sys.argv[1] == 'program' else int(sys.argv[2]), 9)")
    script = f"{script}\ntime.sleep(60)"
    launcher = f"import os, sys; os.execv(sys.executable, {[*EXEC, '--trace', str(path), '--']!r} + "
    launcher += f"[sys.executable, '-c', {script!r}, {victim!r}, str(os.getpid())])"
    done = subprocess.run([sys.executable, "-c", launcher], capture_output=True, text=True, timeout=60)
    assert done.returncode in (128 + signal.SIGKILL, -signal.SIGKILL)
    recording = load(path)
    assert (len(of_kind(recording, Submit)), len(of_kind(recording, Done))) == (20, 20)
    assert ("no end" in recording.problem) == (victim == "supervisor")


def test_threads_and_processes_are_told_apart(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "F.trace"
    script = jobs(
        3, "import threading\nif os.fork() == 0:\n t = threading.Thread(target=client.fd)\n t.start(); t.join()\n"
    )
    assert run(python=script, options=("--trace", str(path))).code == 0
    calls = [call for call in load(path).events() if isinstance(call, Call)]
    assert all(call.thread == call.process for call in calls[:5])
    assert [event.time for event in calls] == sorted(event.time for event in calls)


def test_log_lines_of_killed_jobs_are_recorded(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "F.trace"
    options = ("--trace", str(path), "--fault", "hang@2", "--kmsg", str(tmp_path / "log"))
    assert run(python=jobs(3, ""), options=options).code == 0
    recording = load(path)
    messages = [event for event in recording.events() if isinstance(event, Message)]
    texts = [event.text for event in messages if event.origin == "kernel"]
    assert [event.status for event in recording.events() if isinstance(event, Done)] == [1, -125, 1]
    assert texts == [line.split("] ", 1)[1] for line in (tmp_path / "log").read_text().splitlines()]
    assert [event.text for event in messages if event.origin == "recorder"] == ["open file 1 has been closed"]


@pytest.mark.timeout(400)
def test_mobilenet_by_our_driver_is_the_golden(run: Run, shared: Path, tmp_path: Path) -> None:
    given = noise(tmp_path / "x.npy", 1, 224, 224, 3)
    ours = record_ours(run, tmp_path / "ours.trace", shared / "models" / f"{WHOLE}.tflite", given)
    assert_no_difference(ours, load(shared / "goldens" / "vipnano-qi" / f"{WHOLE}.npz"))
    assert (tmp_path / "ours.trace").stat().st_size < MOST_BYTES


@pytest.mark.timeout(600)
def test_mobilenet_by_mesa_s_delegate_is_ours(run: Run, delegate: str, shared: Path, tmp_path: Path) -> None:
    model = shared / "models" / f"{WHOLE}.tflite"
    given = noise(tmp_path / "x.npy", 1, 224, 224, 3)
    ours = record_ours(run, tmp_path / "ours.trace", model, given)
    (tmp_path / "models.txt").write_text(str(model))
    client = (sys.executable, str(CLIENT), delegate, str(tmp_path / "models.txt"), str(given))
    outcome = run(*client, options=("--trace", str(tmp_path / "mesa.trace")), timeout=400)
    assert outcome.code == 0, outcome.err
    mesa = load(tmp_path / "mesa.trace")
    assert_no_difference(ours, mesa)
    assert_no_difference(mesa, load(shared / "goldens" / "vipnano-qi" / f"{WHOLE}.npz"))
