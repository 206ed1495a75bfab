# SPDX-License-Identifier: MIT
"""What does ``hornito exec`` cost? Each notified call, idle and while four clients run jobs; a program of many files.

usage: python benchmarks/exec.py [--calls N] [--json]
"""

import argparse
import contextlib
import ctypes
import json
import os
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXEC = [sys.executable, "-m", "hornito.cli.main", "exec", "--"]
ROOT = Path(__file__).parents[1]
ELSEWHERE = "/usr/lib/python3/dist-packages/none/such.py"
CLIENTS = 4
RUNS = 7


def measure(call: Callable[[], object], count: int) -> dict[str, float]:
    """Median and 99th percentile of a call, in microseconds."""
    times = []
    for _ in range(count):
        begin = time.perf_counter_ns()
        call()
        times.append(time.perf_counter_ns() - begin)
    times.sort()
    return {"median": times[count // 2] / 1000, "p99": times[count * 99 // 100] / 1000}


def quiet(call: Callable[[], object]) -> Callable[[], object]:
    def silent() -> None:
        with contextlib.suppress(OSError):
            call()

    return silent


def inside(count: int) -> dict[str, Any]:
    """Run below ``hornito exec``: what each call takes. Before a node is open, less has to be looked at."""
    sys.path.insert(0, str(ROOT))
    from tests.supervisor.fuzzer import CPU_PREP, GET_PARAM, NODE, Client, libc

    null = os.open("/dev/null", os.O_RDONLY)
    elsewhere = {
        "openat, elsewhere": quiet(lambda: os.open(ELSEWHERE, os.O_RDONLY)),
        "stat, elsewhere": quiet(lambda: os.stat(ELSEWHERE)),
        "access, elsewhere": lambda: os.access(ELSEWHERE, os.R_OK),
        "readlink, elsewhere": quiet(lambda: os.readlink(ELSEWHERE)),
        "fstat, no node open": lambda: os.fstat(null),
        "getppid, not notified": os.getppid,
    }
    results = {name: measure(call, count) for name, call in elsewhere.items()}
    client = Client(1)
    fd = client.fd()
    param = ctypes.create_string_buffer(struct.pack("<IIQ", 0, 1, 0), 16)
    prep = ctypes.create_string_buffer(struct.pack("<IIqq", client.handle(fd), 3, 1 << 40, 0), 24)
    there = {
        "ioctl GET_PARAM": lambda: libc.ioctl(fd, GET_PARAM, ctypes.addressof(param)),
        "ioctl CPU_PREP, idle buffer": lambda: libc.ioctl(fd, CPU_PREP, ctypes.addressof(prep)),
        "fstat of the node": lambda: os.fstat(fd),
        "fstat, a node is open": lambda: os.fstat(null),
        "stat of the node": lambda: os.stat(NODE),
        "open and close of the node": lambda: os.close(os.open(NODE, os.O_RDWR)),
    }
    return results | {name: measure(call, count) for name, call in there.items()}


def load() -> None:
    """A client that runs jobs for ever."""
    sys.path.insert(0, str(ROOT))
    from tests.supervisor.fuzzer import CPU_PREP, SUBMIT, Client

    client = Client(os.getpid())
    fd = client.fd()
    handle = client.handle(fd)
    submission = client.submit([(3, handle, client.handles[fd][handle])])
    while True:
        client.call(fd, SUBMIT, submission)
        client.call(fd, CPU_PREP, struct.pack("<IIqq", handle, 3, 1 << 40, 0))


def under_exec(mode: str, count: int) -> dict[str, Any]:
    command = [*EXEC, sys.executable, __file__, mode, "--calls", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def loaded(count: int) -> dict[str, Any]:
    """Run below ``hornito exec``: the same beside other clients."""
    clients = [subprocess.Popen([sys.executable, __file__, "load"]) for _ in range(CLIENTS)]
    try:
        time.sleep(2)
        return inside(count)
    finally:
        for client in clients:
            client.kill()
            client.wait()


def imports() -> dict[str, float]:
    """Seconds of a program that opens many files, alone and under exec, measured within: the median of some runs."""
    code = "import time; b = time.perf_counter(); import numpy; print(time.perf_counter() - b)"
    times: dict[str, list[float]] = {"alone": [], "exec": []}
    for _ in range(RUNS):
        for name, before in (("alone", []), ("exec", EXEC)):
            done = subprocess.run([*before, sys.executable, "-c", code], capture_output=True, text=True, check=True)
            times[name].append(float(done.stdout))
    best = {name: statistics.median(values) for name, values in times.items()}
    return best | {"more": best["exec"] / best["alone"] - 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("mode", nargs="?", default="all", choices=["all", "inside", "loaded", "load"])
    parser.add_argument("--calls", type=int, default=20_000, metavar="N")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.mode == "load":
        load()
    if options.mode in ("inside", "loaded"):
        print(json.dumps(inside(options.calls) if options.mode == "inside" else loaded(options.calls // 10)))
        return
    found = {"idle": under_exec("inside", options.calls), "loaded": under_exec("loaded", options.calls)}
    spent = imports()
    if options.json:
        print(json.dumps({"microseconds": found, "import numpy": spent}, indent=2))
        return
    print(f"{'microseconds':30} {'idle: median':>14} {'p99':>8} {'4 clients: median':>18} {'p99':>8}")
    for name, idle in found["idle"].items():
        busy = found["loaded"][name]
        print(f"{name:30} {idle['median']:14.1f} {idle['p99']:8.1f} {busy['median']:18.1f} {busy['p99']:8.1f}")
    print(f"import numpy: {spent['alone']:.3f} s alone, {spent['exec']:.3f} s under exec: {spent['more']:+.0%}")


if __name__ == "__main__":
    main()
