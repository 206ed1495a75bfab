# SPDX-License-Identifier: MIT
"""Are detectors recognised by their outputs, and are their tensors read as what they mean?"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hornito.errors import BadInput, Unsupported
from hornito.examples.detection import (
    Detection,
    detection_line,
    detections,
    detector_labels,
    find_detector,
    set_picture,
)
from hornito.examples.labels import read_labels
from hornito.examples.ssd import Ssd
from hornito.examples.yolox import Head, Yolox
from hornito.model import ModelBuilder, affine, read_model
from hornito.runtime import Interpreter
from tests.examples.detectors import ssd, yolox
from tests.runtime.networks import image, small_float

GREY = np.full((32, 64, 3), 120, np.uint8)


def run(model: bytes, size: tuple[int, int] = (64, 32), threshold: float = 0.3) -> list[Detection]:
    with Interpreter(model_content=model, device="cpu") as interpreter:
        detector = find_detector(interpreter.graph)
        interpreter.allocate_tensors()
        set_picture(interpreter, detector, np.zeros((size[1], size[0], 3), np.uint8))
        interpreter.invoke()
        return detections(interpreter, detector, size, None, threshold)


def test_yolox_is_recognised() -> None:
    detector = find_detector(read_model(yolox()))
    assert isinstance(detector, Yolox)
    assert (detector.columns, detector.rows, detector.classes) == (64, 32, 3)
    assert [(head.stride, head.logits) for head in detector.heads] == [(8, True), (16, True), (32, True)]


def test_heads_may_come_in_any_order() -> None:
    detector = find_detector(read_model(yolox((32, 8, 16))))
    assert isinstance(detector, Yolox)
    assert [head.stride for head in detector.heads] == [32, 8, 16]
    assert run(yolox((32, 8, 16))) == run(yolox())


def test_sigmoid_in_the_model_is_seen() -> None:
    detector = find_detector(read_model(yolox(sigmoid=True)))
    assert isinstance(detector, Yolox)
    assert not any(head.logits for head in detector.heads)


@pytest.mark.parametrize("sigmoid", [False, True])
def test_yolox_finds_what_its_heads_say(sigmoid: bool) -> None:
    found = run(yolox(sigmoid=sigmoid))
    assert [one.index for one in found] == [1, 1]
    assert [one.box for one in found] == [(0, 0, 32, 32), (32, 0, 64, 32)]
    sure = 1 / (1 + math.exp(-3))
    assert [one.score for one in found] == pytest.approx([sure * sure] * 2, abs=0.01)
    assert run(yolox(sigmoid=sigmoid), threshold=0.95) == []


def test_yolox_boxes_are_cut_at_the_picture_and_scaled_to_it() -> None:
    assert [one.box for one in run(yolox(), (32, 64))] == [(0, 0, 32, 64)]
    assert [one.box for one in run(yolox(), (640, 320))] == [(0, 0, 320, 320), (320, 0, 640, 320)]


def test_ssd_is_recognised_and_read() -> None:
    detector = find_detector(read_model(ssd()))
    assert detector == Ssd(8, 8, 3)
    found = run(ssd(), (200, 100), threshold=0.5)
    assert [(one.index, one.pixels) for one in found] == [(2, (0, 0, 100, 50)), (0, (100, 50, 200, 100))]
    assert [one.score for one in found] == pytest.approx([0.9, 0.6])
    assert [one.index for one in run(ssd(), threshold=0.7)] == [2]
    assert run(ssd(), threshold=1) == []


@pytest.mark.parametrize(
    "model",
    [
        ssd(post_processed=False),
        yolox((8, 16)),
        yolox((8, 16, 16)),
        yolox((4, 8, 16)),
        small_float(),
    ],
    ids=["heads of an SSD", "two heads", "a stride twice", "other strides", "float"],
)
def test_other_models_are_refused_in_one_line(model: bytes) -> None:
    with pytest.raises(Unsupported) as caught:
        find_detector(read_model(model))
    assert "\n" not in str(caught.value)
    assert "detector" in str(caught.value) or "detect takes" in str(caught.value)


def test_model_without_classes_is_refused() -> None:
    builder = ModelBuilder()
    value = image(builder)
    builder.output(value)
    with pytest.raises(Unsupported, match="outputs \\(1x6x8x3\\)"):
        find_detector(read_model(builder.build()))


def test_model_of_other_inputs_is_refused() -> None:
    builder = ModelBuilder()
    builder.output(image(builder, channels=4))
    with pytest.raises(Unsupported, match="1, 6, 8, 4"):
        find_detector(read_model(builder.build()))


def test_hand_made_head_is_decoded_cell_by_cell() -> None:
    head = Head(16, affine(0.1, 100), logits=False)
    values = np.full((1, 2, 3, 7), 100, np.uint8)
    values[0, 1, 2] = [105, 110, 100, 107, 108, 103, 110]
    real = head.real(values)
    assert real[5] == pytest.approx([0.5, 1, 0, 0.7, 0.8, 0.3, 1.0], abs=1e-6)
    boxes = head.boxes(real, 3)
    assert boxes[0] == pytest.approx([-8, -8, 8, 8])
    high = 16 * math.exp(0.7)
    assert boxes[5] == pytest.approx([40 - 8, 32 - high / 2, 40 + 8, 32 + high / 2], rel=1e-6)


def test_hand_made_logits_pass_a_sigmoid_and_boxes_don_t() -> None:
    real = Head(8, None, logits=True).real(np.array([[[[2.0, -2.0, 1.0, 0.0, 0.0, math.log(3)]]]], np.float32))
    assert real[0] == pytest.approx([2, -2, 1, 0, 0.5, 0.75])


def test_equal_scores_keep_the_order_of_heads_and_cells() -> None:
    heads = tuple(Head(stride, None, logits=False) for stride in (8, 16, 32))
    outputs = [np.ones((1, 32 // head.stride, 64 // head.stride, 6), np.float32) for head in heads]
    for output in outputs:
        output[..., :2], output[..., 2:4] = 0.5, -1
    boxes, scores, classes = Yolox(64, 32, 1, heads).decode(outputs, 64, 32, 0.5)
    assert len(boxes) == 32 + 8 + 2 and np.all(scores == 1) and np.all(classes == 0)
    assert boxes[0] == pytest.approx([4 - 4 / math.e, 4 - 4 / math.e, 4 + 4 / math.e, 4 + 4 / math.e])
    assert (boxes[1, 0] - boxes[0, 0], boxes[1, 1]) == pytest.approx((8, boxes[0, 1]))


def test_threshold_itself_is_enough() -> None:
    head = Head(32, None, logits=False)
    output = np.array([[[[0.5, 0.5, 0, 0, 0.5, 0.5]]]], np.float32)
    detector = Yolox(32, 32, 1, (head,))
    assert len(detector.decode([output], 32, 32, 0.25)[0]) == 1
    assert len(detector.decode([output], 32, 32, 0.2501)[0]) == 0


def test_threshold_itself_is_enough_for_an_ssd_and_equal_scores_keep_their_order() -> None:
    count = 40
    places = np.tile([0.0, 0.0, 1.0, 1.0], (1, count, 1))
    scores = np.where(np.arange(count) % 2, 0.5, 0.25)[np.newaxis]
    outputs = [places, np.arange(count)[np.newaxis], scores, np.array([float(count)])]
    _, _, classes = Ssd(8, 8, count).decode(outputs, 10, 10, 0.25)
    assert classes.tolist() == [*range(1, count, 2), *range(0, count, 2)]
    assert len(Ssd(8, 8, count).decode(outputs, 10, 10, 0.2501)[0]) == count // 2


@pytest.mark.parametrize(("apart", "kept"), [(3.5, 1), (4.0, 2)])
def test_yolox_takes_boxes_for_the_same_that_overlap_by_more_than_its_default(apart: float, kept: int) -> None:
    """Two boxes of 10 by 10: they overlap by (10 - d) / (10 + d), 0.48 and 0.43."""
    size = math.log(10 / 8)
    output = np.array([[[[0.0, 0.5, size, size, 1, 1], [apart / 8 - 1, 0.5, size, size, 1, 1]]]], np.float32)
    detector = Yolox(64, 64, 1, (Head(8, None, logits=False),))
    assert len(detector.decode([output], 64, 64, 0.5)[0]) == kept


def test_boxes_of_absurd_size_stay_numbers() -> None:
    output = np.array([[[[0.5, 0.5, 1000, 1000, 1, 1]]]], np.float32)
    boxes, _, _ = Yolox(32, 32, 1, (Head(32, None, logits=False),)).decode([output], 32, 32, 0.5)
    assert np.all(np.isfinite(boxes)) and boxes[0, 2] > 1e9


def test_heads_without_classes_are_no_yolox() -> None:
    builder = ModelBuilder()
    builder.input("image", (1, 32, 64, 3), np.uint8, quantization=affine(1.0))
    for side in (8, 16, 32):
        head = builder.input(f"head {side}", (1, 32 // side, 64 // side, 5), np.uint8, quantization=affine(1.0))
        builder.output(head)
    graph = read_model(builder.build())
    with pytest.raises(Unsupported, match="no detector's"):
        find_detector(replace(graph, inputs=graph.inputs[:1]))


def test_outputs_that_are_no_numbers_are_refused() -> None:
    outputs = [np.full((1, 2, 4), np.nan), np.zeros((1, 2)), np.ones((1, 2)), np.array([2.0])]
    with pytest.raises(BadInput, match="no numbers"):
        Ssd(8, 8, 3).decode(outputs, 10, 10, 0.3)


def test_only_as_many_boxes_as_the_model_counts() -> None:
    """Behind them the operator leaves whatever the memory held."""
    outputs = [np.tile([0.0, 0.0, 1.0, 1.0], (1, 3, 1)), np.zeros((1, 3)), np.ones((1, 3)), np.array([2.0])]
    for output in outputs[:3]:
        output[0, 2] = np.nan
    boxes, scores, _ = Ssd(8, 8, 3).decode(outputs, 10, 20, 0.3)
    assert boxes.tolist() == [[0, 0, 10, 20]] * 2 and scores.tolist() == [1, 1]
    for nothing in (0.0, -1.0, np.nan):
        assert len(Ssd(8, 8, 3).decode([*outputs[:3], np.array([nothing])], 10, 20, 0.3)[0]) == 0


def test_boxes_beside_the_picture_are_dropped() -> None:
    places = np.array([[[0.0, 1.5, 1.0, 2.0], [0.5, -0.5, 1.5, 0.5], [0.4, 0.4, 0.4, 0.6]]])
    outputs = [places, np.zeros((1, 3)), np.ones((1, 3)), np.array([3.0])]

    class Fake:
        graph = read_model(ssd())

        def get_tensor(self, index: int) -> object:
            return outputs[self.graph.outputs.index(index)]

    found = detections(Fake(), Ssd(8, 8, 3), (100, 100))  # type: ignore[arg-type]
    assert [one.pixels for one in found] == [(0, 50, 50, 100)]


def test_picture_is_given_as_each_detector_wants_it() -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[..., 0] = 200
    assert Ssd(8, 8, 3).prepare(picture)[0, 0, 0].tolist() == [200, 0, 0]
    wide = Yolox(64, 32, 3, ()).prepare(picture)
    assert wide.shape == (1, 32, 64, 3) and wide.flags.c_contiguous
    assert wide[0, 31, 31].tolist() == [0, 0, 200] and wide[0, 0, 32].tolist() == [114] * 3
    assert Ssd(8, 8, 3).real(np.array([0, 255], np.uint8)).tolist() == [-1, 1]
    assert Yolox(64, 32, 3, ()).real(np.array([0, 255], np.uint8)).tolist() == [0, 255]


LABELS = "person\nbicycle\nn/a\ncat\nn/a\ndog\n"


def test_yolox_skips_labels_that_are_none_and_ssd_counts_them(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text(LABELS)
    assert detector_labels(str(path), Yolox(64, 32, 4, ())) == ["person", "bicycle", "cat", "dog"]
    assert detector_labels(str(path), Ssd(8, 8, 6)) == ["person", "bicycle", "n/a", "cat", "n/a", "dog"]
    with pytest.raises(BadInput, match="has 4 labels, the model 5"):
        detector_labels(str(path), Yolox(64, 32, 5, ()))
    assert read_labels(path, 1, skipped="person") == ["bicycle"]


def test_labels_of_the_models_at_hand(shared: Path) -> None:
    """COCO's numbers have gaps, as the file has; 91 values a box are 90 and the background."""
    labels = str(shared / "models" / "coco_labels.txt")
    for name, classes in (("ssdlite_mobiledet_coco_qat_postprocess", 90), ("yolox", 80)):
        detector = find_detector(read_model(shared / "models" / f"{name}.tflite"))
        assert detector.classes == classes
        named = detector_labels(labels, detector)
        assert (named[0], named[-1]) == ("person", "toothbrush")
        assert (named.index("tie"), "n/a" in named) == ((31, True) if classes == 90 else (27, False))


def test_class_that_no_label_names_is_refused() -> None:
    with Interpreter(model_content=ssd(), device="cpu") as interpreter:
        detector = find_detector(interpreter.graph)
        interpreter.allocate_tensors()
        set_picture(interpreter, detector, GREY)
        interpreter.invoke()
        with pytest.raises(BadInput, match="class 2, the labels name 2"):
            detections(interpreter, detector, (64, 32), ["a", "b"])


def test_a_line_has_score_label_and_corners() -> None:
    assert detection_line(Detection(0.871, 0, "person", (12.2, 29.6, 200, 310))) == "0.87 person 12 30 200 310"
    assert detection_line(Detection(0.5, 7, None, (0, 0, 1, 1))) == "0.50 7 0 0 1 1"


def test_class_numbers_of_mobiledet_mean_label_lines(shared: Path) -> None:
    """The officer in the picture wears a tie: class 31 is line 31, with the gaps; without them "snowboard"."""
    with Interpreter(shared / "models" / "ssdlite_mobiledet_coco_qat_postprocess.tflite", device="cpu") as interpreter:
        detector = find_detector(interpreter.graph)
        labels = detector_labels(str(shared / "models" / "coco_labels.txt"), detector)
        interpreter.allocate_tensors()
        picture = np.asarray(Image.open(shared / "models" / "grace_hopper.bmp").convert("RGB"))
        set_picture(interpreter, detector, picture)
        interpreter.invoke()
        found = detections(interpreter, detector, (picture.shape[1], picture.shape[0]), labels)
    assert [one.label for one in found[:2]] == ["person", "tie"]
    x0, y0, x1, y1 = found[1].box
    assert 200 < x0 < x1 < 320 and 380 < y0 < y1 < 560  # where the tie is


def test_class_below_the_first_label_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels are counted from 0, and none from behind."""
    found = np.array([[0.0, 0, 8, 8]]), np.array([0.9]), np.array([-1])
    monkeypatch.setattr(Ssd, "decode", lambda *_: found)
    with Interpreter(model_content=ssd(), device="cpu") as interpreter:
        detector = find_detector(interpreter.graph)
        interpreter.allocate_tensors()
        set_picture(interpreter, detector, GREY)
        interpreter.invoke()
        with pytest.raises(BadInput, match="class -1, the labels name 2"):
            detections(interpreter, detector, (64, 32), ["person", "bicycle"])
