# SPDX-License-Identifier: MIT
"""How long do whole ``hornito`` commands take, and how much memory?"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from benchmarks.figures import HORNITO, Figure, child_environment, figure
from benchmarks.networks import LABELS, PICTURE, Network

RUNS = 10


def process(arguments: Sequence[str], cache: str) -> tuple[float, float]:
    """Wall seconds and peak resident megabytes of a whole ``hornito`` process."""
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
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def figures(network: Network, cache: str, runs: int = RUNS) -> list[Figure]:
    """Commands about one network, in a warm cache folder."""
    found = []
    for name in ("plan", "inspect"):
        times = [process([name, str(network.path)], cache)[0] for _ in range(runs)]
        found.append(figure(f"{network.name}: hornito {name}, whole process", times, "s"))
    return found


def general(network: Network | None, runs: int = RUNS) -> list[Figure]:
    """``label-image`` of the built-in classifier, and of MobileNetV1 where it is there: nothing cached, then warm."""
    with tempfile.TemporaryDirectory() as cache:
        first = process(["label-image"], cache)[0]
        builtin = [process(["label-image"], cache) for _ in range(runs)]
        found = [
            figure("the very first hornito label-image, nothing cached", [first], "s", "bar 15 s, aim 8 s"),
            figure("hornito label-image, the built-in classifier", [seconds for seconds, _ in builtin], "s"),
            figure("  its memory", [megabytes for _, megabytes in builtin], "MB"),
        ]
        if network is not None:
            beside = {"--image": PICTURE, "--labels": LABELS}
            command = ["label-image", "--model", str(network.path)]
            for option, file in beside.items():
                command += [option, str(network.path.with_name(file))]
            process(command, cache)
            warm = [process(command, cache) for _ in range(runs)]
            times, memory = [seconds for seconds, _ in warm], [megabytes for _, megabytes in warm]
            found.append(figure(f"hornito label-image, {network.name}", times, "s", "bar 3 s, aim 1.5 s"))
            found.append(figure("  its memory", memory, "MB", "bar 500 MB, aim 300 MB"))
        helps = [process(["--help"], cache)[0] for _ in range(runs)]
        return [*found, figure("hornito --help, whole process", helps, "s", "bar 0.3 s")]
