# SPDX-License-Identifier: MIT
"""Is a program that knows nothing of the study recorded model by model, whatever else it does?"""

import os
import signal
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from hornito.errors import DeviceError
from hornito.hardware.chips import find_chip
from hornito.trace.clients import Client, Command, OwnDriver, Refusal
from hornito.trace.each_model import command_for, run
from hornito.trace.layer import Layer, parse_values
from hornito.trace.load import load
from hornito.trace.records import Call, Done, Recording, Submit
from hornito.trace.study import Question, Study, study
from tests.supervisor.conftest import watching
from tests.supervisor.test_delegate import delegate

__all__ = ["delegate", "watching"]

CHIP = find_chip("a311d")
SMALL = Layer(size=8, inputs=4, outputs=8)
# Runs a model by our driver. It refuses one, as programs do, and the output of another child of it is in the way.
PROGRAM = """
import os, subprocess, sys
import numpy as np
from hornito.compiler import Options, compile_graph
from hornito.driver import EtnavivDevice
from hornito.model import read_model
from hornito.uapi.drm import RENDER_NODE
from hornito.uapi.kernel import RealKernel

if "=13." in sys.argv[1]:
    sys.exit("unlucky number " + os.environ["PYTHONPATH"])
subprocess.run(["echo", "a child"])
with open(sys.argv[1], "rb") as file:
    graph = read_model(file.read())
with EtnavivDevice(RealKernel(), RENDER_NODE) as device:
    archive = compile_graph(graph, Options(device.chip)).archive
    for submission in archive.submissions:
        zeros = [np.zeros(port.tensor.shape, port.tensor.dtype) for port in submission.inputs]
        device.load(submission).run(zeros)
"""


def outputs(client: Client, values: str, folder: Path | None = None) -> Study:
    return study(client, Question({"outputs": parse_values(values)}, SMALL, checked=False), folder)


def relations(found: Study) -> list[tuple[int, str, str, str, tuple[int | None, ...]]]:
    return [
        (one.series.job, one.series.place, one.series.name, one.relation.text("p"), one.series.values)
        for one in found.found
    ]


def test_a_program_is_recorded_model_by_model(watching: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relations are those of our driver in this process; what it refuses is told. Each piece of the recording holds the
    client's own calls, and nothing else. Its environment is the user's."""
    paths = os.pathsep.join((str(tmp_path), *filter(None, sys.path)))
    monkeypatch.setenv("PYTHONPATH", paths)
    program = tmp_path / "client.py"
    program.write_text(PROGRAM)
    found = outputs(Command([sys.executable, str(program)], CHIP), "8,13,16,24", tmp_path / "kept")
    assert found.refused == (((Fraction(13),), f"the client ended with status 1: {f'unlucky number {paths}'[-160:]}"),)
    assert relations(found) == relations(outputs(OwnDriver(CHIP), "8,16,24"))
    assert len(found.found) > 8
    processes = set()
    for value in (8, 16, 24):
        events = list(load(tmp_path / "kept" / f"outputs={value}.trace").events())
        calls = [event for event in events if isinstance(event, Call)]
        submits = [event for event in events if isinstance(event, Submit)]
        (process,) = {call.process for call in calls}
        processes.add(process)
        assert [submit.number for submit in submits] == [0, 1]
        assert [event.submit for event in events if isinstance(event, Done)] == [0, 1]
        assert {submit.call for submit in submits} <= {call.number for call in calls}
    assert len(processes) == 3


@pytest.mark.parametrize(
    "command,seconds,reason",
    [
        (["true"], 10.0, "it starts no job"),
        (["sh", "-c", "sleep 100"], 0.1, "the client ended with status -9 (SIGKILL): it took more than 0.1 seconds"),
        (["/nonsense"], 10.0, "the client ended with status 127: /nonsense: No such file or directory"),
    ],
)
def test_clients_that_do_nothing_are_told(
    watching: None, tmp_path: Path, command: list[str], seconds: float, reason: str
) -> None:
    path = tmp_path / "1s.tflite"
    path.write_bytes(SMALL.model())
    assert list(Command(command, CHIP, seconds).record([path])) == [Refusal(reason)]


def test_a_client_that_crashes_behind_its_jobs_is_remarked_upon(
    watching: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    program = tmp_path / "client.py"
    crash = "import signal; os.kill(os.getpid(), signal.SIGSEGV)"
    program.write_text(f"{PROGRAM}\n{crash}\n")
    path = tmp_path / "1s.tflite"
    path.write_bytes(SMALL.model())
    (found,) = Command([sys.executable, str(program)], CHIP).record([path])
    assert isinstance(found, Recording)
    (told,) = caplog.messages
    assert told.startswith("1s: the client ended with status -11 (SIGSEGV)")


def test_nobody_waits_for_what_a_client_leaves_behind_with_its_output_open() -> None:
    ended = run(["sh", "-c", "setsid sleep 60 & echo $!"], 20.0)
    os.kill(int(ended["said"]), signal.SIGKILL)
    assert ended["status"] == 0


def test_what_can_not_be_supervised_is_told(watching: None, tmp_path: Path) -> None:
    path = tmp_path / "x.tflite"
    path.write_bytes(SMALL.model())
    with pytest.raises(DeviceError, match="its coefficient format is unproven"):
        list(Command(["true"], find_chip("vipnano-qi-a1-8000000")).record([path]))


@pytest.mark.parametrize(
    "command,expected",
    [
        (["client"], ["client", "m"]),
        (["client", "{model}", "more"], ["client", "m", "more"]),
        (["client", "--model={model}"], ["client", "--model=m"]),
    ],
)
def test_the_model_s_path_goes_where_it_is_wanted(command: Sequence[str], expected: list[str]) -> None:
    assert command_for(command, "m") == expected


DELEGATE = """
import os
import sys
from fractions import Fraction
from ai_edge_litert.interpreter import Interpreter, load_delegate
client = Interpreter(sys.argv[1], experimental_delegates=[load_delegate(sys.argv[2])])
client.allocate_tensors()
client.invoke()
"""


@pytest.mark.parametrize("way,chip", [("", "a311d"), ("npu_no_batching", "a311d"), ("", "imx8mp")])
def test_mesa_s_delegate_leads_to_the_same_relations(
    watching: None, delegate: str, monkeypatch: pytest.MonkeyPatch, way: str, chip: str
) -> None:
    """Field by field, with the values: it was this driver that ours follows. Also where each job is a submit. Outputs
    fill the cores: the kernels that fill them up otherwise are whatever it finds in memory."""
    monkeypatch.setenv("ETNA_MESA_DEBUG", way)
    client = Command([sys.executable, "-c", DELEGATE, "{model}", delegate], find_chip(chip))
    mesa, ours = outputs(client, "8,16,24"), outputs(OwnDriver(find_chip(chip)), "8,16,24")
    assert relations(mesa) == relations(ours)
    assert len(mesa.found) > 8
