# SPDX-License-Identifier: MIT
"""How long does it take to compile a network, beside Vela where there is one, and to start again with what is kept?

    python -m benchmarks --part compile

$VELA may name Arm's compiler for its own NPUs (the package ethos-u-vela, in an environment of its own): it is then run
in turn with ours, as a whole process. A warm start is what a program waits for once its imports are done: Interpreter,
allocate_tensors and the first invoke, with filled caches, each in a process of its own.
"""

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, child_environment, figure, timed
from benchmarks.inference import CHIPS
from benchmarks.networks import Network
from benchmarks.processes import process

VELA = "VELA"
RUNS = 10
WARM_BAR = "bar 0.25 s"


def figures(network: Network, runs: int = RUNS) -> Iterator[Figure]:
    """A network's lines of the table."""
    yield from _in_memory(network, runs)
    yield from _commands(network, runs)
    yield from _starts(network, runs)


def _in_memory(network: Network, runs: int) -> Iterator[Figure]:
    """From a model in memory to submissions, with one thread and with as many as there are processors."""
    from hornito.compiler import Options, compile_plan
    from hornito.hardware.chips import find_chip

    source = network.path.read_bytes()
    many = len(os.sched_getaffinity(0))
    for version, chip in CHIPS.items():
        options = Options(find_chip(chip))
        times: dict[int, list[float]] = {1: [], many: []}
        for _ in range(1 + runs):
            for workers in times:
                plan = _planned(source, options)
                planned = timed(functools.partial(_planned, source, options))
                encoded = timed(functools.partial(compile_plan, plan, workers=workers))
                times[workers].append(planned + encoded)
        for workers, found in times.items():
            threads = f"{workers} thread{'s' * (workers > 1)}"
            title = f"{network.name}, {version}: compile in memory, {threads}"
            yield figure(title, [1e3 * each for each in found[1:]], "ms")


def _planned(source: bytes, options: Any) -> Any:
    from hornito.compiler import make_plan
    from hornito.model import read_model

    return make_plan(read_model(source), options)


def _commands(network: Network, runs: int) -> Iterator[Figure]:
    """``hornito compile`` as a whole process: nothing kept, in turn with Vela; and with what was compiled before."""
    vela = os.environ.get(VELA)
    with tempfile.TemporaryDirectory() as folder:
        for version, chip in CHIPS.items():
            command = ["compile", str(network.path), "--chip", chip, "-o", str(Path(folder) / "o.npz")]
            ours, theirs, kept = [], [], []
            for turn in range(1 + runs):
                with tempfile.TemporaryDirectory() as cache:
                    ours.append(process(command, cache)[0])
                    if vela:
                        theirs.append(_vela(vela, network.path, folder))
                    if turn < RUNS:
                        kept.append(process(command, cache)[0])
            title = f"{network.name}, {version}: hornito compile"
            yield figure(f"{title}, nothing kept", ours[1:], "s")
            if vela:
                yield figure(f"{network.name}: vela", theirs[1:], "s")
                ratios = [mine / other for mine, other in zip(ours[1:], theirs[1:], strict=True)]
                yield figure(f"{title} / vela", ratios, "x", "bar 1 x")
            yield figure(f"{title}, compiled before", kept[1:], "s")


def _vela(program: str, model: Path, folder: str) -> float:
    begin = time.perf_counter()
    subprocess.run([program, "--output-dir", folder, str(model)], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begin


def _starts(network: Network, runs: int) -> Iterator[Figure]:
    """Warm starts, by the clock and by processor time, which other work on the machine disturbs less."""
    with tempfile.TemporaryDirectory() as cache:
        for version, chip in CHIPS.items():
            found = [_start(network.path, chip, cache) for _ in range(2 + runs)][2:]
            title = f"{network.name}, {version}: warm start"
            yield figure(title, [sum(one["clock"]) for one in found], "s", WARM_BAR)
            yield figure(f"{title}, processor time", [sum(one["processor"]) for one in found], "s")
            for number, step in enumerate(("Interpreter", "allocate_tensors", "first invoke")):
                yield figure(f"  of it {step}", [1e3 * one["processor"][number] for one in found], "ms")


def _start(model: Path, chip: str, cache: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.compilation", str(model), chip]
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child_environment(HORNITO_CACHE=cache),
        check=True,
    )
    return dict(json.loads(done.stdout))


def _inside(model: Path, chip: str) -> dict[str, list[float]]:
    """One start in this process: seconds of the clock and of processor time for each of its three steps."""
    import ai_edge_litert.interpreter  # noqa: F401
    import llvmlite.binding  # noqa: F401

    import hornito.virtual.kernel
    import hornito.virtual.npu.executor
    import hornito.virtual.workers.process  # noqa: F401
    from hornito import Interpreter

    marks = [(time.perf_counter(), time.process_time())]

    def mark() -> None:
        marks.append((time.perf_counter(), time.process_time()))

    interpreter = Interpreter(str(model), device="virtual", chip=chip, num_threads=1)
    mark()
    interpreter.allocate_tensors()
    mark()
    interpreter.invoke()
    mark()
    steps = list(zip(marks, marks[1:], strict=False))
    return {
        name: [after[part] - before[part] for before, after in steps]
        for part, name in enumerate(("clock", "processor"))
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("chip")
    options = parser.parse_args()
    print(json.dumps(_inside(options.model, options.chip)))
