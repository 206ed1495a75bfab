# SPDX-License-Identifier: MIT
"""``hornito detect``: what is where in a picture?"""

import argparse
import contextlib
import math
import time
from pathlib import Path

from hornito.cli.options import (
    add_device_options,
    add_json,
    device_arguments,
    file_name,
    keep_apart,
    positive,
    print_json,
    remark,
)
from hornito.cli.timed_run import add_run_options, timed_run
from hornito.files import atomic_writer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Prints one line a box: score, label, and the pixels of its corners: x0 y0 x1 y1."
    parser.add_argument(
        "-m",
        "--model",
        metavar="MODEL",
        required=True,
        help="a .tflite detector, SSD or YOLOX, or a fetched model's name",
    )
    parser.add_argument(
        "-i", "--image", metavar="FILE", type=file_name, required=True, help="a BMP, PNG or JPEG of any size"
    )
    parser.add_argument("-l", "--labels", metavar="FILE", type=file_name, help="the model's labels, one a line")
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=file_name, help="the picture with boxes, a .png or .jpg to write"
    )
    parser.add_argument(
        "--threshold", metavar="S", type=share, default=0.3, help="the least score, from 0 to 1 (default: 0.3)"
    )
    parser.add_argument("--top", metavar="N", type=positive, help="only the N best boxes")
    add_run_options(parser)
    add_device_options(parser)
    add_json(parser)


def share(text: str) -> float:
    """A number from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 to 1")
    return value


def run(options: argparse.Namespace) -> int:
    keep_apart([options.output] if options.output else [], [options.image, options.model])
    from hornito.examples.detection import (
        detection_line,
        detections,
        detector_labels,
        find_detector,
        set_picture,
    )
    from hornito.examples.drawing import draw, encoded, picture_format
    from hornito.examples.pictures import read_picture
    from hornito.model import find_model
    from hornito.runtime import Interpreter

    if options.output is not None:
        picture_format(options.output)
    model = find_model(options.model)
    labels_file = _labels(options, model)
    begin = time.perf_counter()
    with contextlib.ExitStack() as stack:
        # Now, rather than after all the work: a place that can't be written.
        file = stack.enter_context(atomic_writer(options.output)) if options.output is not None else None
        interpreter = stack.enter_context(Interpreter(model, **device_arguments(options)))
        detector = find_detector(interpreter.graph)
        labels = detector_labels(labels_file, detector) if labels_file else None
        picture = read_picture(options.image, 3)
        done = timed_run(interpreter, begin, lambda: set_picture(interpreter, detector, picture), options)
        height, width = picture.shape[:2]
        found = detections(interpreter, detector, (width, height), labels, options.threshold)[: options.top]
        if file is not None:
            file.write(encoded(options.output, draw(picture, found)))
    if options.json:
        results = [{"score": one.score, "index": one.index, "label": one.label, "box": list(one.box)} for one in found]
        print_json(done.as_json() | {"detector": detector.kind, "width": width, "height": height, "results": results})
        return 0
    done.say()
    for one in found:
        print(detection_line(one))
    if not found:
        remark(f"no box with a score of {options.threshold:g} or more")
    return 0


def _labels(options: argparse.Namespace, model: Path) -> str | None:
    """The file of labels: the one named, else one beside the model."""
    if options.labels:
        return str(options.labels)
    beside = model.with_suffix(".labels.txt")
    return str(beside) if beside.exists() else None
