# SPDX-License-Identifier: MIT
"""How is a measurement summed up and printed? What all benchmarks share."""

import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HORNITO = (sys.executable, "-m", "hornito.cli.main")
ROOT = Path(__file__).parents[1]


def thread_settings(threads: int) -> dict[str, str]:
    """What the libraries below read, when they are loaded, of how many threads they may have."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {name: str(threads) for name in names}


ONE_THREAD = thread_settings(1)


@dataclass(frozen=True)
class Figure:
    """One line of the table: median, least and greatest of ``runs``, in ``unit``; ``bar`` is the most it may be."""

    what: str
    median: float
    least: float
    greatest: float
    runs: int
    unit: str
    bar: str = ""

    def line(self) -> str:
        spread = f"({self.least:.3g} .. {self.greatest:.3g}, {self.runs} runs)"
        return f"{self.what:<66} {self.median:>8.3g} {self.unit:<3} {spread:<30} {self.bar}".rstrip()


def figure(what: str, values: Sequence[float], unit: str, bar: str = "") -> Figure:
    """Summarise measurements."""
    return Figure(what, statistics.median(values), min(values), max(values), len(values), unit, bar)


def timed(action: Callable[[], Any]) -> float:
    """Seconds that an action takes."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def child_environment(threads: int = 1, **more: str) -> dict[str, str]:
    """Of a child process of ours: it finds this folder's modules, whatever folder it runs in."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path, **thread_settings(threads), **more}


def processor() -> str:
    """What this processor calls itself, as exactly as it does."""
    fields: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    name = fields.get("model name") or fields.get("CPU part") or platform.machine()
    numbers = [fields[key] for key in ("cpu family", "model") if key in fields]
    return f"{name} ({' '.join(numbers)})" if numbers else name
