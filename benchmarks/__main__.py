# SPDX-License-Identifier: MIT
"""How fast is all of it? Prints the whole table, or, with --check, compares the ratios that matter with stored ones.

    python -m benchmarks [MODEL.tflite ...] [--part NAME ...] [--runs 20] [--json]
    python -m benchmarks --check

Without a MODEL: MobileNetV1, MobileDet and YOLOX from $HORNITO_SHARED where that is set, and a network of our own.
Times on a shared machine are moods; quote the ratios.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import check, compilation, inference, processes
from benchmarks.figures import ROOT, Figure, child_environment, figure, processor
from benchmarks.networks import Network, networks

Part = Callable[[Sequence[Network], int], Iterator[Figure]]


def inferences(measured: Sequence[Network], runs: int) -> Iterator[Figure]:
    """Interpreter.invoke() against LiteRT, both versions, 1 and 2 threads."""
    for network in measured:
        yield from inference.figures(network, runs)


def compilations(measured: Sequence[Network], runs: int) -> Iterator[Figure]:
    """Compiling, beside Vela where $VELA names it, and starting again with what is kept."""
    for network in measured:
        yield from compilation.figures(network, max(10, runs // 2))


def commands(measured: Sequence[Network], runs: int) -> Iterator[Figure]:
    """Whole processes."""
    published = next((network for network in measured if network.name == "MobileNetV1"), None)
    yield from processes.general(published, runs=max(10, runs // 2))
    with tempfile.TemporaryDirectory() as cache:
        for network in measured:
            yield from processes.figures(network, cache)


def watched(measured: Sequence[Network], runs: int) -> Iterator[Figure]:
    """Calls under ``hornito exec``, in microseconds."""
    found = _printed("exec.py", "--calls", "5000")
    for name, idle in found["microseconds"]["idle"].items():
        yield figure(f"hornito exec: {name}, 99th percentile {idle['p99']:.0f}", [idle["median"]], "us")
    spent = found["import numpy"]
    yield figure("hornito exec: import numpy / alone", [1 + spent["more"]], "x", "aim 1.25 x")


def recorded(measured: Sequence[Network], runs: int) -> Iterator[Figure]:
    """What recording costs."""
    for network in measured[:1]:
        found = _printed("trace.py", str(network.path), "--count", "50", "--runs", "3")
        yield figure(f"{network.name}: recorded / under exec alone", [1 + found["more"]], "x", "aim 1.15 x")


# In the order of the table. Whatever has a speed worth keeping gets a line here.
PARTS: dict[str, Part] = {
    "inference": inferences,
    "compile": compilations,
    "commands": commands,
    "exec": watched,
    "trace": recorded,
}


def _printed(script: str, *arguments: str) -> dict[str, Any]:
    """What a benchmark of its own prints as JSON."""
    command = [sys.executable, str(ROOT / "benchmarks" / script), *arguments, "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, env=child_environment(), check=True)
    return dict(json.loads(done.stdout))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", metavar="MODEL", type=Path, nargs="*")
    parser.add_argument("--part", choices=list(PARTS), action="append", help="this part of the table only; repeatable")
    parser.add_argument("--runs", metavar="N", type=int, default=20, help="turns of each inference (default: 20)")
    parser.add_argument("--json", action="store_true")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="the short form: fail where a ratio got 1.5 times worse")
    mode.add_argument("--store", action="store_true", help="keep this machine's ratios for --check")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        measured = networks(options.models, Path(scratch))
        if options.check:
            return check.run(measured)
        if options.store:
            print(json.dumps(asdict(check.store(measured)), indent=2))
            return 0
        found: list[Figure] = []
        if not options.json:
            print(
                f"{processor()}, {os.cpu_count()} processors, {check.arithmetic()}, Python {platform.python_version()}"
            )
        for part in options.part or PARTS:
            for each in PARTS[part](measured, options.runs):
                found.append(each)
                if not options.json:
                    print(each.line(), flush=True)
        if options.json:
            print(json.dumps([asdict(each) for each in found], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
