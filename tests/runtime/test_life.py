# SPDX-License-Identifier: MIT
"""Do interpreters come and go, alone, together and in threads?"""

import ast
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hornito
from hornito.driver import Device
from hornito.errors import DeviceError
from tests.runtime.calls import MODELS, filled, opened, outputs
from tests.runtime.networks import (
    Layer,
    alternating,
    furthest,
    litert,
)


def test_context_manager_closes_and_closing_twice_is_nothing() -> None:
    with opened(Layer().model(), "virtual") as interpreter:
        own = interpreter.device
        filled(interpreter)
        interpreter.invoke()
    assert own is not None and interpreter.device is None
    with pytest.raises(DeviceError):
        own.load(interpreter.archive.submissions[0])  # type: ignore[union-attr]
    interpreter.close()
    interpreter.close()


@pytest.mark.parametrize("which", ["npu", "float"])
def test_closed_interpreter_says_so(which: str, device: Device) -> None:
    interpreter = opened(MODELS[which](), device)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.close()
    steps: tuple[Callable[[], Any], ...] = (
        interpreter.allocate_tensors,
        interpreter.invoke,
        lambda: interpreter.get_tensor(index),
        lambda: interpreter.set_tensor(index, 0),
    )
    for step in steps:
        with pytest.raises(RuntimeError, match="closed"):
            step()


def test_device_that_was_given_stays_open(device: Device) -> None:
    for _ in range(2):
        with opened(Layer().model(), device) as interpreter:
            interpreter.invoke()


def test_many_interpreters_on_one_device_give_memory_back(device: Device) -> None:
    model = Layer(rows=60, columns=60, inputs=8, outputs=64).model()
    for _ in range(40):
        with opened(model, device) as interpreter:
            interpreter.invoke()


def test_two_interpreters_in_one_process(device: Device) -> None:
    models = [Layer().model(), alternating()]
    interpreters = [opened(model, "virtual") for model in models] + [opened(model, device) for model in models]
    values = [filled(interpreter, 5) for interpreter in interpreters]
    for interpreter in interpreters:
        interpreter.invoke()
    found = [outputs(interpreter)[0] for interpreter in interpreters]
    assert np.array_equal(found[0], found[2]) and np.array_equal(found[1], found[3])
    assert furthest(found[0], litert(models[0], values[0])[0]) <= 1
    for interpreter in interpreters:
        interpreter.close()


@pytest.mark.parametrize("own", [True, False], ids=["own devices", "one device"])
def test_interpreters_in_threads(own: bool, device: Device) -> None:
    model = alternating()
    alone = opened(model, device)
    wanted = []
    for seed in range(4):
        filled(alone, seed)
        alone.invoke()
        wanted.append(outputs(alone)[0])
    failures: list[object] = []

    def work(seed: int) -> None:
        try:
            with opened(model, "virtual" if own else device) as interpreter:
                filled(interpreter, seed)
                for _ in range(10):
                    interpreter.invoke()
                    if not np.array_equal(outputs(interpreter)[0], wanted[seed]):
                        failures.append(f"thread {seed} differs")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_only_the_registry_knows_the_virtual_npu() -> None:
    folder = Path(hornito.__file__).parent / "runtime"
    for path in folder.glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text("utf-8"))))
        names = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        names |= {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        if path.name != "devices.py":
            assert not any(name.startswith("hornito.virtual") for name in names), path


UNJOINED = """
import sys, threading
import numpy as np
from hornito import Interpreter

def run():
    threading.main_thread().join()
    interpreter = Interpreter(sys.argv[1], device="virtual", num_threads=int(sys.argv[2]), cache=False)
    interpreter.allocate_tensors()
    interpreter.invoke()
    found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).sum()
    sys.stdout.write(f"{found}\\n")  # at once: print writes the end of the line by itself

for _ in range(2):
    threading.Thread(target=run).start()
"""


@pytest.mark.parametrize("threads", [1, 2])
def test_threads_that_outlive_the_main_one_run_models(threads: int, tmp_path: Path) -> None:
    path = tmp_path / "two.tflite"
    path.write_bytes(alternating())
    command = [sys.executable, "-c", UNJOINED, str(path), str(threads)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ)
    assert len(ended.stdout.split()) == 2, ended.stderr
    first, second = ended.stdout.split()
    assert first == second
    assert "Traceback" not in ended.stderr
