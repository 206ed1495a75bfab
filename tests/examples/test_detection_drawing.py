# SPDX-License-Identifier: MIT
"""Can drawn boxes be seen, and are pictures written whole and only where they may be?"""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hornito.errors import BadInput
from hornito.examples.detection import Detection
from hornito.examples.drawing import draw, encoded, picture_format


def found(box: tuple[float, float, float, float], score: float = 0.9, index: int = 0, name: str = "cat") -> Detection:
    return Detection(score, index, name, box)


@pytest.mark.parametrize(("width", "height"), [(320, 240), (64, 48), (3000, 2000)])
def test_frame_and_label_are_drawn_and_the_rest_stays(width: int, height: int) -> None:
    picture = np.full((height, width, 3), 30, np.uint8)
    x0, y0, x1, y1 = width // 4, height // 2, width // 2, height * 3 // 4
    drawn = draw(picture, [found((x0, y0, x1, y1))])
    assert np.all(picture == 30) and drawn.shape == picture.shape
    changed = np.any(drawn != picture, axis=2)
    for row, column in ((y0, x0), (y1 - 1, x1 - 1), (y1 - 1, x0), ((y0 + y1) // 2, x0), ((y0 + y1) // 2, x1 - 1)):
        assert changed[row, column]
    label = changed[:y0]
    assert label.any() and changed[y0:, :x0].sum() == 0
    assert not changed[-height // 8 :].any()
    # Letters: more than one colour where the label is.
    colours = np.unique(drawn[:y0][label].reshape(-1, 3), axis=0)
    assert len(colours) > 3


def test_nothing_found_changes_nothing() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (20, 30, 3), np.uint8)
    assert np.array_equal(draw(picture, []), picture)


def test_classes_have_different_colours() -> None:
    picture = np.zeros((200, 200, 3), np.uint8)
    colours = {tuple(draw(picture, [found((20, 100, 120, 180), index=index)])[179, 70]) for index in range(90)}
    assert len(colours) >= 85


@pytest.mark.parametrize("size", [(1, 1), (2, 300), (300, 2), (9, 9), (40, 30)])
@pytest.mark.parametrize("name", ["cat", "a label far too long for any picture of this size", "", "köt 猫"])
def test_any_size_and_any_label_can_be_drawn(size: tuple[int, int], name: str) -> None:
    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    boxes = [(0, 0, width, height), (width - 0.2, height - 0.2, width, height), (0, 0, 0.1, 0.1)]
    drawn = draw(picture, [found(box, name=name) for box in boxes])
    assert drawn.shape == picture.shape and np.any(drawn)


def test_labels_of_neighbours_don_t_hide_each_other() -> None:
    picture = np.zeros((300, 300, 3), np.uint8)
    boxes = [found((100 + 8 * step, 150, 106 + 8 * step, 156), index=step) for step in range(5)]
    alone = [int(np.any(draw(picture, [box])[:, :] != 0, axis=2).sum()) for box in boxes]
    drawn = draw(picture, boxes)
    for box, area in zip(boxes, alone, strict=True):
        colour = draw(picture, [box])[155, round(box.box[0])]
        shown = int(np.all(drawn == colour, axis=2).sum())
        assert shown > 0.4 * area, box


@pytest.mark.parametrize(("name", "form"), [("a.png", "PNG"), ("a.JPG", "JPEG"), ("b.c.jpeg", "JPEG")])
def test_suffix_chooses_the_format(name: str, form: str) -> None:
    picture = np.full((8, 9, 3), 200, np.uint8)
    with Image.open(io.BytesIO(encoded(name, picture))) as image:
        assert (image.format, image.size) == (form, (9, 8))
        assert np.abs(np.asarray(image).astype(int) - 200).max() <= 2


@pytest.mark.parametrize("name", ["a", "a.gif", "a.tflite", ".png", "png"])
def test_other_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="name a .png"):
        picture_format(tmp_path / name)


def test_picture_too_long_for_jpeg_is_refused() -> None:
    with pytest.raises(BadInput, match="name a .png"):
        encoded("a.jpg", np.zeros((1, 70000, 3), np.uint8))
