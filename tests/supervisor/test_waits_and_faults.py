# SPDX-License-Identifier: MIT
"""What does a program see of jobs that take their time or never end, and what do users see who watch?"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hornito.uapi.coredump import SectionType, decode
from tests.supervisor.conftest import EXEC, Run

ROOT = Path(__file__).parents[2]

CLIENT = """
import os, signal, struct, sys, time
sys.path.insert(0, sys.argv[1])
from tests.supervisor.fuzzer import *
client = Client(1)
fd = client.fd()
handle = client.handle(fd)
submission = client.submit([(3, handle, client.handles[fd][handle])])
def submit():
    return client.call(fd, SUBMIT, submission)
def prepare(seconds):
    argument = struct.pack("<IIqq", handle, 3, *divmod(time.monotonic_ns() + int(seconds * 1e9), 10**9))
    begin = time.monotonic()
    done = libc.ioctl(fd, CPU_PREP, argument)
    return (errno.errorcode[ctypes.get_errno()] if done else "done"), time.monotonic() - begin
"""


STOP_THE_WORKER = """
def parent(pid):
    return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])
supervisor = parent(os.getppid())
children = open(f"/proc/{supervisor}/task/{supervisor}/children").read().split()
(worker,) = {int(pid) for pid in children} - {os.getppid()}
os.kill(worker, signal.SIGSTOP)
"""


def test_waits_end_at_their_deadline_and_for_signals(run: Run) -> None:
    script = """
submit(), prepare(50)
%s
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
    outcome = run(str(ROOT), python=CLIENT + script % STOP_THE_WORKER)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out == "0 ETIMEDOUT\nETIMEDOUT\nhandled\nEINTR True\nhandled\nETIMEDOUT True\n"


def test_no_wait_runs_while_the_virtual_npu_is_prepared(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a new machine its loops are compiled first, for longer than drivers wait for a job."""
    monkeypatch.setenv("HORNITO_CACHE", str(tmp_path / "cache"))
    outcome = run(str(ROOT), python=CLIENT + "print(submit(), prepare(2)[0])\n")
    assert (outcome.code, outcome.out, outcome.err) == (0, "0 done\n", "")


def test_a_hang_is_logged_and_dumped_and_the_next_job_runs(run: Run, tmp_path: Path) -> None:
    log, dumps = tmp_path / "kmsg", tmp_path / "dumps"
    log.write_text("before\n")
    options = ("--fault", "hang@2", "--kmsg", str(log), "--coredump", str(dumps))
    script = "for number in range(3):\n    print(submit(), prepare(50)[0])\n"
    outcome = run(str(ROOT), python=CLIENT + script, options=options)
    assert (outcome.code, outcome.out, outcome.err) == (0, "0 done\n" * 3, "")
    lines = log.read_text().splitlines()
    assert lines[0] == "before"
    assert "etnaviv-gpu npu: recover hung GPU!" in lines[1]
    (dump,) = dumps.iterdir()
    sections = decode(dump.read_bytes()).sections
    assert {SectionType.REGISTERS, SectionType.COMMANDS} <= {section.kind for section in sections}


def test_a_full_disk_ends_the_log_and_no_job(run: Run) -> None:
    script = "for number in range(3):\n    print(submit(), prepare(50)[0])\n"
    options = ("--fault", "hang@1,hang@2", "--kmsg", "/dev/full")
    outcome = run(str(ROOT), python=CLIENT + script, options=options)
    assert (outcome.code, outcome.out) == (0, "0 done\n" * 3)
    (line,) = outcome.err.splitlines()
    assert line.startswith("hornito: /dev/full: can't be written (No space left")


def test_a_failed_allocation_is_enomem(run: Run) -> None:
    script = "print(*(client.call(fd, GEM_NEW, struct.pack('<QII', 4096, WC, 0)) for _ in range(2)))"
    assert run(str(ROOT), python=CLIENT + script, options=("--fault", "alloc@2")).out == "12 0\n"


def test_a_lost_device_is_enodev(run: Run) -> None:
    script = """
print(submit(), prepare(50)[0])
argument = struct.pack("<IIQ", 0, 1, 0)
libc.ioctl(fd, SUBMIT, submission)
print(errno.errorcode[ctypes.get_errno()])
"""
    assert run(str(ROOT), python=CLIENT + script, options=("--fault", "lost@2")).out == "0 done\nENODEV\n"


@pytest.mark.parametrize(
    "options", [("--fault", "bogus"), ("--kmsg", "/no/such/folder/log"), ("--coredump", "/proc/dumps")]
)
def test_bad_options_are_told_in_one_line(run: Run, options: tuple[str, str]) -> None:
    outcome = run("true", options=options)
    assert outcome.code == 125
    assert len(outcome.err.splitlines()) == 1 and options[1] in outcome.err


def _jailed(*forbidden: str) -> subprocess.CompletedProcess[str]:
    jail = [sys.executable, str(Path(__file__).parent / "jail.py"), *forbidden, "--"]
    command = [*jail, *EXEC, "--", sys.executable, str(Path(__file__).parent / "fuzzer.py"), "1", "300"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_it_works_where_a_container_forbids_to_look_into_processes(watching: None) -> None:
    """Older default profiles do: /proc/PID/mem is the other way."""
    done = _jailed("process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_sandbox_without_filters_is_told_in_one_line(watching: None) -> None:
    done = _jailed("seccomp")
    assert done.returncode == 125
    assert done.stderr.startswith("hornito: can't watch system calls: the sandbox around it forbids seccomp filters")
    assert len(done.stderr.splitlines()) == 1


def test_a_program_whose_memory_is_closed_is_told_in_one_line(watching: None) -> None:
    script = """
import ctypes, sys
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)  # PR_SET_DUMPABLE
from hornito.cli.main import main
sys.exit(main(["exec", "--", "true"]))
"""
    command = [sys.executable, "-c", script]
    if os.geteuid() == 0:  # it may look into any process
        if shutil.which("setpriv") is None:
            pytest.skip("as root it takes setpriv to give rights away")
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 125
    assert done.stderr.startswith("hornito: can't read the program's memory: ")
    assert len(done.stderr.splitlines()) == 1
