# SPDX-License-Identifier: MIT
"""``hornito benchmark``: how long does a model take, and how does that compare with the CPU?"""

import argparse
import time
from typing import Any

from hornito.cli import estimates
from hornito.cli.options import (
    add_device_options,
    add_fault,
    add_json,
    counted,
    device_arguments,
    natural,
    positive,
    print_json,
    remark,
)
from hornito.cli.timed_run import device_line
from hornito.errors import BadInput

SEED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="MODEL", nargs="?", help="a .tflite file, or the name of a fetched model (the built-in one)"
    )
    parser.add_argument("-c", "--count", metavar="N", type=positive, default=20, help="counted runs (default: 20)")
    parser.add_argument("--warmup-runs", metavar="N", type=natural, default=2, help="runs not counted, first (2)")
    parser.add_argument("--compare", choices=("cpu",), help="run LiteRT on the CPU beside it, and print the ratio")
    add_device_options(parser)
    add_fault(parser)
    estimates.add_estimate_options(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.examples import builtin_model
    from hornito.model import find_model
    from hornito.runtime import Interpreter

    wanted = estimates.wants_estimate(options)
    begin = time.perf_counter()
    model = find_model(options.model) if options.model else builtin_model()
    # Compiled anew, as that is measured as well.
    with Interpreter(model, cache=False, **device_arguments(options)) as interpreter:
        interpreter.open_device()
        loaded = time.perf_counter()
        interpreter.allocate_tensors()
        compiled = time.perf_counter()
        modelled = _estimate(options, interpreter.plan) if wanted else None
        runners = {"npu" if interpreter.uses_npu else "cpu": interpreter}
        if options.compare and interpreter.uses_npu:
            # One thread unless asked otherwise: what the virtual NPU has, and a board's CPU is to be beaten by three.
            other = Interpreter(model, device="cpu", num_threads=options.threads)
            other.allocate_tensors()
            runners["cpu"] = other
        measured = _measure(runners, options.warmup_runs, options.count)
        device = device_line(interpreter)
    times = {"load": 1000 * (loaded - begin), "compile": 1000 * (compiled - loaded)}
    figures = {name: _figures(latencies) for name, latencies in measured.items()}
    result: dict[str, Any] = {"model": str(model), "device": device, "times_ms": times, "latency_ms": figures}
    if len(figures) > 1:
        result["ratio_to_cpu"] = figures["npu"]["median"] / figures["cpu"]["median"]
    if options.compare and len(figures) == 1:
        remark("nothing to compare: the whole model runs on the CPU")
    if modelled is not None:
        from hornito.cost import as_json

        result["estimate"] = as_json(modelled)
    if options.json:
        print_json(result)
        return 0
    remark(f"{counted(options.count, 'run')}, a new input each, after {options.warmup_runs} to warm up")
    print(f"device: {device}")
    print(f"load: {times['load']:.1f} ms")
    print(f"compile: {times['compile']:.1f} ms")
    for name, figure in figures.items():
        words = ", ".join(f"{key} {value:.2f} ms" for key, value in figure.items())
        print(f"{name} latency: {words}")
    if "ratio_to_cpu" in result:
        print(f"npu / cpu: {result['ratio_to_cpu']:.2f}")
    if "virtual" in device and (len(figures) > 1 or modelled is not None):
        remark("the NPU is an emulated one: its latency says nothing about a board")
    if modelled is not None:
        print(f"estimate for {modelled.chip.name}: {modelled.total.text()}")
        if "virtual" not in device and "npu" in figures:
            print(f"npu median / estimate: {figures['npu']['median'] / (1e3 * modelled.total.seconds):.2f}")
        for line in estimates.summary(modelled, estimates.calibration(options, modelled.chip))[1:]:
            print(line)
    return 0


def _estimate(options: argparse.Namespace, plan: Any) -> Any:
    """What the cost model says of the plan that runs; its files are written. Raises BadInput where nothing is the
    NPU's."""
    from hornito.compiler import estimate

    if plan is None:
        raise BadInput("--estimate is about the NPU, and nothing of the model runs on it here; see 'hornito plan'")
    chip = plan.options.chip
    demand = estimates.demand_of_plan(estimate(plan))
    made = estimates.estimated(demand, chip, estimates.calibration(options, chip))
    estimates.write_files(options, [made])
    return made


def _measure(runners: dict[str, Any], warmup: int, count: int) -> dict[str, list[float]]:
    """Latencies in ms; the runners take turns, so that a machine's moods hit all of them alike."""
    import numpy as np

    random = np.random.default_rng(SEED)
    latencies: dict[str, list[float]] = {name: [] for name in runners}
    for number in range(warmup + count):
        details = next(iter(runners.values())).get_input_details()
        values = [_random(random, detail) for detail in details]
        for name, runner in runners.items():
            for detail, value in zip(details, values, strict=True):
                runner.set_tensor(detail["index"], value)
            begin = time.perf_counter()
            runner.invoke()
            if number >= warmup:
                latencies[name].append(1000 * (time.perf_counter() - begin))
    return latencies


def _random(random: Any, detail: dict[str, Any]) -> Any:
    import numpy as np

    dtype = np.dtype(detail["dtype"])
    shape = tuple(int(size) for size in detail["shape"])
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return random.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    return random.random(shape).astype(dtype)


def _figures(latencies: list[float]) -> dict[str, float]:
    import numpy as np

    return {
        "mean": float(np.mean(latencies)),
        "median": float(np.median(latencies)),
        "p95": float(np.percentile(latencies, 95)),
    }
