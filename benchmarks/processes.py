# SPDX-License-Identifier: MIT
"""How long do whole ``hornito`` commands take, and how much memory?"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.figures import HORNITO, Figure, child_environment, figure
from benchmarks.networks import LABELS, PICTURE, Network

RUNS = 10


class Taken(NamedTuple):
    """What a process took: seconds of the clock; megabytes at most; seconds of processors, its children's too."""

    clock: float
    memory: float
    processor: float


def process(arguments: Sequence[str], cache: str) -> Taken:
    """Run a whole ``hornito`` process."""
    begin = time.perf_counter()
    child = subprocess.Popen(
        [*HORNITO, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=child_environment(HORNITO_CACHE=cache),
    )
    assert child.stderr is not None
    remarks = child.stderr.read().decode()
    child.stderr.close()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"hornito {' '.join(arguments)} failed: {remarks}")
    return Taken(time.perf_counter() - begin, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime)


def _lines(what: str, taken: Sequence[Taken], bar: str = "", memory_bar: str = "") -> list[Figure]:
    """The clock's time, and what does not depend on other work of the machine: the processors', and memory."""
    return [
        figure(what, [each.clock for each in taken], "s", bar),
        figure("  processor time", [each.processor for each in taken], "s"),
        figure("  memory", [each.memory for each in taken], "MB", memory_bar),
    ]


def figures(network: Network, cache: str, runs: int = RUNS) -> list[Figure]:
    """Commands about one network, in a warm cache folder."""
    found = []
    for name in ("plan", "inspect"):
        taken = [process([name, str(network.path)], cache) for _ in range(runs)]
        found += _lines(f"{network.name}: hornito {name}, whole process", taken)
    return found


def general(network: Network | None, runs: int = RUNS) -> list[Figure]:
    """``label-image`` of the built-in classifier, and of MobileNetV1 where it is there: nothing cached, then warm."""
    with tempfile.TemporaryDirectory() as cache:
        first = process(["label-image"], cache)
        builtin = [process(["label-image"], cache) for _ in range(runs)]
        found = _lines("the very first hornito label-image, nothing cached", [first], "bar 15 s, aim 8 s")
        found += _lines("hornito label-image, the built-in classifier", builtin)
        if network is not None:
            command = ["label-image", "--model", str(network.path)]
            for option, file in (("--image", PICTURE), ("--labels", LABELS)):
                command += [option, str(network.path.with_name(file))]
            process(command, cache)
            warm = [process(command, cache) for _ in range(runs)]
            bars = "bar 3 s, aim 1.5 s", "bar 500 MB, aim 300 MB"
            found += _lines(f"hornito label-image, {network.name}", warm, *bars)
        helps = [process(["--help"], cache) for _ in range(runs)]
        return found + _lines("hornito --help, whole process", helps, "bar 0.3 s")
