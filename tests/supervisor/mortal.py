# SPDX-License-Identifier: MIT
"""What stays behind when clients die? Arguments: seed, how many. Starts fuzzing clients one after the other and kills
each at a random moment, two at a time; then looks whether the supervisor holds as much as before the first."""

import os
import random
import signal
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.supervisor.fuzzer import CPU_PREP, GEM_CLOSE, GEM_NEW, NODE, SUBMIT, WC, Client  # noqa: E402

_ALL_MEMORY = 4 << 30
_PATIENCE = 20  # seconds


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def holds(pid: int) -> tuple[int, int]:
    """Descriptors and threads of a process."""
    return len(os.listdir(f"/proc/{pid}/fd")), len(os.listdir(f"/proc/{pid}/task"))


def start(seed: int) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            client = Client(seed)
            while True:
                client.step()
        except AssertionError as error:
            print("wrong answer:", error, flush=True)
        os._exit(1)
    return pid


def run_one_job() -> None:
    """And wait for its end."""
    fd = os.open(NODE, os.O_RDWR | os.O_CLOEXEC)
    client = Client(0)
    client.handles[fd] = {}
    handle = client.handle(fd)
    assert client.call(fd, SUBMIT, client.submit([(3, handle, client.handles[fd][handle])])) == 0
    assert client.call(fd, CPU_PREP, struct.pack("<IIqq", handle, 3, 1 << 40, 0)) == 0
    os.close(fd)


def all_memory_is_free() -> bool:
    """Nobody's buffers are left: we can have all of it."""
    fd = os.open(NODE, os.O_RDWR | os.O_CLOEXEC)
    client = Client(0)
    ok = client.call(fd, GEM_NEW, struct.pack("<QII", _ALL_MEMORY, WC, 0)) == 0
    if ok:
        client.call(fd, GEM_CLOSE, struct.pack("<II", client.word(12), 0))
    os.close(fd)
    return ok


def main(seed: int, count: int) -> None:
    chance = random.Random(seed)
    supervisor = parent(os.getppid())
    run_one_job()  # whatever is made once is there afterwards
    time.sleep(0.5)
    before = holds(supervisor)
    running: list[int] = []
    for number in range(count):
        running.append(start(seed + number))
        time.sleep(chance.uniform(0, 0.03))
        if len(running) == 2:
            victim = running.pop(chance.randrange(2))
            os.kill(victim, signal.SIGKILL)
            assert os.waitpid(victim, 0)[1] == signal.SIGKILL
    for victim in running:
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
    end = time.monotonic() + _PATIENCE
    free = False
    while (holds(supervisor) != before or not free) and time.monotonic() < end:
        time.sleep(0.1)  # what is given back is free some time later: after the jobs before it
        free = all_memory_is_free()
    print("before:", *before, "after:", *holds(supervisor), "memory:", "free" if free else "taken")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
