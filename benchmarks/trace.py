# SPDX-License-Identifier: MIT
"""What does recording cost? Runs a model under ``hornito exec`` with and without ``--trace``, taking turns.

Times are taken within the program, around its inferences, each with a new input; medians of the runs. "whole" is the
time from start to end, waiting for the recording to be written included.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

EXEC = [sys.executable, "-m", "hornito.cli.main", "exec"]
NODE = "/dev/dri/renderD128"


def inside(model: str, count: int) -> None:
    """Run below ``hornito exec``: prints seconds, those of the clock and those of this process."""
    from hornito import Interpreter

    with Interpreter(model, device=NODE) as interpreter:
        interpreter.allocate_tensors()
        given = interpreter.get_input_details()[0]
        random = np.random.default_rng(1)
        inputs = [random.integers(0, 256, given["shape"]).astype(given["dtype"]) for _ in range(count + 1)]
        interpreter.set_tensor(given["index"], inputs.pop())
        interpreter.invoke()  # decodes the coefficients
        begin = time.perf_counter()
        for value in inputs:
            interpreter.set_tensor(given["index"], value)
            interpreter.invoke()
        print(time.perf_counter() - begin)


def run(options: argparse.Namespace, more: list[str]) -> tuple[float, float]:
    """Seconds of the inferences, and of all."""
    begin = time.perf_counter()
    command = [*EXEC, *more, "--", sys.executable, __file__, "--inside", options.model, "--count", str(options.count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout), time.perf_counter() - begin


def measure(options: argparse.Namespace) -> dict[str, Any]:
    plain: list[tuple[float, float]] = []
    traced: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "F.trace"
        for _ in range(options.runs):
            plain.append(run(options, []))
            traced.append(run(options, ["--trace", str(path)]))
        size = os.path.getsize(path)
    times = [
        (statistics.median(p[which] for p in plain), statistics.median(t[which] for t in traced)) for which in (0, 1)
    ]
    best = min(p[0] for p in plain), min(t[0] for t in traced)
    return {
        "inference_ms": 1000 * times[0][0] / options.count,
        "traced_inference_ms": 1000 * times[0][1] / options.count,
        "more": times[0][1] / times[0][0] - 1,
        "more_of_the_best": best[1] / best[0] - 1,
        "whole_s": times[1][0],
        "traced_whole_s": times[1][1],
        "bytes": size,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--count", type=int, default=100, metavar="N", help="inferences a run")
    parser.add_argument("--runs", type=int, default=5, metavar="N")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.inside:
        inside(options.model, options.count)
        return
    found = measure(options)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"inference: {found['inference_ms']:.2f} ms, recorded {found['traced_inference_ms']:.2f} ms")
    print(f"more: {found['more']:+.1%} (of the best runs {found['more_of_the_best']:+.1%})")
    print(f"whole run: {found['whole_s']:.2f} s, recorded {found['traced_whole_s']:.2f} s; {found['bytes']:,} bytes")


if __name__ == "__main__":
    main()
