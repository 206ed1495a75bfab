# SPDX-License-Identifier: MIT
"""What does recording cost, and how soon do the verbs of ``hornito trace`` say something?

Runs a model under ``hornito exec`` with and without ``--trace``, taking turns. Times are taken within the program,
around its inferences, each with a new input; the ratio is the median of the pairs'. "whole" is the time from start to
end, waiting for the recording to be written included. Processor time is that of all processes together. Then it records
one inference and measures how soon the verbs print a first line, and how soon Chromium paints the report.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
HORNITO = [sys.executable, "-m", "hornito.cli.main"]
NODE = "/dev/dri/renderD128"
VERBS = ("show", "coverage")
LOOKS = 5  # at each verb, and at the report


@dataclass(frozen=True)
class Run:
    """Seconds of the inferences, of the median one, of the whole run, and of processors."""

    inferences: float
    median: float
    whole: float
    processors: float


def inside(model: str, count: int) -> None:
    """Run below ``hornito exec``: prints the seconds of all inferences, and of the median one."""
    from hornito import Interpreter

    with Interpreter(model, device=NODE) as interpreter:
        interpreter.allocate_tensors()
        given = interpreter.get_input_details()[0]
        random = np.random.default_rng(1)
        inputs = [random.integers(0, 256, given["shape"]).astype(given["dtype"]) for _ in range(count + 1)]
        interpreter.set_tensor(given["index"], inputs.pop())
        interpreter.invoke()  # decodes the coefficients
        times = [time.perf_counter()]
        for value in inputs:
            interpreter.set_tensor(given["index"], value)
            interpreter.invoke()
            times.append(time.perf_counter())
        median = statistics.median(after - before for before, after in pairwise(times)) if inputs else 0.0
        print(times[-1] - times[0], median)


def run(options: argparse.Namespace, count: int, *more: str) -> Run:
    """Once under ``hornito exec``."""
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    program = [sys.executable, __file__, "--inside", options.model, "--count", str(count)]
    done = subprocess.run([*HORNITO, "exec", *more, "--", *program], stdout=subprocess.PIPE, text=True, check=True)
    whole, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    processors = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    total, median = map(float, done.stdout.split())
    return Run(total, median, whole, processors)


def recording_costs(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Runs with and without recording, in turns."""
    path = folder / "many.trace"
    plain: list[Run] = []
    traced: list[Run] = []
    sizes: list[int] = []
    for _ in range(options.runs):
        plain.append(run(options, options.count))
        path.unlink(missing_ok=True)
        traced.append(run(options, options.count, "--trace", str(path)))
        sizes.append(path.stat().st_size)
    ratios = sorted(t.inferences / p.inferences - 1 for p, t in zip(plain, traced, strict=True))
    return {
        "inference_ms": 1000 * statistics.median(p.inferences for p in plain) / options.count,
        "traced_inference_ms": 1000 * statistics.median(t.inferences for t in traced) / options.count,
        "more": statistics.median(ratios),
        "more_of_the_median": statistics.median(t.median / p.median - 1 for p, t in zip(plain, traced, strict=True)),
        "more_least": ratios[0],
        "more_most": ratios[-1],
        "whole_s": statistics.median(p.whole for p in plain),
        "traced_whole_s": statistics.median(t.whole for t in traced),
        "processor_ms": 1000 * statistics.median(p.processors for p in plain) / options.count,
        "traced_processor_ms": 1000 * statistics.median(t.processors for t in traced) / options.count,
        "bytes": int(statistics.median(sizes)),
    }


def first_line(command: list[str]) -> float:
    """Seconds until a verb prints it; the rest is not waited for."""
    begin = time.perf_counter()
    with subprocess.Popen([*HORNITO, *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        process.stdout.readline()
        return time.perf_counter() - begin


def verbs(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """How soon the verbs say something of one inference, and how large it is."""
    recording, golden, page = folder / "one.trace", folder / "one.npz", folder / "one.html"
    run(options, 0, "--trace", str(recording))
    subprocess.run([*HORNITO, "compile", options.model, "-o", str(golden)], check=True, capture_output=True)
    commands = {f"{verb} {path.suffix}": ["trace", verb, str(path)] for verb in VERBS for path in (recording, golden)}
    commands["diff"] = ["trace", "diff", str(recording), str(golden)]
    lines = {name: statistics.median(first_line(command) for _ in range(LOOKS)) for name, command in commands.items()}
    subprocess.run([*HORNITO, "trace", "report", str(recording), "-o", str(page)], check=True, capture_output=True)
    return {
        "one_bytes": recording.stat().st_size,
        "first_line_s": lines,
        "report_bytes": page.stat().st_size,
        "first_paint_ms": first_paint(page, folder),
    }


def first_paint(page: Path, folder: Path) -> float | None:
    """Milliseconds from the start of loading to the first contentful paint; None where there is no Chromium."""
    sys.path.append(str(ROOT))
    from tests.browser import Browser, find_chromium

    program = find_chromium()
    if program is None:
        return None
    paint = "performance.getEntriesByName('first-contentful-paint').map(entry => entry.startTime)[0] ?? -1"
    found: list[float] = []
    with Browser(program, folder) as browser:
        for _ in range(LOOKS):
            shown = browser.open(page)
            deadline = time.monotonic() + 20
            while (at := float(shown.evaluate(paint))) < 0 and time.monotonic() < deadline:
                time.sleep(0.05)
            found.append(at)
    return statistics.median(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("--count", type=int, default=100, metavar="N", help="inferences a run")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="pairs of runs")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.inside:
        inside(options.model, options.count)
        return
    with tempfile.TemporaryDirectory() as name:
        found = recording_costs(options, Path(name)) | verbs(options, Path(name))
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(f"inference: {found['inference_ms']:.2f} ms, recorded {found['traced_inference_ms']:.2f} ms")
    print(
        f"more: {found['more']:+.1%} ({found['more_least']:+.1%} to {found['more_most']:+.1%}); "
        f"of the median inference {found['more_of_the_median']:+.1%}"
    )
    print(
        f"processor time an inference: {found['processor_ms']:.1f} ms, recorded {found['traced_processor_ms']:.1f} ms"
    )
    print(f"whole run: {found['whole_s']:.2f} s, recorded {found['traced_whole_s']:.2f} s; {found['bytes']:,} bytes")
    print(f"one inference: {found['one_bytes']:,} bytes; its report {found['report_bytes']:,}")
    print("first line: " + ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found["first_line_s"].items()))
    paint = found["first_paint_ms"]
    print("report's first paint: " + ("no Chromium" if paint is None else f"{paint:.0f} ms"))


if __name__ == "__main__":
    main()
