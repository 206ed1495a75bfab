# SPDX-License-Identifier: MIT
"""How does ``hornito`` behave as a program: pipes that close, interrupts, other folders, what it imports?"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

COMMAND = [sys.executable, "-m", "hornito.cli.main"]


def start(*arguments: str | Path, **more: object) -> "subprocess.Popen[str]":
    command = [*COMMAND, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | more
    return subprocess.Popen(command, text=True, **pipes)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("arguments", [["inspect", "{model}"], ["plan", "{model}", "--json"], ["--help"], ["devices"]])
def test_closed_pipe_is_no_error_to_speak_of(arguments: list[str], folder: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    model = str(folder / "alternating.tflite")
    process = start(*(word.format(model=model) for word in arguments), stdout=write)
    os.close(write)
    assert process.communicate()[1] == ""
    # argparse itself passes over a pipe that closed under --help.
    assert process.returncode == 128 + signal.SIGPIPE or arguments == ["--help"]


def test_reader_that_leaves_after_a_line(folder: Path) -> None:
    shell = f"{' '.join(COMMAND)} inspect {folder / 'alternating.tflite'} | head -1"
    found = subprocess.run(["sh", "-c", shell], capture_output=True, text=True)
    assert found.returncode == 0 and len(found.stdout.splitlines()) == 1 and found.stderr == ""


def test_closed_pipe_is_not_blamed_on_the_output(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "film.npy", np.load(folder / "layer.npy").repeat(3, axis=0))
    read, write = os.pipe()
    os.close(read)
    given = [f"--frames={tmp_path / 'film.npy'}", f"--output={tmp_path / 'o.npy'}", "--json", "--device=cpu"]
    process = start("run", folder / "layer.tflite", *given, stdout=write)
    os.close(write)
    assert "written" not in process.communicate()[1]
    assert process.returncode == 128 + signal.SIGPIPE
    assert os.listdir(tmp_path) == ["film.npy"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_full_disk_under_stdout_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        process = start("devices", stdout=full, env=environment)
        words = "hornito: standard output: can't be written (No space left on device); name a place that can\n"
        assert process.communicate()[1] == words
    assert process.returncode == 2


ENDS = [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]


@pytest.mark.parametrize(("number", "code", "word"), ENDS)
def test_signals_end_it_with_their_code_and_leave_nothing(
    number: signal.Signals, code: int, word: str, folder: Path, tmp_path: Path
) -> None:
    film = tmp_path / "film.npy"
    np.save(film, np.load(folder / "layer.npy").repeat(20000, axis=0))
    given = [f"--frames={film}", f"--output={tmp_path / 'y.npy'}", "--json", "--device=cpu"]
    with start("run", folder / "layer.tflite", *given) as process:
        assert process.stdout is not None and process.stdout.readline()  # it is at work
        process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert stderr.splitlines()[-1] == f"hornito: {word}" and "Traceback" not in stderr
    assert list(tmp_path.iterdir()) == [film]


WRITES = """
import sys, time
from hornito.cli import devices, main
from hornito.files import atomic_writer

def write(options):
    with atomic_writer(sys.argv[1]) as stream:
        stream.write(b"half")
        stream.flush()
        print("writes", flush=True)
        time.sleep(60)

devices.run = write
sys.exit(main.main(["devices"]))
"""


@pytest.mark.parametrize(("number", "code", "word"), ENDS)
def test_signals_leave_nothing_half_written(number: signal.Signals, code: int, word: str, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    command = [sys.executable, "-c", WRITES, str(tmp_path / "out")]
    process = subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == "writes\n"
    process.send_signal(number)
    assert process.communicate(timeout=60)[1] == f"hornito: {word}\n"
    assert process.returncode == code
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_bytes() == b"old"


@pytest.mark.parametrize("verb", ["inspect", "plan", "compile", "--help"])
def test_verbs_that_run_nothing_import_no_compiler_of_kernels(verb: str, folder: Path, tmp_path: Path) -> None:
    model = str(folder / "alternating.tflite")
    arguments = {"--help": ["--help"], "compile": ["compile", model, "-o", str(tmp_path / "o.npz")]}.get(
        verb, [verb, model]
    )
    heavy = ["numba", "llvmlite", "PIL", "rich"] + (["numpy", "ai_edge_litert"] if verb == "--help" else [])
    program = (
        "import contextlib, sys; from hornito.cli.main import main\n"
        f"with contextlib.suppress(SystemExit): main({arguments!r})\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_nothing_is_imported_from_the_current_folder(folder: Path, tmp_path: Path) -> None:
    for name in ("numpy", "json", "numba"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported')")
    program = "import sys; from hornito.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-P", "-c", program, "run", str(folder / "layer.tflite"), "--input"]
    found = subprocess.run([*command, str(folder / "layer.npy")], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr


def test_cache_that_can_t_be_written_is_no_obstacle(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    environment = os.environ | {"HORNITO_CACHE": str(tmp_path / "cache")}
    process = start("run", folder / "layer.tflite", "--input", folder / "layer.npy", env=environment)
    stdout, stderr = process.communicate(timeout=110)
    assert process.returncode == 0, stderr
    assert stdout.startswith("conv_2d_0: uint8")
