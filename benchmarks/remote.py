# SPDX-License-Identifier: MIT
"""What does a socket cost? One model on the virtual NPU: in this process, and lent by another over each kind of socket.

    python -m benchmarks.remote MODEL.tflite [--runs 40] [--json]

The three take turns, a new input each time. A run that computes nothing, with the model's first input and last output,
shows the round trip alone. Times on a shared machine are moods; quote the differences.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from benchmarks.figures import HORNITO, ONE_THREAD, Figure, figure, timed

TOKEN = "benchmark"
IDLE_RUNS = 300
# Lends a device whose runs take no time: outputs of zeros.
IDLE = """
import sys, threading
import numpy as np
from hornito.hardware.chips import find_chip
from hornito.remote import Address
from hornito.server import Server

class Loaded:
    def __init__(self, submission):
        self.outputs = [np.zeros(port.tensor.shape, port.tensor.dtype) for port in submission.outputs]
    def run(self, inputs):
        return self.outputs
    def close(self):
        pass

class Idle:
    name, chip = "idle", find_chip("a311d")
    def load(self, submission):
        return Loaded(submission)

server = Server(Idle(), Address.to_listen(sys.argv[1]), sys.argv[2])
print(server.address, flush=True)
threading.Event().wait()
"""


@contextmanager
def lent(command: Sequence[str]) -> Iterator[str]:
    """The address that a server of ours prints on its first line."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def inferences(model: Path, runs: int, devices: Mapping[str, str]) -> list[Figure]:
    """Interpreter.invoke() on each device, and loading the model there."""
    import numpy as np

    from hornito import Interpreter

    random = np.random.default_rng(1)
    times: dict[str, list[float]] = {name: [] for name in devices}
    with ExitStack() as stack:
        runners = {name: stack.enter_context(Interpreter(model, device=device)) for name, device in devices.items()}
        loads = {name: timed(runner.allocate_tensors) for name, runner in runners.items()}
        given, result = runners["here"].get_input_details()[0], runners["here"].get_output_details()[0]
        for number in range(runs + 2):
            value = random.integers(0, 256, given["shape"]).astype(given["dtype"])
            results = []
            for name, runner in runners.items():
                runner.set_tensor(given["index"], value)
                seconds = timed(runner.invoke)
                results.append(runner.get_tensor(result["index"]))
                if number >= 2:
                    times[name].append(1000 * seconds)
            assert all(np.array_equal(results[0], other) for other in results)
    found = [figure(f"inference, {name}", values, "ms") for name, values in times.items()]
    for name, values in times.items():
        if name != "here":
            pairs = list(zip(values, times["here"], strict=True))
            found.append(figure(f"inference, {name} - here", [a - b for a, b in pairs], "ms", "aim 1 ms"))
            found.append(figure(f"inference, {name} / here", [a / b for a, b in pairs], "x"))
    return [*found, *(figure(f"compile and load, {name}", [1000 * seconds], "ms") for name, seconds in loads.items())]


def round_trips(model: Path, devices: Mapping[str, str]) -> list[Figure]:
    """Runs that compute nothing, and carry what the model's do."""
    import numpy as np

    from hornito.compiler import Options, compile_graph
    from hornito.hardware.chips import find_chip
    from hornito.model import read_model
    from hornito.remote import RemoteDevice

    archive = compile_graph(read_model(model.read_bytes()), Options(find_chip("a311d"))).archive
    found = []
    for name, address in devices.items():
        with RemoteDevice(address, TOKEN) as device:
            submission = max(archive.submissions, key=lambda one: sum(port.bytes for port in one.inputs))
            loaded = device.load(submission)
            inputs = [np.zeros(port.tensor.shape, port.tensor.dtype) for port in submission.inputs]
            times = [1000 * timed(lambda: loaded.run(inputs)) for _ in range(IDLE_RUNS)]  # noqa: B023
            sizes = f"{sum(p.bytes for p in submission.inputs)} + {sum(p.bytes for p in submission.outputs)} bytes"
            found.append(figure(f"round trip, {name}, {sizes}", times, "ms", "aim 1 ms"))
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    serve = [*HORNITO, "serve", "--device", "virtual", "--listen"]
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        places = {"unix": f"unix:{folder}/npu", "tcp": "127.0.0.1:0"}
        devices = {name: stack.enter_context(lent([*serve, place])) for name, place in places.items()}
        figures = inferences(options.model, options.runs, {"here": "virtual", **devices})
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        places = {"unix": f"unix:{folder}/npu", "tcp": "127.0.0.1:0"}
        idle = [sys.executable, "-c", IDLE]
        devices = {name: stack.enter_context(lent([*idle, place, TOKEN])) for name, place in places.items()}
        figures += round_trips(options.model, devices)
    for each in figures:
        print(json.dumps(asdict(each)) if options.json else each.line())
    return 0


if __name__ == "__main__":
    wanted = {**ONE_THREAD, "HORNITO_TOKEN": TOKEN}
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        # The libraries read these when they are loaded, so begin again with them set.
        os.execve(sys.executable, [sys.executable, "-m", "benchmarks.remote", *sys.argv[1:]], {**os.environ, **wanted})
    sys.exit(main())
