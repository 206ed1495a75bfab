# SPDX-License-Identifier: MIT
"""``hornito trace record`` on a real node: is what programs do through the relay what they would do without it, and is
it recorded as on the virtual node? The virtual kernel stands in for the machine's (record.py says how)."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hornito.examples import builtin_model
from hornito.trace.calls import name_of, texts
from hornito.trace.load import load
from hornito.trace.records import WHOLE_SUBMIT, Call, Done, JobTime, Message, Recording
from tests.supervisor.conftest import Run
from tests.supervisor.relay.conftest import ROOT, Relayed
from tests.supervisor.relay.record import NO_JOBS
from tests.supervisor.test_delegate import CLIENT as DELEGATE_CLIENT
from tests.supervisor.test_delegate import delegate
from tests.supervisor.test_recording import WHOLE, assert_no_difference, noise, record_ours
from tests.supervisor.test_sharing import FENCES, OWN_MEMORY, STRANGER, TWO_PROCESSES
from tests.supervisor.test_waits_and_faults import CLIENT

__all__ = ["delegate"]

HORNITO = (sys.executable, "-m", "hornito.cli.main")
NODE = "/dev/dri/renderD128"
# What sends a signal to the process that stands for the hardware.
WORKER = """
import os, signal
supervisor = int(open(f"/proc/{os.getppid()}/stat").read().rpartition(")")[2].split()[1])
def tell_the_worker(what):
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline") as line, open(f"/proc/{name}/status") as status:
                if f"PPid:\\t{supervisor}\\n" in status.read() and "workers." "worker" in line.read():
                    os.kill(int(name), what)
        except FileNotFoundError:
            pass
"""
FUZZER = str(ROOT / "tests" / "supervisor" / "fuzzer.py")

WAIT_FOR_A_STRANGER = """
fd = node()
handle = new(fd, 4096)
dma_buf = export(fd, handle)
wait(fd, submit(fd, handle, 0)[0])
def prepare(fd, handle, seconds):
    try:
        return ioctl(fd, 0x40186444, "IIqq", handle, 1, *divmod(time.monotonic_ns() + int(seconds * 1e9), 10**9))[0]
    except OSError as error:
        return errno.errorcode[error.errno]
tell_the_worker(signal.SIGSTOP)
fence = submit(fd, handle, 0)[0]
if os.fork() == 0:
    mine = node()
    taken = take_up(mine, dma_buf)
    print(prepare(mine, taken, 0.2), flush=True)
    tell_the_worker(signal.SIGCONT)
    print(prepare(mine, taken, 60) == taken, flush=True)
    os._exit(0)
os.wait()
wait(fd, fence)
"""


def calls(recording: Recording) -> list[Call]:
    return [event for event in recording.events() if isinstance(event, Call)]


def test_a_model_s_recording_is_that_of_the_virtual_node(run: Run, relayed: Relayed, tmp_path: Path) -> None:
    given = noise(tmp_path / "x.npy", 1, 32, 32, 3)
    arguments = ["run", str(builtin_model()), "--device", NODE, "--input", str(given)]
    found, recording = relayed(*HORNITO, *arguments, "--output", str(tmp_path / "relayed.npy"))
    assert found.code == 0, found.err
    other = record_ours(run, tmp_path / "other.trace", builtin_model(), given)
    assert_no_difference(recording, other)
    assert np.array_equal(np.load(tmp_path / "relayed.npy"), np.load(tmp_path / "x.out.npy"))
    ends = [done.status for done in recording.events() if isinstance(done, Done)]
    assert ends == [1] * len(list(recording.submits()))
    names = {texts(call, recording.more).get("name") for call in calls(recording)} - {None}
    assert names == {"etnaviv"}
    assert {call.request for call in calls(recording)} == {call.request for call in calls(other)}
    whole = [event for event in recording.events() if isinstance(event, JobTime)]
    assert [(event.submit, event.job) for event in whole] == [(one.number, WHOLE_SUBMIT) for one in recording.submits()]
    assert all(event.duration > 0 for event in whole)
    replayed = subprocess.run([*HORNITO, "trace", "replay", recording.path], capture_output=True, text=True, timeout=60)
    assert replayed.returncode == 0, replayed.stderr


def test_fuzzed_calls_get_the_kernel_s_answers(relayed: Relayed) -> None:
    found, _ = relayed(sys.executable, FUZZER, "1", "3000", options=(NO_JOBS,))
    assert (found.code, found.err) == (0, "")


def test_many_clients_at_once(relayed: Relayed) -> None:
    one = f"{sys.executable} {FUZZER} $n 400 >/dev/null || echo $n"
    found, recording = relayed("sh", "-c", f"for n in 1 2 3; do {one} & done; wait", options=(NO_JOBS,))
    assert (found.code, found.out, found.err) == (0, "", "")
    assert len({call.process for call in calls(recording)}) == 3


def test_buffers_own_memory_and_fences_pass_between_processes(relayed: Relayed) -> None:
    found, recording = relayed(python=STRANGER + TWO_PROCESSES + OWN_MEMORY + FENCES, options=(NO_JOBS,))
    assert (found.code, found.err) == (0, "")
    assert found.out.splitlines() == ["0 shared", "77", "2", "EPERM", "[1, 1, 1, 1]", "True"]


def test_waits_end_at_their_deadline_and_for_signals(relayed: Relayed) -> None:
    script = """
submit(), prepare(50)
tell_the_worker(signal.SIGSTOP)
print(submit(), *(what for what, _ in [prepare(0.1)]))
print(prepare(-1)[0])
signal.signal(signal.SIGALRM, lambda *_: print("handled"))
signal.setitimer(signal.ITIMER_REAL, 0.2)
what, seconds = prepare(60)
print(what, seconds < 20)
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.1)
what, seconds = prepare(0.4)
print(what, seconds > 0.35)
"""
    found, _ = relayed(str(ROOT), python=CLIENT + WORKER + script)
    assert (found.code, found.err) == (0, "")
    assert found.out == "0 ETIMEDOUT\nETIMEDOUT\nhandled\nEINTR True\nhandled\nETIMEDOUT True\n"


def test_a_hang_is_recorded_with_what_the_log_says(relayed: Relayed) -> None:
    script = "for number in range(3):\n    print(submit(), prepare(50)[0])\n"
    found, recording = relayed(str(ROOT), python=CLIENT + script, options=(NO_JOBS, "hang@2"))
    assert (found.code, found.out, found.err) == (0, "0 done\n" * 3, "")
    assert [event.status for event in recording.events() if isinstance(event, Done)] == [1, -125, 1]
    texts = [event.text for event in recording.events() if isinstance(event, Message) and event.origin == "kernel"]
    assert any("recover hung GPU!" in text for text in texts)


def test_waiting_for_another_process_s_job_keeps_nobody_from_being_answered(relayed: Relayed) -> None:
    found, recording = relayed(python=STRANGER + WORKER + WAIT_FOR_A_STRANGER)
    assert (found.code, found.out, found.err) == (0, "ETIMEDOUT\nTrue\n", "")
    assert len({call.process for call in calls(recording)}) == 2


def test_memory_of_the_program_s_own_is_recorded_as_jobs_find_it(relayed: Relayed) -> None:
    script = """
room[100:104] = b"mine"
wait(fd, submit(fd, handle, 0)[0])
"""
    found, recording = relayed(python=STRANGER + OWN_MEMORY.split("if os.fork")[0] + script, options=(NO_JOBS,))
    assert (found.code, found.out, found.err) == (0, "77\n", "")
    pinning, *_ = [call for call in calls(recording) if name_of(call) == "ETNAVIV_GEM_USERPTR"]
    assert pinning.unseen
    (submit,) = recording.submits()  # the first one is the program's own: it pins
    (entry,) = submit.buffers
    assert (entry.handle, entry.size, entry.known) == (1, 4096, True)
    assert recording.bytes_of(entry.before)[:4] + recording.bytes_of(entry.before)[100:] == b"\x4d\0\0\0mine"


@pytest.mark.timeout(600)
def test_mobilenet_by_mesa_s_delegate_is_what_it_is_on_the_virtual_node(
    run: Run, relayed: Relayed, delegate: str, shared: Path, tmp_path: Path
) -> None:
    (tmp_path / "models.txt").write_text(str(shared / "models" / f"{WHOLE}.tflite"))
    given = noise(tmp_path / "x.npy", 1, 224, 224, 3)
    client = (sys.executable, str(DELEGATE_CLIENT), delegate, str(tmp_path / "models.txt"), str(given))
    found, recording = relayed(*client, timeout=300)
    assert found.code == 0, found.err
    other = run(*client, options=("--trace", str(tmp_path / "other.trace")), timeout=300)
    assert found.out == other.out
    assert_no_difference(recording, load(tmp_path / "other.trace"))


def test_clients_that_are_killed_keep_nobody_waiting(relayed: Relayed) -> None:
    script = """
import random, subprocess
chance = random.Random(1)
for seed in range(4):
    victim = subprocess.Popen([sys.executable, sys.argv[2], str(seed), "100000"], stdout=subprocess.DEVNULL)
    time.sleep(chance.uniform(0.05, 0.3))
    victim.kill()
    victim.wait()
    print(submit(), prepare(20)[0])
"""
    found, _ = relayed(str(ROOT), FUZZER, python=CLIENT + script, options=(NO_JOBS,))
    assert (found.code, found.out, found.err) == (0, "0 done\n" * 4, "")
