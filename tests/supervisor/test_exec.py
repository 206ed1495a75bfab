# SPDX-License-Identifier: MIT
"""Does a program run under ``hornito exec`` as it would alone, and does it see one render node?"""

import os
import platform
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.supervisor.conftest import EXEC, Run

NODE = "/dev/dri/renderD128"


@pytest.mark.parametrize(
    "command,code",
    [
        (("true",), 0),
        (("sh", "-c", "exit 77"), 77),
        (("sh", "-c", "kill -9 $$"), 137),
        (("sh", "-c", "kill -TERM $$"), 143),
    ],
)
def test_the_program_s_status_is_passed_on(run: Run, command: tuple[str, ...], code: int) -> None:
    outcome = run(*command)
    assert (outcome.code, outcome.err) == (code, "")


def test_a_program_that_is_not_there_is_127(run: Run) -> None:
    outcome = run("no-such-program")
    assert (outcome.code, outcome.err) == (127, "hornito: no-such-program: No such file or directory\n")


def test_a_file_that_is_no_program_is_126(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "text"
    place.write_text("exit 5\n")
    outcome = run(str(place))
    assert (outcome.code, outcome.err) == (126, f"hornito: {place}: Permission denied\n")
    place.chmod(0o755)  # without a first line that names its interpreter it is the shell's
    assert run(str(place)).code == 5


def test_a_32_bit_program_is_refused_in_one_line(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "narrow"
    place.write_bytes(b"\x7fELF\x01" + bytes(60))
    place.chmod(0o755)
    outcome = run(str(place))
    assert outcome.code == 126
    assert outcome.err == f"hornito: {place}: is a 32-bit program; only 64-bit ones can be given a node\n"


@pytest.mark.parametrize("arguments", [["--bogus", "--", "true"], [], ["--chip", "nix", "--", "true"]])
def test_failures_of_our_own_are_125(arguments: list[str]) -> None:
    done = subprocess.run([*EXEC, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 125
    assert len(done.stderr.splitlines()) == 1


def test_arguments_streams_and_environment_are_the_program_s_own(watching: None) -> None:
    script = 'read line; echo "$line" "$WORD" "$@"; echo remark >&2'
    command = [*EXEC, "--", "sh", "-c", script, "sh", "--chip", "--", "a b"]
    done = subprocess.run(
        command, input="in\n", capture_output=True, text=True, timeout=60, env={**os.environ, "WORD": "w"}
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "in w --chip -- a b\n", "remark\n")


def test_a_watched_program_can_t_watch_again(run: Run) -> None:
    outcome = run(*EXEC, "--", "true")
    assert outcome.code == 125
    assert "another supervisor already watches" in outcome.err


LOOK = f"""
import os, stat, sys
node = os.stat({NODE!r})
assert stat.S_ISCHR(node.st_mode) and node.st_rdev == os.makedev(226, 128)
assert os.lstat({NODE!r}).st_rdev == node.st_rdev
assert os.listdir("/dev/dri") == ["renderD128"]
assert os.access({NODE!r}, os.R_OK | os.W_OK) and not os.access({NODE!r}, os.X_OK)
assert not os.path.exists("/dev/dri/card0") and not os.path.exists("/sys/dev/char/226:0")
folder = os.open("/dev/dri", os.O_RDONLY)
assert os.stat("renderD128", dir_fd=folder).st_rdev == node.st_rdev
assert os.fstat(os.open("renderD128", os.O_RDWR, dir_fd=folder)).st_rdev == node.st_rdev
assert os.stat("/dev/../dev//dri/./renderD128").st_rdev == node.st_rdev
os.chdir("/dev")
assert os.stat("dri/renderD128").st_rdev == node.st_rdev
by_number = "/sys/dev/char/226:128"
assert os.readlink(by_number) == "../../devices/platform/npu/drm/renderD128"
assert os.path.realpath(by_number) == "/sys/devices/platform/npu/drm/renderD128"
assert os.path.realpath(by_number + "/device/subsystem").endswith("/platform")
assert os.listdir(by_number + "/device/drm") == ["renderD128"]
assert "OF_FULLNAME=/soc/npu@ff100000" in open(by_number + "/device/uevent").read()
assert "DEVNAME=dri/renderD128" in open(by_number + "/uevent").read()
assert os.path.realpath("/sys/class/drm/renderD128") == "/sys/devices/platform/npu/drm/renderD128"
for flags, code in ((os.O_RDONLY | os.O_DIRECTORY, 20), (os.O_RDWR | os.O_CREAT | os.O_EXCL, 17)):
    try:
        os.open({NODE!r}, flags)
    except OSError as error:
        assert error.errno == code, error
    else:
        raise AssertionError(flags)
try:
    open("/sys/devices/platform/npu/uevent", "w")
except PermissionError:
    pass
fd = os.open({NODE!r}, os.O_RDWR)
for number in (fd, os.dup(fd)):
    assert os.fstat(number).st_rdev == node.st_rdev
assert not os.get_inheritable(fd)
print("seen")
"""


def test_the_picture_of_the_node_is_coherent(run: Run) -> None:
    outcome = run(python=LOOK)
    assert (outcome.code, outcome.out, outcome.err) == (0, "seen\n", "")


TALK = """
import fcntl, os, struct, sys
def model(fd, pipe=0):
    argument = bytearray(struct.pack("<IIQ", pipe, 1, 0))
    fcntl.ioctl(fd, 0xC0106440, argument)
    return struct.unpack("<IIQ", argument)[2]
fd = os.open("/dev/dri/renderD128", os.O_RDWR | os.O_CLOEXEC)
"""


def test_ioctls_are_answered_wherever_the_descriptor_went(run: Run) -> None:
    outcome = run(
        python=TALK
        + """
import array, socket, subprocess, threading
print(hex(model(fd)))
copy = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100)
assert model(copy) == model(fd)
os.close(fd)
other = os.open("/dev/null", os.O_RDWR)
assert other == fd
try:
    model(other)
except OSError as error:
    assert error.errno == 25, error
ours, theirs = socket.socketpair()
if os.fork() == 0:
    (received,) = array.array("i", theirs.recvmsg(1, 100)[1][0][2])
    os._exit(0 if model(received) == model(copy) else 1)
socket.send_fds(ours, [b"x"], [copy])
assert os.wait()[1] == 0
os.set_inheritable(copy, True)
code = "import fcntl; a = bytearray(16); a[4] = 1; fcntl.ioctl(%d, 0xC0106440, a); print(a[9])" % copy
done = subprocess.run([sys.executable, "-c", code], close_fds=False, capture_output=True, check=True)
assert done.stdout == b"128\\n"
errors = []
threads = [threading.Thread(target=lambda: [model(copy) for _ in range(200)]) for _ in range(4)]
[t.start() for t in threads], [t.join() for t in threads]
try:
    model(copy, 1)
except OSError as error:
    print(error.errno)
"""
    )
    assert (outcome.code, outcome.out, outcome.err) == (0, "0x8000\n6\n", "")


def test_what_a_program_leaves_behind_is_waited_for(run: Run, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    outcome = run("sh", "-c", f"(sleep 1; ls /dev/dri >{mark}) >/dev/null 2>&1 & exit 3")
    assert outcome.code == 3
    assert "left processes behind" in outcome.err
    assert mark.read_text() == "renderD128\n"


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _wait(condition: object, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.02)


TREE = """
import os, subprocess, sys, time
pids = [os.getpid()]
for _ in range(2):
    pids.append(subprocess.Popen(["setsid", "sleep", "1000"]).pid)
pid = os.fork()
if pid == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    open(sys.argv[1] + ".daemon", "w").write(str(os.getpid()))
    time.sleep(1000)
os.wait()
while not os.path.exists(sys.argv[1] + ".daemon"): time.sleep(0.01)
open(sys.argv[1], "w").write(" ".join(map(str, pids + [int(open(sys.argv[1] + ".daemon").read() or 0)])))
time.sleep(1000)
"""


@pytest.mark.parametrize("victim", ["supervisor", "warden"])
def test_the_tree_dies_with_its_keeper(watching: None, tmp_path: Path, victim: str) -> None:
    place = tmp_path / "pids"
    command = [*EXEC, "--", sys.executable, "-c", TREE, str(place)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    _wait(lambda: place.exists() and len(place.read_text().split()) == 4)
    pids = [int(word) for word in place.read_text().split()]
    if victim == "warden":
        parent = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(parent, signal.SIGKILL)
    else:
        process.kill()
    _, remarks = process.communicate(timeout=30)
    _wait(lambda: not any(map(_alive, pids)))
    assert process.returncode == (125 if victim == "warden" else -signal.SIGKILL)
    assert ("was killed" in remarks) is (victim == "warden")


def test_a_signal_sent_to_us_reaches_the_program(watching: None) -> None:
    script = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(9)); print('ready', flush=True)"
    script += "; time.sleep(60)"
    with subprocess.Popen([*EXEC, "--", sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.wait(30) == 9


def _narrow_program(place: Path) -> None:
    """A 32-bit ELF file whose only code is exit(5)."""
    code = b"\xb8\x01\x00\x00\x00\xbb\x05\x00\x00\x00\xcd\x80"  # mov eax, 1; mov ebx, 5; int 0x80
    start, size = 0x08048000, 52 + 32 + len(code)
    head = (
        b"\x7fELF\x01\x01\x01"
        + bytes(9)
        + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, start + 84, 52, 0, 0, *(52, 32, 1), 0, 0, 0)
    )
    place.write_bytes(head + struct.pack("<8I", 1, 0, start, start, size, size, 5, 4096) + code)
    place.chmod(0o755)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="its 32-bit programs are x86's")
def test_a_32_bit_program_that_starts_later_is_killed_with_a_line(run: Run, tmp_path: Path) -> None:
    place = tmp_path / "narrow"
    _narrow_program(place)
    try:
        assert subprocess.run([place], timeout=10).returncode == 5
    except OSError:
        pytest.skip("this kernel runs no 32-bit programs")
    outcome = run("sh", "-c", f"{place}; echo $?")
    assert (outcome.code, outcome.out) == (0, "137\n")
    assert outcome.err.startswith(f"hornito: {place}: is a 32-bit program, and was killed")


def test_a_program_finds_signals_ignored_and_blocked_as_without_us(run: Run) -> None:
    command = ["grep", "-E", "Sig(Ign|Blk)", "/proc/self/status"]
    alone = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run(*command).out == alone.stdout


TERMINAL = """
import os, pty, signal, sys
pid, terminal = pty.fork()
if pid == 0:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # jobs in the background ignore it, and all that they start
    os.execv(sys.argv[1], sys.argv[1:])
shown = b""
while b"ready" not in shown:
    shown += os.read(terminal, 100)
os.write(terminal, b"\\x03")
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_an_interrupt_from_the_terminal_ends_the_program(watching: None) -> None:
    watched = [*EXEC, "--", "sh", "-c", "echo ready; exec sleep 60"]
    done = subprocess.run([sys.executable, "-c", TERMINAL, *watched], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"{128 + signal.SIGINT}\n")
