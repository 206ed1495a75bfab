# SPDX-License-Identifier: MIT
"""How do verbs that look at one picture run a model, and what do they tell of the run?"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hornito.cli.options import counted, natural, positive, remark


@dataclass(frozen=True)
class TimedRun:
    """What a model ran on, and how long that took, in ms: until the device was there, until the model was compiled
    (``from_cache``: had been, by an earlier start), and a run on average of ``runs``."""

    device: str
    load: float
    compile: float
    from_cache: bool
    average: float
    runs: int

    def as_json(self) -> dict[str, Any]:
        times = {"load": self.load, "compile": self.compile, "average": self.average}
        return {"device": self.device, "times_ms": times, "from_cache": self.from_cache, "runs": self.runs}

    def say(self) -> None:
        """The same for a person, on stderr."""
        remark(f"device: {self.device}")
        remark(f"load: {self.load:.1f} ms")
        remark(f"compile: {self.compile:.1f} ms{', from the cache' if self.from_cache else ''}")
        remark(f"average: {self.average:.1f} ms over {counted(self.runs, 'run')}")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """``--count`` and ``--warmup-runs``."""
    parser.add_argument("-c", "--count", metavar="N", type=positive, default=1, help="run so many times (default: 1)")
    parser.add_argument("--warmup-runs", metavar="N", type=natural, default=0, help="runs not counted, first (0)")


def timed_run(interpreter: Any, begin: float, feed: Callable[[], None], options: argparse.Namespace) -> TimedRun:
    """Run what ``feed`` sets as input; ``begin``: when work on the model began, by ``time.perf_counter``."""
    interpreter.open_device()
    loaded = time.perf_counter()
    interpreter.allocate_tensors()
    compiled = time.perf_counter()
    feed()
    for _ in range(options.warmup_runs):
        interpreter.invoke()
    ready = time.perf_counter()
    for _ in range(options.count):
        interpreter.invoke()
    average = (time.perf_counter() - ready) / options.count
    device, cached = device_line(interpreter), interpreter.from_cache
    return TimedRun(device, 1000 * (loaded - begin), 1000 * (compiled - loaded), cached, 1000 * average, options.count)


def device_line(interpreter: Any) -> str:
    """What a model runs on, for a person."""
    if not interpreter.uses_npu:
        return "LiteRT on the CPU"
    return f"{interpreter.device.name} ({interpreter.device.chip.name})"
