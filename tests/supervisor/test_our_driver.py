# SPDX-License-Identifier: MIT
"""Hornito's own driver over the real ``Kernel`` and real system calls, as another process under ``hornito exec``."""

import json
import sys
from pathlib import Path

import numpy as np

from hornito.doctor import read_report
from hornito.examples import builtin_model
from hornito.hardware.chips import find_chip
from tests.supervisor.conftest import Run

HORNITO = (sys.executable, "-m", "hornito.cli.main")
NODE = "/dev/dri/renderD128"
EMULATED = """
import errno, os
from hornito.driver import EtnavivDevice
from hornito.errors import DeviceError
from hornito.runtime import open_device
from hornito.uapi.kernel import RealKernel

first, second = open_device("auto"), open_device("/dev/dri/renderD128", "a311d")
assert isinstance(first, EtnavivDevice) and first.name == second.name == "/dev/dri/renderD128"
assert first.node.emulated and first.node.version == (1, 4)
second.close()
child = os.fork()
if child == 0:
    try:
        first.load(None)
    except DeviceError as error:
        own = EtnavivDevice(RealKernel(), "/dev/dri/renderD128")
        own.close()
        first.close()
        os._exit(7 if "before a fork" in str(error) else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
from hornito.compiler.assemble import initialisation
first.load(initialisation()).run([])
first.close()
print("sound")
"""

SEVERAL = """
import threading
import numpy as np
from hornito import Interpreter
from hornito.examples import builtin_model

def results(number, device):
    with Interpreter(builtin_model(), device=device) as interpreter:
        interpreter.allocate_tensors()
        given, taken = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
        random = np.random.default_rng(number)
        for _ in range(8):
            interpreter.set_tensor(given["index"], random.integers(0, 256, given["shape"]).astype(given["dtype"]))
            interpreter.invoke()
            yield interpreter.get_tensor(taken["index"]).tobytes()

found = {}
def work(number):
    found[number] = list(results(number, "/dev/dri/renderD128"))
threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(all(found[number] == list(results(number, "virtual")) for number in range(3)))
"""


def test_node_is_listed_with_its_core(run: Run) -> None:
    found = run(*HORNITO, "devices", "--json", options=("--chip", "imx8mp"))
    assert found.code == 0, found.err
    real = json.loads(found.out)[0]
    assert (real["device"], real["chip"], real["usable"]) == (NODE, find_chip("imx8mp").name, True)
    assert (real["driver_version"], real["cores"][0]["customer_id"]) == ("1.4", 0x9F)


def test_run_on_the_node_gives_the_bytes_of_the_device_in_process(run: Run, tmp_path: Path) -> None:
    from hornito import Interpreter

    with Interpreter(builtin_model(), device="virtual") as interpreter:
        interpreter.allocate_tensors()
        given = interpreter.get_input_details()[0]
        value = np.random.default_rng(3).integers(0, 256, given["shape"]).astype(given["dtype"])
        interpreter.set_tensor(given["index"], value)
        interpreter.invoke()
        expected = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.save(tmp_path / "x.npy", value)
    files = ("--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npy"))
    found = run(*HORNITO, "run", str(builtin_model()), "--device", NODE, *files)
    assert found.code == 0, found.err
    assert f"device: {NODE} (vipnano-qi-88-0)" in found.err
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)


def test_auto_takes_the_node(run: Run) -> None:
    found = run(*HORNITO, "label-image")
    assert found.code == 0, found.err
    assert f"device: {NODE} (vipnano-qi-88-0)" in found.out + found.err
    assert "3 three" in found.out


def test_another_chip_than_the_node_s_is_refused(run: Run) -> None:
    found = run(*HORNITO, "label-image", "--chip", "imx8mp")
    assert found.code == 2
    assert f"{NODE} is a vipnano-qi-88-0, not a vipnano-si-plus-9f-6000000" in found.err


def test_doctor_finds_the_node_sound_and_knows_that_it_is_none_of_silicon(run: Run, tmp_path: Path) -> None:
    found = run(*HORNITO, "doctor", "-o", str(tmp_path / "R.zip"), "--filter", "FullyConnected")
    assert found.code == 0, found.err + found.out
    report = read_report(tmp_path / "R.zip")
    assert report.passed and not report.patient.real
    assert report.patient.name == "renderD128"


def test_devices_forks_and_closing_over_real_system_calls(run: Run) -> None:
    found = run(python=EMULATED)
    assert (found.code, found.out.strip()) == (0, "sound"), found.err


def test_interpreters_in_threads_keep_apart(run: Run) -> None:
    found = run(python=SEVERAL)
    assert (found.code, found.out.strip()) == (0, "True"), found.err
