# SPDX-License-Identifier: MIT
"""``hornito run``: arrays through a model, or through a submission file that was compiled from one."""

import argparse
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from hornito.cli.arrays import Form, Runnable, check, load_array, save, summary, summary_line
from hornito.cli.frames import find_frames, keep_out, run_frames
from hornito.cli.options import (
    LEVEL,
    add_device_options,
    add_fault,
    add_json,
    counted,
    device_arguments,
    fault_plan,
    file_name,
    keep_apart,
    print_json,
    remark,
)
from hornito.cli.timed_run import device_line
from hornito.errors import BadInput, Unsupported
from hornito.files import atomic_writer

SUBMISSION_SUFFIX = ".npz"
MOST_SHOWN = 4  # inputs in a message


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a .tflite or .npz file, or the name of a fetched model")
    parser.add_argument(
        "--input",
        metavar="FILE",
        type=file_name,
        action="append",
        default=[],
        help="an input (.npy), once for each, in order",
    )
    parser.add_argument(
        "--frames",
        metavar="PLACE",
        type=file_name,
        help="many inputs, one after the other: a folder of pictures or .npy files, a pattern, or one .npy of many",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=file_name,
        action="append",
        default=[],
        help="where an output goes (.npy), those of all frames stacked; likewise",
    )
    add_device_options(parser)
    add_fault(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    if options.frames is not None and options.input:
        raise BadInput("--frames and --input: one of them says what goes in; leave the other out")
    frames = [] if options.frames is None else find_frames(options.frames)
    keep_apart(options.output, [options.model, *options.input, *{str(frame.path) for frame in frames}])
    if options.frames is not None:
        keep_out(options.output, options.frames)
    opened = _submissions if options.model.endswith(SUBMISSION_SUFFIX) else _model
    with _outputs(options.output) as files, opened(options) as runnable:
        if len(files) > len(runnable.outputs):
            has = counted(len(runnable.outputs), "output")
            raise BadInput(f"the model has {has}; got {len(files)} --output: leave some out")
        if options.frames is not None:
            run_frames(frames, runnable, files, options.json)
            return 0
        results = runnable.run(_read_inputs(options.input, runnable.inputs))
        remark(f"device: {runnable.device()}")
        for file, value in zip(files, results, strict=False):
            save(file, value)
    found = [summary(name, value) for name, value in zip(runnable.outputs, results, strict=True)]
    if options.json:
        print_json(found)
    else:
        for line in found:
            print(summary_line(line))
    return 0


@contextlib.contextmanager
def _outputs(paths: Sequence[str]) -> Iterator[list[BinaryIO]]:
    """A file for each path; all of them appear, whole, when the block ends well, else none. Raises BadInput."""
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise BadInput("two --output name the same file; give each a name of its own")
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(atomic_writer(path)) for path in paths]


@contextlib.contextmanager
def _model(options: argparse.Namespace) -> Iterator[Runnable]:
    """A model to be compiled, once it is known that inputs fit."""
    from hornito.model import find_model
    from hornito.runtime import Interpreter

    with Interpreter(find_model(options.model), **device_arguments(options)) as interpreter:
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()

        def run_once(values: Sequence[Any]) -> list[Any]:
            interpreter.allocate_tensors()
            for detail, value in zip(inputs, values, strict=True):
                interpreter.set_tensor(detail["index"], value)
            interpreter.invoke()
            return [interpreter.get_tensor(detail["index"]) for detail in outputs]

        forms = [Form(detail["name"], detail["dtype"], tuple(map(int, detail["shape"]))) for detail in inputs]
        names = [detail["name"] for detail in outputs]
        yield Runnable(forms, names, run_once, lambda: device_line(interpreter))


@contextlib.contextmanager
def _submissions(options: argparse.Namespace) -> Iterator[Runnable]:
    """A submission file."""
    from hornito.cli.progress import preparation
    from hornito.model import find_model
    from hornito.runtime import Emulation, Session, open_device
    from hornito.stream import read_archive

    path = find_model(options.model)
    archive = read_archive(path)
    _check_compiled(options, archive.level)
    if not archive.segments:
        raise BadInput(f"{path}: holds submissions but no model (no 'meta'), so nothing says what goes in and out")
    emulation = Emulation(archive.chip, fault_plan(options), threads=options.threads)
    device = open_device(options.device, options.chip, preparation(), emulation=emulation)
    if device is None:
        raise Unsupported(f"{path}: a submission file needs an NPU, real or virtual; use --device virtual")
    with device:
        session = Session(archive, device, options.threads)

        def run_once(values: Sequence[Any]) -> list[Any]:
            found = session.run({t.index: value for t, value in zip(session.inputs, values, strict=True)})
            for tensor in session.outputs:
                if tensor.index not in found:
                    raise Unsupported(f"{path}: output {tensor.name} is computed by no segment; run the model itself")
            return [found[tensor.index] for tensor in session.outputs]

        forms = [Form(tensor.name, tensor.dtype, tensor.shape) for tensor in session.inputs]
        names = [tensor.name for tensor in session.outputs]
        yield Runnable(forms, names, run_once, lambda: f"{device.name} ({device.chip.name})")
        session.close()


def _check_compiled(options: argparse.Namespace, level: str) -> None:
    """Refuse what only a compiler could heed; to name the level that a file was compiled at does no harm."""
    given = {
        "--disable": options.disable,
        "--per-axis-error": options.per_axis_error is not None,
        "--evidence": options.evidence,
        "--without": options.without,
        "--plan": options.plan not in (LEVEL, level),
    }
    for name, is_given in given.items():
        if is_given:
            raise BadInput(f"{name} has no meaning for a submission file; give it to 'hornito compile'")


def _read_inputs(paths: Sequence[str], wanted: Sequence[Form]) -> list[Any]:
    """The arrays of --input, as the model takes them. Raises BadInput."""
    if len(paths) != len(wanted):
        shown = [f"{form.name} {form}" for form in wanted[:MOST_SHOWN]]
        shown += ["..."] if len(wanted) > MOST_SHOWN else []
        raise BadInput(
            f"the model takes {counted(len(wanted), 'input')} ({', '.join(shown) or 'none'}); "
            f"got {len(paths)} --input: give one .npy file for each"
        )
    return [check(load_array(Path(path)), form, path) for path, form in zip(paths, wanted, strict=True)]
