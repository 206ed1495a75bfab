# SPDX-License-Identifier: MIT
"""What does ``hornito detect`` print and draw, and what does it refuse?"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Hornito
from tests.examples.detectors import ssd, yolox


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two detectors, labels and a picture; nobody may write there."""
    place = tmp_path_factory.mktemp("detect")
    (place / "yolox.tflite").write_bytes(yolox())
    (place / "ssd.tflite").write_bytes(ssd())
    (place / "labels.txt").write_text("person\nn/a\nfire hydrant\nkite\n")
    (place / "short.txt").write_text("person\nn/a\n")
    Image.new("RGB", (640, 320), (20, 40, 60)).save(place / "picture.png")
    return place


def base(place: Path, model: str = "yolox") -> list[str]:
    return ["detect", "--model", str(place / f"{model}.tflite"), "--image", str(place / "picture.png")]


@pytest.mark.parametrize("device", ["virtual", "cpu"])
def test_boxes_are_printed_and_drawn(device: str, place: Path, tmp_path: Path, hornito: Hornito) -> None:
    output = tmp_path / "o.png"
    arguments = [*base(place), "--labels", str(place / "labels.txt"), "--output", str(output), "--device", device]
    found = hornito(*arguments)
    assert found.code == 0
    assert found.lines == ["0.91 fire hydrant 0 0 320 320", "0.91 fire hydrant 320 0 640 320"]
    for word in ("device: ", "load: ", "compile: ", "average: "):
        assert word in found.err
    with Image.open(output) as image:
        drawn = np.asarray(image)
    assert drawn.shape == (320, 640, 3)
    assert tuple(drawn[200, 0]) != (20, 40, 60) and tuple(drawn[200, 100]) == (20, 40, 60)
    assert [path.name for path in tmp_path.iterdir()] == ["o.png"]


def test_ssd_counts_the_gaps_between_labels(place: Path, hornito: Hornito) -> None:
    found = hornito(*base(place, "ssd"), "--labels", place / "labels.txt", "--threshold", "0.5", "--device", "cpu")
    assert found.lines == ["0.90 fire hydrant 0 0 320 160", "0.60 person 320 160 640 320"]


def test_json(place: Path, hornito: Hornito) -> None:
    found = hornito(*base(place), "--labels", place / "labels.txt", "--json", "--device", "cpu", "--count", "2")
    content = json.loads(found.out)
    assert (content["detector"], content["width"], content["height"], content["runs"]) == ("YOLOX", 640, 320, 2)
    assert set(content["times_ms"]) == {"load", "compile", "average"}
    first = content["results"][0]
    assert (first["label"], first["index"], first["box"]) == ("fire hydrant", 1, [0, 0, 320, 320])
    assert first["score"] == pytest.approx(0.907, abs=0.01)


def test_picture_that_was_taken_turned_is_shown_upright(place: Path, tmp_path: Path, hornito: Hornito) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (320, 640)).save(tmp_path / "turned.jpg", exif=exif)
    output = tmp_path / "o.png"
    found = hornito(*base(place)[:3], "--image", tmp_path / "turned.jpg", "--output", output, "--json")
    content = json.loads(found.out)
    assert (content["width"], content["height"]) == (640, 320)
    with Image.open(output) as image:
        assert image.size == (640, 320) and 0x0112 not in image.getexif()


def test_top_and_threshold(place: Path, hornito: Hornito) -> None:
    assert len(hornito(*base(place), "--top", "1").lines) == 1
    nothing = hornito(*base(place), "--threshold", "0.99")
    assert (nothing.code, nothing.out) == (0, "") and "no box with a score of 0.99 or more" in nothing.err


def test_without_labels_classes_are_numbers(place: Path, hornito: Hornito) -> None:
    assert hornito(*base(place)).lines[0] == "0.91 1 0 0 320 320"


def test_labels_beside_the_model_are_found(place: Path, tmp_path: Path, hornito: Hornito) -> None:
    (tmp_path / "m.tflite").write_bytes(yolox())
    (tmp_path / "m.labels.txt").write_text("a\nb\nc\n")
    found = hornito("detect", "-m", tmp_path / "m.tflite", "-i", place / "picture.png")
    assert found.lines[0].startswith("0.91 b ")


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (["--output", "{tmp}/o.gif"], 2, "name a .png"),
        (["--output", "{tmp}/o"], 2, "no suffix"),
        (["--output", "{tmp}/none/o.png"], 2, "can't be written"),
        (["--output", "{tmp}/../o.png/none/p.png"], 2, "can't be written"),
        (["--labels", "{tmp}/none.txt"], 2, "can't be read"),
        (["--labels", "{place}/short.txt"], 2, "has 1 labels, the model 3 outputs"),
        (["--labels", "{place}/picture.png"], 2, "text"),
        (["--image", "{tmp}/none.png"], 2, "can't be read"),
        (["--image", "{place}/labels.txt"], 2, "no picture"),
        (["--model", "{tmp}/none.tflite"], 2, "none.tflite"),
        (["--threshold", "1.5"], 2, "no number from 0 to 1"),
        (["--threshold", "nan"], 2, "no number from 0 to 1"),
        (["--threshold", "much"], 2, "no number from 0 to 1"),
        (["--top", "0"], 2, "no whole number"),
        (["--device", "nonsense"], 2, "nonsense"),
        (["--chip", "nonsense"], 2, "nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_one_line(
    more: list[str], code: int, words: str, place: Path, tmp_path: Path, hornito: Hornito
) -> None:
    found = hornito(*base(place), *(word.format(tmp=tmp_path, place=place) for word in more))
    assert found.code == code and found.out == ""
    assert len([line for line in found.err.splitlines() if line.startswith("hornito")]) == 1
    assert words in found.err and "internal error" not in found.err
    assert list(tmp_path.iterdir()) == []


def test_other_model_is_refused(folder: Path, place: Path, tmp_path: Path, hornito: Hornito) -> None:
    for name in ("classifier", "two", "float"):
        output = tmp_path / "o.png"
        found = hornito(
            "detect", "-m", folder / f"{name}.tflite", "-i", place / "picture.png", "-o", output, "--device", "cpu"
        )
        assert (found.code, found.out, len(found.err.splitlines())) == (3, "", 1)
        assert "detect" in found.err and not output.exists()


def test_unknown_suffix_is_refused_before_the_model_is_read(tmp_path: Path, hornito: Hornito) -> None:
    found = hornito("detect", "-m", tmp_path / "none.tflite", "-i", tmp_path / "none.png", "-o", tmp_path / "o.webp")
    assert found.code == 2 and "o.webp" in found.err


@pytest.mark.parametrize("missing", ["--model", "--image"])
def test_model_and_picture_must_be_named(missing: str, place: Path, hornito: Hornito) -> None:
    arguments = base(place)
    index = arguments.index(missing)
    found = hornito(*arguments[:index], *arguments[index + 2 :])
    assert found.code == 2 and missing in found.err and len(found.err.splitlines()) == 1


def test_models_at_hand(shared: Path, tmp_path: Path, hornito: Hornito) -> None:
    models = shared / "models"
    for name, count in (("ssdlite_mobiledet_coco_qat_postprocess", 3), ("yolox", 0)):
        found = hornito(
            *("detect", "--model", models / f"{name}.tflite", "--image", models / "grace_hopper.bmp"),
            *("--labels", models / "coco_labels.txt", "--output", tmp_path / f"{name}.jpg", "--device", "virtual"),
        )
        assert found.code == 0 and len(found.lines) >= count
        with Image.open(tmp_path / f"{name}.jpg") as drawn:
            assert (drawn.format, drawn.size) == ("JPEG", (512, 600))
        if count:
            assert found.lines[0].split()[1] == "person" and found.lines[1].split()[1] == "tie"
