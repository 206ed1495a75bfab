# SPDX-License-Identifier: MIT
"""``hornito run``: arrays through a model, or through a submission file that was compiled from one."""

import argparse
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from hornito.cli.options import (
    LEVEL,
    add_device_options,
    add_fault,
    add_json,
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
        "--output",
        metavar="FILE",
        type=file_name,
        action="append",
        default=[],
        help="where an output goes (.npy); likewise",
    )
    add_device_options(parser)
    add_fault(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    keep_apart(options.output, [options.model, *options.input])
    with _outputs(options.output) as files:
        results = _run_submissions(options) if options.model.endswith(SUBMISSION_SUFFIX) else _run_model(options)
        for file, (_, value) in zip(files, results, strict=False):
            _save(file, value)
    summary = [_summary(name, value) for name, value in results]
    if options.json:
        print_json(summary)
    else:
        for line in summary:
            print(f"{line['name']}: {line['dtype']} {line['shape']}, {line['min']} .. {line['max']}")
    return 0


@contextlib.contextmanager
def _outputs(paths: Sequence[str]) -> Iterator[list[BinaryIO]]:
    """A file for each path; all of them appear, whole, when the block ends well, else none. Raises BadInput."""
    if len({os.path.realpath(path) for path in paths}) < len(paths):
        raise BadInput("two --output name the same file; give each a name of its own")
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(atomic_writer(path)) for path in paths]


def _save(file: BinaryIO, value: Any) -> None:
    import numpy as np

    if value.dtype.hasobject:
        raise Unsupported(f"an output of {value.dtype} can't be kept in a .npy file; leave --output out")
    np.save(file, value, allow_pickle=False)


def _run_model(options: argparse.Namespace) -> list[tuple[str, Any]]:
    from hornito.model import find_model
    from hornito.runtime import Interpreter

    with Interpreter(find_model(options.model), **device_arguments(options)) as interpreter:
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        values = _read_inputs(options, [(d["name"], d["dtype"], tuple(d["shape"])) for d in inputs], len(outputs))
        interpreter.allocate_tensors()
        for detail, value in zip(inputs, values, strict=True):
            interpreter.set_tensor(detail["index"], value)
        interpreter.invoke()
        remark(f"device: {device_line(interpreter)}")
        return [(detail["name"], interpreter.get_tensor(detail["index"])) for detail in outputs]


def _run_submissions(options: argparse.Namespace) -> list[tuple[str, Any]]:
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
        inputs = [(tensor.name, tensor.dtype, tensor.shape) for tensor in session.inputs]
        values = _read_inputs(options, inputs, len(session.outputs))
        found = session.run({t.index: value for t, value in zip(session.inputs, values, strict=True)})
        session.close()
        remark(f"device: {device.name} ({device.chip.name})")
        for tensor in session.outputs:
            if tensor.index not in found:
                raise Unsupported(f"{path}: output {tensor.name} is computed by no segment; run the model itself")
        return [(tensor.name, found[tensor.index]) for tensor in session.outputs]


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


def _read_inputs(
    options: argparse.Namespace, wanted: Sequence[tuple[str, Any, tuple[int, ...]]], outputs: int
) -> list[Any]:
    """The arrays of --input, checked against (name, dtype, shape) of each input. Raises BadInput."""
    if len(options.input) != len(wanted):
        shown = [f"{name} {_kind(dtype, shape)}" for name, dtype, shape in wanted[:MOST_SHOWN]]
        shown += ["..."] if len(wanted) > MOST_SHOWN else []
        raise BadInput(
            f"the model takes {_count(len(wanted), 'input')} ({', '.join(shown) or 'none'}); "
            f"got {len(options.input)} --input: give one .npy file for each"
        )
    if len(options.output) > outputs:
        raise BadInput(f"the model has {_count(outputs, 'output')}; got {len(options.output)} --output: leave some out")
    return [_read_input(Path(path), *want) for path, want in zip(options.input, wanted, strict=True)]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _kind(dtype: Any, shape: Sequence[int]) -> str:
    import numpy as np

    return f"{np.dtype(dtype).name} {tuple(int(size) for size in shape)}"


def _read_input(path: Path, name: str, dtype: Any, shape: tuple[int, ...]) -> Any:
    import numpy as np

    try:
        value = np.load(path, allow_pickle=False)
    except OSError as error:
        raise BadInput(f"{path}: can't be read ({error.strerror or error})") from error
    except (ValueError, EOFError, MemoryError) as error:
        # numpy's own words would advise to trust the file.
        raise BadInput(f"{path}: holds no array of numbers that fits; make one with numpy.save") from error
    if not isinstance(value, np.ndarray):
        raise BadInput(f"{path}: holds several arrays; give one .npy file for each input")
    if value.dtype != np.dtype(dtype) or value.shape != tuple(shape):
        cure = "convert it" if value.dtype != np.dtype(dtype) else "give it that shape"
        got = _kind(value.dtype, value.shape)
        raise BadInput(f"{path}: {got}; input {name} takes {_kind(dtype, shape)}: {cure}")
    return value


def _summary(name: str, value: Any) -> dict[str, Any]:
    shape = [int(size) for size in value.shape]
    numbers = value.size and value.dtype.kind in "iufb"
    low, high = (value.min().item(), value.max().item()) if numbers else (None, None)
    return {"name": name, "dtype": value.dtype.name, "shape": shape, "min": low, "max": high}
