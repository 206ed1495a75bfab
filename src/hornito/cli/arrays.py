# SPDX-License-Identifier: MIT
"""How do arrays come from .npy files and go into them, and what is said of them?"""

import io
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from hornito.errors import BadInput, Unsupported
from hornito.files import check_ordinary


@dataclass(frozen=True)
class Form:
    """What a model takes: an array of that type (as numpy knows it) and shape."""

    name: str
    dtype: Any
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return kind(self.dtype, self.shape)


@dataclass(frozen=True)
class Runnable:
    """A model that is ready to run: what it takes, the names of what it gives, and for ``device`` what runs it, once it
    has run."""

    inputs: list[Form]
    outputs: list[str]
    run: Callable[[Sequence[Any]], list[Any]]
    device: Callable[[], str]


def kind(dtype: Any, shape: Sequence[int]) -> str:
    """An array's type, for a person: ``uint8 (1, 224, 224, 3)``."""
    import numpy as np

    return f"{np.dtype(dtype).name} {tuple(int(size) for size in shape)}"


def load_array(path: Path, *, mapped: bool = False) -> Any:
    """The array in a .npy file; ``mapped``: only what is looked at is read. Raises BadInput."""
    import numpy as np

    check_ordinary(path, "give a .npy file")
    try:
        value = np.load(path, allow_pickle=False, mmap_mode="r" if mapped else None)
    except OSError as error:
        raise BadInput(f"{path}: can't be read ({error.strerror or error})") from error
    except (ValueError, EOFError, MemoryError) as error:
        # numpy's own words would advise to trust the file.
        if _is_cut(path):
            raise BadInput(f"{path}: ends before its array does; copy it again, or make it again") from error
        raise BadInput(f"{path}: holds no array of numbers that fits; make one with numpy.save") from error
    if not isinstance(value, np.ndarray):
        raise BadInput(f"{path}: holds several arrays; give one .npy file for each input")
    return value


def _is_cut(path: Path) -> bool:
    """Is it the beginning of a .npy file?"""
    import numpy as np

    form = np.lib.format
    readers = {(1, 0): form.read_array_header_1_0, (2, 0): form.read_array_header_2_0}
    with path.open("rb") as file:
        try:
            shape, _, dtype = readers[form.read_magic(file)](file)
            needed: int = math.prod(shape) * dtype.itemsize
            return not dtype.hasobject and os.fstat(file.fileno()).st_size < file.tell() + needed
        except (ValueError, KeyError) as error:
            return "EOF" in str(error)  # within what comes before the numbers


def check(value: Any, form: Form, path: str) -> Any:
    """``value`` if a model takes it so. Raises BadInput."""
    import numpy as np

    if value.dtype != np.dtype(form.dtype) or value.shape != form.shape:
        cure = "convert it" if value.dtype != np.dtype(form.dtype) else "give it that shape"
        raise BadInput(f"{path}: {kind(value.dtype, value.shape)}; input {form.name!r} takes {form}: {cure}")
    return value


def check_kept(value: Any) -> None:
    """Raises Unsupported for an output that no .npy file can hold."""
    if value.dtype.hasobject:
        raise Unsupported(f"an output of {value.dtype} can't be kept in a .npy file; leave --output out")


def save(file: BinaryIO, value: Any) -> None:
    """Write a .npy file. Raises Unsupported."""
    import numpy as np

    check_kept(value)
    content = io.BytesIO()  # into a real file NumPy writes past its object, and does not say what goes wrong
    np.save(content, value, allow_pickle=False)
    file.write(content.getbuffer())


class Stack:
    """A .npy file of so many arrays, which come one by one: [count, ...], an axis of 1 in front of each replaced."""

    def __init__(self, file: BinaryIO, count: int) -> None:
        self._file = file
        self._count = count
        self._form: tuple[Any, tuple[int, ...]] | None = None

    def append(self, value: Any, name: str) -> None:
        """Raises Unsupported where this array, of the frame ``name``, is unlike those before."""
        import numpy as np

        form = value.dtype, value.shape
        if self._form is None:
            check_kept(value)
            self._form = form
            shape = (self._count, *(value.shape[1:] if value.shape[:1] == (1,) else value.shape))
            header = {"descr": np.lib.format.dtype_to_descr(value.dtype), "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(self._file, header)
        if form != self._form:
            raise Unsupported(
                f"{name}: its output is {kind(*form)}, that of the frames before {kind(*self._form)}; "
                "leave --output out"
            )
        self._file.write(value.tobytes())


def summary(name: str, value: Any) -> dict[str, Any]:
    """What is said of an output: its form, least and greatest value; of a row of scores which is the best."""
    shape = [int(size) for size in value.shape]
    numbers = value.size and value.dtype.kind in "iufb"
    low, high = (value.min().item(), value.max().item()) if numbers else (None, None)
    found = {"name": name, "dtype": value.dtype.name, "shape": shape, "min": low, "max": high}
    if numbers and len(shape) > 0 and math.prod(shape) == shape[-1] > 1:
        found["argmax"] = int(value.argmax())
    return found


def summary_line(found: dict[str, Any]) -> str:
    """The same for a person."""
    best = f", greatest at {found['argmax']}" if "argmax" in found else ""
    return f"{found['name']}: {found['dtype']} {found['shape']}, {found['min']} .. {found['max']}{best}"
