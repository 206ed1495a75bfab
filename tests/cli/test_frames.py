# SPDX-License-Identifier: MIT
"""Does ``hornito run --frames`` give for each frame what that frame gives alone, and nothing for a broken film?"""

import glob
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hornito.cli.arrays import Form, Stack, load_array
from hornito.cli.frames import AHEAD, Frame, ahead, find_frames, load_frame
from hornito.errors import BadInput, Unsupported
from hornito.examples import builtin_model, load_picture
from tests.cli.conftest import Hornito

NAMES = ["f1.png", "f2.bmp", "f9.jpg", "f10.png"]  # in this order


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Pictures, and what is none."""
    folder = tmp_path / "film"
    folder.mkdir()
    random = np.random.default_rng(1)
    for name in NAMES:
        Image.fromarray(random.integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(folder / name)
    (folder / "notes.txt").write_text("no frame")
    (folder / ".hidden.png").write_text("no frame")
    return folder


@pytest.fixture
def expected(film: Path, folder: Path, hornito: Hornito, tmp_path: Path) -> np.ndarray:
    """The scores of each frame, run alone."""
    results = []
    for name in NAMES:
        np.save(tmp_path / "one.npy", load_picture(film / name, 12, 16, 3))
        given = ["--input", tmp_path / "one.npy", "--output", tmp_path / "scores.npy"]
        assert hornito("run", folder / "classifier.tflite", *given).code == 0
        results.append(np.load(tmp_path / "scores.npy"))
    return np.concatenate(results)


@pytest.mark.parametrize("place", ["", "/f*", "stack"])
def test_frames_give_what_each_gives_alone(
    place: str,
    film: Path,
    expected: np.ndarray,
    folder: Path,
    hornito: Hornito,
    tmp_path: Path,
) -> None:
    where, names = f"{film}{place}", [str(film / name) for name in NAMES]
    if place == "stack":
        where = str(tmp_path / "all.npy")
        np.save(where, np.concatenate([load_picture(film / name, 12, 16, 3) for name in NAMES]))
        names = [f"{where}[{number}]" for number in range(len(NAMES))]
    output = tmp_path / "y.npy"
    found = hornito("run", folder / "classifier.tflite", "--frames", where, "--output", output, "--json")
    assert found.code == 0, found.err
    lines = [json.loads(line) for line in found.lines]
    assert [line["frame"] for line in lines] == names
    assert [line["outputs"][0]["argmax"] for line in lines] == expected.argmax(axis=1).tolist()
    assert (np.load(output) == expected).all() and np.load(output).shape == (4, 10)
    assert "4 frames in " in found.err


def test_frames_run_through_a_submission_file(
    film: Path,
    expected: np.ndarray,
    folder: Path,
    hornito: Hornito,
    tmp_path: Path,
) -> None:
    compiled, output = tmp_path / "m.npz", tmp_path / "y.npy"
    assert hornito("compile", folder / "classifier.tflite", "-o", compiled).code == 0
    found = hornito("run", compiled, "--frames", film, "--output", output)
    assert found.code == 0, found.err
    assert found.lines[0].startswith(f"{film / 'f1.png'}: ") and found.lines[0].count("greatest at") == 1
    assert (np.load(output) == expected).all()


def test_a_broken_frame_is_named_and_nothing_is_written(
    film: Path, folder: Path, hornito: Hornito, tmp_path: Path
) -> None:
    (film / "f9.jpg").write_bytes(b"no picture")
    output = tmp_path / "y.npy"
    output.write_bytes(b"as it was")
    found = hornito("run", folder / "classifier.tflite", "--frames", film, "--output", output)
    assert found.code == 2 and found.err.splitlines()[-1].startswith(f"hornito: {film / 'f9.jpg'}: is no picture")
    assert len(found.lines) == 2  # what went before
    assert output.read_bytes() == b"as it was"


@pytest.mark.parametrize(
    "model,place,code,words",
    [
        ("classifier", "none", 2, "none: no such folder or file"),
        ("classifier", "*.txt", 2, "neither a picture nor an array"),
        ("classifier", "notes.txt", 2, "neither a picture nor an array"),
        ("classifier", "empty", 2, "no frames are there"),
        ("classifier", "flat.npy", 2, "holds no frames"),
        ("classifier", "wide.npy", 2, "wide.npy[0]: uint8 (1, 12, 17, 3); input 'image' takes uint8 (1, 12, 16, 3)"),
        ("classifier", "none*", 2, "no frames are there"),
        ("classifier", "cut.npy", 2, "cut.npy: ends before its array does"),
        ("classifier", "pipe.npy", 2, "pipe.npy: is no ordinary file"),
        ("classifier", "pipes", 2, "1.png: is no ordinary file"),
        ("classifier", "broken.npy", 2, "holds no array"),
        ("two", ".", 3, "2 inputs; --frames is for models of one"),
        ("float", ".", 3, "which no picture is"),
    ],
)
def test_what_is_no_film_is_refused(
    model: str, place: str, code: int, words: str, film: Path, folder: Path, hornito: Hornito
) -> None:
    (film / "empty").mkdir()
    np.save(film.parent / "flat.npy", np.zeros(4, np.uint8))
    np.save(film.parent / "wide.npy", np.zeros((2, 12, 17, 3), np.uint8))
    (film.parent / "broken.npy").write_bytes(b"no array")
    (film.parent / "cut.npy").write_bytes((film.parent / "wide.npy").read_bytes()[:-1])
    (film / "pipes").mkdir()
    for pipe in (film / "pipes" / "1.png", film.parent / "pipe.npy"):
        os.mkfifo(pipe)
    where = film.parent / place if place.endswith(".npy") else film / place
    found = hornito("run", folder / f"{model}.tflite", "--frames", where)
    assert (found.code, found.out) == (code, "")
    assert words in found.err.splitlines()[-1]


def test_frames_and_inputs_exclude_each_other(film: Path, folder: Path, hornito: Hornito) -> None:
    given = ["--frames", film, "--input", folder / "layer.npy"]
    found = hornito("run", folder / "layer.tflite", *given)
    assert found.code == 2 and "--frames and --input" in found.err


def test_numbers_in_names_count_by_value(film: Path) -> None:
    assert [frame.path.name for frame in find_frames(str(film))] == NAMES


def test_folders_of_a_pattern_follow_one_another_in_a_fixed_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["part2/1.png", "part2/10.png", "part10/01.png", "part10/1.png", "part10/2.png"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    wanted = [str(tmp_path / name) for name in names]
    for found in (wanted, wanted[::-1]):  # as the file system may have them
        monkeypatch.setattr(glob, "glob", lambda place, found=found: found)
        assert [frame.name for frame in find_frames(f"{tmp_path}/part*/*.png")] == wanted


@pytest.mark.parametrize("place", ["", "/f*"])
def test_no_frame_is_written_over(place: str, film: Path, folder: Path, hornito: Hornito) -> None:
    frame = film / "f2.bmp"
    before = frame.read_bytes()
    found = hornito("run", folder / "classifier.tflite", "--frames", f"{film}{place}", "--output", frame)
    assert (found.code, found.out) == (2, "") and f"{frame}: is read as well" in found.err
    assert frame.read_bytes() == before


@pytest.mark.parametrize("place,name", [("", "y.npy"), ("/*.np?", "y.npy"), ("/../*/*", "y.npy")])
def test_no_output_becomes_a_frame(place: str, name: str, film: Path, folder: Path, hornito: Hornito) -> None:
    (film / "notes.txt").unlink()
    np.save(film / "first.npy", load_picture(film / NAMES[0], 12, 16, 3))
    found = hornito("run", folder / "classifier.tflite", "--frames", f"{film}{place}", "--output", film / name)
    assert (found.code, found.out) == (2, "") and f"{film / name}: would be a frame of {film}" in found.err
    assert not (film / name).exists()


def test_outputs_beside_frames_that_are_none_may_be(film: Path, folder: Path, hornito: Hornito) -> None:
    given = ["--frames", f"{film}/f*", "--output", film / "y.npy"]
    assert hornito("run", folder / "classifier.tflite", *given).code == 0
    assert np.load(film / "y.npy").shape == (4, 10)


@pytest.mark.parametrize("length", [9, 40, 127, 128, 130])
def test_a_cut_array_is_told_from_one_that_is_none(length: int, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.zeros(8, np.uint8))
    path.write_bytes(path.read_bytes()[:length])
    for mapped in (False, True):
        with pytest.raises(BadInput, match="ends before its array does"):
            load_array(path, mapped=mapped)
    np.save(path, np.array([{}]))
    with pytest.raises(BadInput, match="holds no array of numbers"):
        load_array(path)


def test_arrays_of_a_frame_may_have_the_axis_of_one(tmp_path: Path) -> None:
    form = Form("x", "int16", (1, 2, 3))
    whole = np.arange(12, dtype=np.int16).reshape(2, 2, 3)
    for values in (whole, whole[:, np.newaxis]):
        np.save(tmp_path / "x.npy", values)
        frames = find_frames(str(tmp_path / "x.npy"))
        assert [load_frame(frame, form).tolist() for frame in frames] == [[part.tolist()] for part in whole]


def test_only_a_few_frames_are_made_ahead() -> None:
    made: list[str] = []

    def load(frame: Frame) -> str:
        made.append(frame.name)
        return frame.name

    frames = [Frame(str(number), Path()) for number in range(50)]
    most = 0
    for number, (frame, value) in enumerate(ahead(frames, load)):
        assert frame.name == value == str(number)
        most = max(most, len(made) - number - 1)
    assert made == [frame.name for frame in frames]
    assert most <= AHEAD


def test_outputs_of_another_shape_are_no_stack() -> None:
    stack = Stack(io.BytesIO(), 2)
    stack.append(np.zeros((1, 3)), "first")
    with pytest.raises(Unsupported, match=r"second: its output is float64 \(1, 4\), that of the frames before"):
        stack.append(np.zeros((1, 4)), "second")


def test_memory_does_not_grow_with_the_number_of_frames(prepared: None, tmp_path: Path) -> None:
    """40 frames of 3 MB each would be seen."""
    Image.new("RGB", (1000, 1000), "red").save(tmp_path / "0.bmp")
    peaks = []
    for count in (4, 40):
        folder = tmp_path / str(count)
        folder.mkdir()
        for number in range(count):
            os.link(tmp_path / "0.bmp", folder / f"{number}.bmp")
        command = ["run", str(builtin_model()), "--frames", str(folder), "--output", str(tmp_path / "y.npy")]
        code = (
            "import resource, sys; from hornito.cli.main import main; code = main(sys.argv[1:])\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr); sys.exit(code)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, *command], capture_output=True, text=True, timeout=100, check=True
        )
        peaks.append(int(done.stderr.splitlines()[-1]))
    assert np.load(tmp_path / "y.npy").shape == (40, 10)
    assert peaks[1] - peaks[0] < 30_000, peaks  # KB
