# SPDX-License-Identifier: MIT
"""``hornito run --frames``: how does a film go through a model? Frame by frame, in the memory of a few frames.

While a frame runs, the next ones are read and resized in another thread.
"""

import contextlib
import glob
import os
import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hornito.cli.arrays import Form, Runnable, Stack, check, kind, load_array, summary, summary_line
from hornito.cli.options import counted, print_json_line, remark
from hornito.cli.progress import Progress, shown
from hornito.errors import BadInput, Unsupported

PICTURES = (".bmp", ".png", ".jpg", ".jpeg")
ARRAYS = ".npy"
AHEAD = 2  # frames that are ready, or are being made so, while one runs
CURE = "give a folder of BMP, PNG, JPEG or .npy files, a pattern that fits such files, or one .npy file of many frames"


@dataclass(frozen=True)
class Frame:
    """One frame: what messages call it, and its file. ``number``: which one it is in a file of many."""

    name: str
    path: Path
    number: int | None = None


def find_frames(place: str) -> list[Frame]:
    """The frames in a folder, in all files that fit a pattern, or in a .npy file of many, in the order of their names.

    Numbers in names count by value: frame10 comes after frame9; 01 comes before 1. Of several folders one follows the
    other. In a folder, hidden files and those of other kinds are
    passed over. Raises BadInput where there are no frames.
    """
    path = Path(place)
    if path.is_dir():
        try:
            entries = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        except OSError as error:
            raise BadInput(f"{place}: can't be read ({error.strerror}); {CURE}") from error
        found = [entry for entry in entries if _is_frame(entry)]
    elif path.suffix.lower() == ARRAYS and path.exists():
        return _stacked(path)
    elif not path.exists() and not glob.has_magic(place):
        raise BadInput(f"{place}: no such folder or file; {CURE}")
    else:
        found = [path] if path.exists() else [Path(name) for name in glob.glob(place)]
        for each in found:
            if not _is_frame(each):
                raise BadInput(f"{each}: is neither a picture nor an array; {CURE}")
    if not found:
        raise BadInput(f"{place}: no frames are there; {CURE}")
    return [Frame(str(each), each) for each in sorted(found, key=_order)]


def keep_out(outputs: Sequence[str], place: str) -> None:
    """Refuse outputs that the next run would take for frames. Raises BadInput."""
    for output in map(Path, outputs):
        if Path(place).is_dir():
            among = output.resolve().parent == Path(place).resolve()
        else:
            among = glob.has_magic(place) and Path(os.path.abspath(output)).match(os.path.abspath(place))
        if among and _is_frame(output) and not output.name.startswith("."):
            raise BadInput(f"{output}: would be a frame of {place} the next time; write the output somewhere else")


def _is_frame(path: Path) -> bool:
    return path.suffix.lower() in (*PICTURES, ARRAYS)


def _order(path: Path) -> tuple[list[list[tuple[int, str]]], str]:
    """What paths are sorted by: folder by folder, digits as numbers; where these are equal (1, 01), as text."""
    return [_natural(part) for part in path.parts], str(path)


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _stacked(path: Path) -> list[Frame]:
    values = load_array(path, mapped=True)
    if values.ndim < 2 or not len(values):
        raise BadInput(f"{path}: {kind(values.dtype, values.shape)} holds no frames; {CURE}")
    return [Frame(f"{path}[{number}]", path, number) for number in range(len(values))]


def load_frame(frame: Frame, form: Form) -> Any:
    """A frame as the model takes it: arrays have to fit, pictures are resized. Raises BadInput, Unsupported."""
    import numpy as np

    if frame.path.suffix.lower() == ARRAYS:
        value = load_array(frame.path, mapped=frame.number is not None)
        if frame.number is not None:
            value = value[frame.number]
            if form.shape[:1] == (1,) and value.ndim == len(form.shape) - 1:
                value = value[np.newaxis]
        return np.array(check(value, form, frame.name))
    from hornito.examples.pictures import as_input, load_picture

    if len(form.shape) != 4 or form.shape[0] != 1 or form.shape[3] not in (1, 3):
        raise Unsupported(f"{frame.name}: input {form.name!r} takes {form}, which no picture is; give .npy files")
    return as_input(load_picture(frame.path, *form.shape[1:]), form.dtype)


def run_frames(frames: Sequence[Frame], runnable: Runnable, files: Sequence[BinaryIO], as_json: bool) -> None:
    """All frames of ``--frames``: a line each, and the outputs into ``files``, stacked. Raises BadInput, Unsupported,
    DeviceError."""
    if len(runnable.inputs) != 1:
        raise Unsupported(f"the model takes {counted(len(runnable.inputs), 'input')}; --frames is for models of one")
    form = runnable.inputs[0]
    stacks = [Stack(file, len(frames)) for file in files]
    begin = first = time.perf_counter()
    with _progress() as progress:
        for number, (frame, value) in enumerate(ahead(frames, lambda frame: load_frame(frame, form))):
            results = runnable.run([value])
            if number == 0:
                remark(f"device: {runnable.device()}")
                first = time.perf_counter()
            for stack, result in zip(stacks, results, strict=False):
                stack.append(result, frame.name)
            found = [summary(name, result) for name, result in zip(runnable.outputs, results, strict=True)]
            if as_json:
                print_json_line({"frame": frame.name, "outputs": found})
            else:
                print(f"{frame.name}: {'; '.join(map(summary_line, found))}")
            if progress is not None:
                progress.update(number + 1, len(frames))
    end = time.perf_counter()
    rate = f"; {(len(frames) - 1) / (end - first):.1f} frames/s after the first" if len(frames) > 1 else ""
    remark(f"{counted(len(frames), 'frame')} in {end - begin:.2f} s{rate}")


def _progress() -> contextlib.AbstractContextManager[Progress | None]:
    """A bar, where a terminal shows no results meanwhile."""
    seen = sys.stdout is not None and sys.stdout.isatty()
    bar = sys.stderr is not None and sys.stderr.isatty() and not seen
    return shown("frames") if bar else contextlib.nullcontext()


def ahead(frames: Sequence[Frame], load: Callable[[Frame], Any]) -> Iterator[tuple[Frame, Any]]:
    """Each frame and what ``load`` makes of it, while another thread makes those that follow. Raises what it raises."""
    waiting: deque[tuple[Frame, Future[Any]]] = deque()
    following = iter(frames)
    pool = ThreadPoolExecutor(1, "hornito-frames")
    try:
        while True:
            for frame in following:
                waiting.append((frame, pool.submit(load, frame)))
                if len(waiting) > AHEAD:
                    break
            if not waiting:
                return
            frame, value = waiting.popleft()
            yield frame, value.result()
    finally:
        pool.shutdown(cancel_futures=True)
