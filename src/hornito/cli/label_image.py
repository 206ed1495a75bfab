# SPDX-License-Identifier: MIT
"""``hornito label-image``: what does a picture show?"""

import argparse
import math
import time
from pathlib import Path
from typing import Any

from hornito.cli.options import (
    add_device_options,
    add_json,
    counted,
    device_arguments,
    file_name,
    positive,
    print_json,
    remark,
)
from hornito.cli.timed_run import add_run_options, timed_run
from hornito.errors import BadInput, Unsupported


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "Without --model: the built-in classifier of digits, on its sample picture unless --image is given."
    parser.add_argument("-m", "--model", metavar="MODEL", help="a .tflite classifier, or the name of a fetched model")
    parser.add_argument("-i", "--image", metavar="FILE", type=file_name, help="a BMP, PNG or JPEG of any size")
    parser.add_argument("-l", "--labels", metavar="FILE", type=file_name, help="the model's labels, one a line")
    add_run_options(parser)
    parser.add_argument("--top", metavar="N", type=positive, default=5, help="how many labels to print (default: 5)")
    add_device_options(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.examples import load_picture, read_labels, score_line, top
    from hornito.examples.pictures import as_input
    from hornito.runtime import Interpreter

    model, image, labels_file = _sources(options)
    begin = time.perf_counter()
    with Interpreter(model, **device_arguments(options)) as interpreter:
        given, result = _ends(interpreter)
        labels = read_labels(labels_file, int(result["shape"][-1])) if labels_file else None
        picture = load_picture(image, *(int(size) for size in given["shape"][1:]))
        done = timed_run(
            interpreter,
            begin,
            lambda: interpreter.set_tensor(given["index"], as_input(picture, given["dtype"])),
            options,
        )
        found = top(interpreter.get_tensor(result["index"]), options.top)
    if options.json:
        results = [
            {"index": index, "score": score, "label": labels[index] if labels else None} for index, score in found
        ]
        print_json(done.as_json() | {"results": results})
        return 0
    if options.model is None and options.image is None:
        remark("picture: the package's own, a handwritten 3")
    done.say()
    for index, score in found:
        print(score_line(index, score, labels[index] if labels else ""))
    return 0


def _sources(options: argparse.Namespace) -> tuple[Path, Path, Path | None]:
    """Model, picture and labels; what belongs to the built-in classifier stands in for what is not given."""
    from hornito.examples import builtin_labels, builtin_model, builtin_picture
    from hornito.model import find_model

    if options.model is None:
        labels = Path(options.labels) if options.labels else builtin_labels()
        return builtin_model(), Path(options.image) if options.image else builtin_picture(), labels
    if options.image is None:
        raise BadInput("--model needs a picture to go with it; name one with --image")
    model = find_model(options.model)
    beside = model.with_suffix(".labels.txt")
    return model, Path(options.image), Path(options.labels) if options.labels else beside if beside.exists() else None


def _ends(interpreter: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Details of the classifier's input and output. Raises Unsupported for a model of another form."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if len(inputs) != 1 or len(outputs) != 1:
        raise Unsupported(
            f"the model has {counted(len(inputs), 'input')} and {counted(len(outputs), 'output')}; "
            "label-image takes one each, 'hornito detect' takes detectors"
        )
    shape = tuple(int(size) for size in inputs[0]["shape"])
    if len(shape) != 4 or shape[0] != 1 or shape[3] not in (1, 3):
        raise Unsupported(f"the model's input has the shape {shape}; label-image takes (1, height, width, 1 or 3)")
    scores = tuple(int(size) for size in outputs[0]["shape"])
    if not scores or math.prod(scores) != scores[-1]:
        raise Unsupported(f"the model's output has the shape {scores}; label-image takes one row of scores")
    return inputs[0], outputs[0]
