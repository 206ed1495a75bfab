# SPDX-License-Identifier: MIT
"""How long is ``Interpreter.invoke()`` on the virtual NPU, against LiteRT's in the same process?

Everything takes turns, with a new input each time, so that ratios hold on a machine whose speed drifts. Each number of
threads has a process of its own: libraries read how many they may have when they are loaded.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, child_environment, figure
from benchmarks.networks import Network

CHIPS = {"version 7": "a311d", "version 8": "imx8mp"}
BASE, REFERENCE = "LiteRT, XNNPACK", "LiteRT, reference kernels"
UNCOUNTED = 2  # the first runs fill caches


@dataclass(frozen=True)
class Course:
    """One runner's counted runs, in seconds of the clock and of this process's processor time; ``first``: what its
    first run took of the latter."""

    clock: list[float]
    processor: list[float]
    first: float

    def times(self, threads: int) -> list[float]:
        """What ratios are made of: processor time does not change with other work on the machine, but says nothing of
        what a second thread brings."""
        return self.processor if threads == 1 else self.clock


@dataclass(frozen=True)
class Measured:
    """All runners of one network at one number of threads. ``memory``: megabytes at most, of all of them together."""

    courses: dict[str, Course]
    threads: int
    memory: float

    def ratios(self, name: str) -> list[float]:
        """A runner's times in terms of LiteRT's in the same turn."""
        base = self.courses[BASE].times(self.threads)
        return [mine / theirs for mine, theirs in zip(self.courses[name].times(self.threads), base, strict=False)]

    def least_ratio(self, name: str) -> float:
        """The least time in terms of LiteRT's least: what other work on the machine disturbs least."""
        return min(self.courses[name].times(self.threads)) / min(self.courses[BASE].times(self.threads))


def measure(model: Path, threads: int, runs: int, reference: bool = False) -> Measured:
    """Measure in a child process."""
    command = [sys.executable, "-m", "benchmarks.inference", str(model), "--threads", str(threads), "--runs", str(runs)]
    command += ["--reference"] if reference else []
    done = subprocess.run(command, stdout=subprocess.PIPE, env=child_environment(threads), check=True)
    found = json.loads(done.stdout)
    return Measured({name: Course(**course) for name, course in found["courses"].items()}, threads, found["memory"])


def figures(network: Network, runs: int) -> list[Figure]:
    """A network's lines of the table: times are the processor's at one thread, the clock's at two."""
    found = []
    for threads in (1, 2):
        measured = measure(network.path, threads, runs, reference=threads == 1)
        title = f"{network.name}, {threads} thread{'s' * (threads > 1)}"
        for name, course in measured.courses.items():
            found.append(figure(f"{title}: {name}", [1e3 * seconds for seconds in course.times(threads)], "ms"))
            if name != BASE:
                bar = "bar 3 x, aim 2 x" if name in CHIPS and threads == 1 else ""
                found.append(figure(f"{title}: {name} / LiteRT", measured.ratios(name), "x", bar))
            if name in CHIPS and threads == 1:
                found.append(figure(f"{title}: {name}, first inference, processor time", [course.first], "s"))
    return found


def _inside(model: Path, threads: int, runs: int, reference: bool) -> dict[str, Any]:
    """Measure in this process."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter as LiteRT
    from ai_edge_litert.interpreter import OpResolverType

    from hornito import Interpreter

    content = model.read_bytes()
    runners: dict[str, Any] = {BASE: LiteRT(model_content=content, num_threads=threads)}
    for name, chip in CHIPS.items():
        runners[name] = Interpreter(model_content=content, device="virtual", chip=chip, num_threads=threads)
    few = max(3, runs // 5)
    if reference:
        resolver = OpResolverType.BUILTIN_REF
        runners[REFERENCE] = LiteRT(model_content=content, num_threads=threads, experimental_op_resolver_type=resolver)
    for runner in runners.values():
        runner.allocate_tensors()
    random = np.random.default_rng(1)
    details = runners[BASE].get_input_details()
    courses: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in runners}
    for turn in range(UNCOUNTED + runs):
        values = [_noise(random, detail) for detail in details]
        for name, runner in runners.items():
            if name == REFERENCE and turn >= UNCOUNTED + few:
                continue
            for detail, value in zip(details, values, strict=True):
                runner.set_tensor(detail["index"], value)
            clock, processor = time.perf_counter(), time.process_time()
            runner.invoke()
            courses[name][1].append(time.process_time() - processor)
            courses[name][0].append(time.perf_counter() - clock)
    return {
        "courses": {
            name: {"clock": clock[UNCOUNTED:], "processor": used[UNCOUNTED:], "first": used[0]}
            for name, (clock, used) in courses.items()
        },
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _noise(random: Any, detail: dict[str, Any]) -> Any:
    import numpy as np

    if np.issubdtype(detail["dtype"], np.integer):
        info = np.iinfo(detail["dtype"])
        return random.integers(info.min, info.max, detail["shape"], dtype=detail["dtype"], endpoint=True)
    return random.random(detail["shape"]).astype(detail["dtype"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one network's runs as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--reference", action="store_true", help="LiteRT's reference kernels too, a few times")
    options = parser.parse_args(arguments)
    print(json.dumps(_inside(options.model, options.threads, options.runs, options.reference)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
