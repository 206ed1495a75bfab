# SPDX-License-Identifier: MIT
"""Programs that open the machine's node by themselves: is it found, whoever has it, and let go of when nobody has?

The node is /dev/null, with the virtual device behind the relay alone.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hornito.trace.calls import name_of
from hornito.trace.records import Call, Done, Message, Recording, Submit
from tests.supervisor.relay.conftest import RECORD, ROOT, Relayed
from tests.supervisor.relay.record import OWN_NODE

JAIL = ROOT / "tests" / "supervisor" / "jail.py"
CLIENT = """
import os, signal, socket, struct, sys, threading, time
import tests.supervisor.fuzzer as fuzzer
from tests.supervisor.fuzzer import *
fuzzer.NODE = "/dev/null"
client = Client(1)
client.random.random = lambda: 0.9  # no duplicates
fd = client.fd()
handle = client.handle(fd)
def job(fd=fd, **more):
    return client.call(fd, SUBMIT, client.submit([(3, handle, 0x10010000)], **more))
def prepare(fd=fd):
    return client.call(fd, CPU_PREP, struct.pack("<IIqq", handle, 3, 1 << 40, 0))
"""


def kinds(recording: Recording, kind: type) -> list[object]:
    return [event for event in recording.events() if isinstance(event, kind)]


def calls(recording: Recording) -> list[Call]:
    return [event for event in recording.events() if isinstance(event, Call)]


def closed(recording: Recording) -> list[str]:
    return [event.text for event in recording.events() if isinstance(event, Message)]


def test_the_node_is_known_by_whatever_descriptor_and_process_has_it(relayed: Relayed) -> None:
    script = """
print(job(), prepare())
other = os.dup(fd)
os.close(fd)
here, there = socket.socketpair()
if os.fork() == 0:
    os.close(other)
    _, [mine], _, _ = socket.recv_fds(there, 1, 1)
    print(job(mine), prepare(mine), flush=True)
    os._exit(0)
socket.send_fds(here, [b"x"], [other])
os.wait()
second = os.open("/dev/null", os.O_RDWR)
print(errno.errorcode[prepare(second)], prepare(other))
"""
    found, recording = relayed(python=CLIENT + script, options=(OWN_NODE,))
    assert (found.code, found.err) == (0, "")
    assert found.out == "0 0\n0 0\nENOENT 0\n"
    assert {submit.space for submit in recording.submits()} == {1}
    assert len(kinds(recording, Done)) == 2
    assert len({call.process for call in calls(recording)}) == 2


def test_open_files_end_when_nobody_has_them_any_more(relayed: Relayed) -> None:
    script = """
supervisor = open(f"/proc/{os.getppid()}/stat").read().rpartition(")")[2].split()[1]
def held():
    places = (f"/proc/{supervisor}/fd/{name}" for name in os.listdir(f"/proc/{supervisor}/fd"))
    return sum(os.path.exists(place) and os.readlink(place) == "/dev/null" for place in places)
job(), prepare()
for _ in range(3):
    os.close(fd)
    fd = os.open("/dev/null", os.O_RDWR)
    client.call(fd, GEM_NEW, struct.pack("<QII", 4096, WC, 0))
    client.call(fd, GET_PARAM, struct.pack("<IIQ", 0, 1, 0))
"""
    found, recording = relayed(python=CLIENT + script, options=(OWN_NODE,))
    assert (found.code, found.err) == (0, "")
    assert sorted(closed(recording)) == [f"open file {number} has been closed" for number in range(1, 5)]


def test_calls_that_nobody_knows_are_the_kernel_s_own_and_recorded_without_result(relayed: Relayed) -> None:
    script = """
print(errno.errorcode[client.call(fd, 0xC0086478, b"12345678")], errno.errorcode[client.call(fd, USERPTR, bytes(24))])
print(errno.errorcode[client.call(os.open("/dev/zero", os.O_RDWR), GET_PARAM, bytes(16))])
"""
    found, recording = relayed(python=CLIENT + script, options=(OWN_NODE,))
    assert (found.code, found.out, found.err) == (0, "ENOTTY ENOTTY\nENOTTY\n", "")
    unseen = [(name_of(call), call.sent, call.errno) for call in calls(recording) if call.unseen]
    unknown = ("ioctl(READ_WRITE, 'd', 0x78, 8)", b"12345678", 0)
    assert unseen == [unknown, ("ETNAVIV_GEM_USERPTR", bytes(24), 0)]


def test_what_was_recorded_outlives_a_crash(relayed: Relayed) -> None:
    script = "for _ in range(10):\n    job(), prepare()\njob()\nos.kill(os.getpid(), signal.SIGKILL)\n"
    found, recording = relayed(python=CLIENT + script, options=(OWN_NODE,))
    assert found.code == 128 + 9
    assert (len(kinds(recording, Submit)), len(kinds(recording, Done))) == (11, 11)
    assert recording.problem == ""


def test_a_submit_that_gets_no_descriptor_is_emfile(relayed: Relayed) -> None:
    script = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (fd + 1, fd + 1))
content = client.submit([(3, handle, 0x10010000)], flags=SOFTPIN | FENCE_FD_OUT)
failed = libc.ioctl(fd, SUBMIT, content)
print(failed, errno.errorcode[ctypes.get_errno()], job(), prepare())
"""
    found, _ = relayed(python=CLIENT + script, options=(OWN_NODE,))
    assert (found.code, found.out, found.err) == (0, "-1 EMFILE 0 0\n", "")


def test_an_exported_buffer_s_descriptor_closes_on_exec_if_it_was_asked_for(relayed: Relayed) -> None:
    script = """
import fcntl
for flags in (os.O_RDWR, os.O_RDWR | os.O_CLOEXEC):
    assert client.call(fd, PRIME_OUT, struct.pack("<IIi", handle, flags, -1)) == 0
    print(fcntl.fcntl(client.word(8), fcntl.F_GETFD))
"""
    found, _ = relayed(python=CLIENT + script, options=(OWN_NODE,))
    assert (found.code, found.out, found.err) == (0, "0\n1\n", "")


def test_threads_that_submit_at_once_take_turns(relayed: Relayed) -> None:
    script = """
content = client.submit([(3, handle, 0x10010000)])
def work():
    for _ in range(5):
        argument = ctypes.create_string_buffer(content, 256)
        assert libc.ioctl(fd, SUBMIT, ctypes.addressof(argument)) == 0
        (fence,) = struct.unpack_from("<I", argument)
        assert libc.ioctl(fd, WAIT_FENCE, struct.pack("<IIIIqq", 0, fence, 0, 0, 1 << 40, 0)) == 0
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("done")
"""
    found, recording = relayed(python=CLIENT + script, options=(OWN_NODE,))
    assert (found.code, found.out, found.err) == (0, "done\n", "")
    assert len(kinds(recording, Done)) == len(list(recording.submits())) == 20
    assert all(buffer.known for submit in recording.submits() for buffer in submit.buffers)


@pytest.mark.parametrize("forbidden", ["pidfd_getfd", "kcmp"])
def test_a_sandbox_that_forbids_to_take_descriptors_is_told_in_one_line(
    watching: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forbidden: str
) -> None:
    monkeypatch.chdir(ROOT)
    command = [*RECORD, str(tmp_path / "F.trace"), OWN_NODE, "--", "echo", "it runs"]
    jailed = [sys.executable, str(JAIL), forbidden, "--", *command]
    done = subprocess.run(jailed, capture_output=True, text=True, timeout=60)
    assert "it runs" not in done.stdout
    assert "DeviceError: can't take up the program's descriptors: " in done.stderr
    assert "CAP_SYS_PTRACE" in done.stderr


def test_nothing_stays_of_fences_that_were_closed(relayed: Relayed) -> None:
    script = """
supervisor = open(f"/proc/{os.getppid()}/stat").read().rpartition(")")[2].split()[1]
def held():
    return len(os.listdir(f"/proc/{supervisor}/fd"))
def round(count):
    for _ in range(count):
        assert job(flags=SOFTPIN | FENCE_FD_OUT) == 0
        fence = client.word(52)
        content = client.submit([(3, handle, 0x10010000)], flags=SOFTPIN | FENCE_FD_OUT | 2, fd=fence)
        assert client.call(fd, SUBMIT, content) == 0
        os.close(client.word(52))
        os.close(fence)
        assert prepare() == 0
round(10)
before = held()
round(60)
print(held() <= before + 8)
"""
    found, recording = relayed(python=CLIENT + script, options=(OWN_NODE,))
    assert (found.code, found.out, found.err) == (0, "True\n", "")
    assert len(list(recording.submits())) == 140


def test_a_process_that_is_closed_to_us_goes_on_unrecorded(
    watching: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    script = "libc.prctl(4, 0, 0, 0, 0)\nprint(errno.errorcode[job(os.open('/dev/null', os.O_RDWR))])\n"
    command = [*RECORD, str(tmp_path / "F.trace"), OWN_NODE, "--", sys.executable, "-c", CLIENT + script]
    if os.geteuid() == 0:  # it may look into any process
        if shutil.which("setpriv") is None:
            pytest.skip("as root it takes setpriv to give rights away")
        command = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "ENOTTY\n")
    assert "does not let us look into it" in done.stderr and len(done.stderr.splitlines()) == 1
