# SPDX-License-Identifier: MIT
"""Where do the coefficients of two NN jobs differ? Byte for byte up to their end; what differs is told by value."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.errors import HornitoError
from hornito.hardware.chips import Chip
from hornito.hardware.nn import NNDescriptor
from hornito.stream.submission import Buffer
from hornito.trace.coefficients import Coefficients, blob_size, content_at, decode

_EXAMPLES = 3  # of what differs, for each name
_SHOWN = 8  # bytes

Found = tuple[str, str, str]  # what differs, and both sides in words


@dataclass(frozen=True, eq=False)
class Blob:
    """Coefficients that begin at ``offset`` of a buffer, and the descriptor that points to them."""

    buffer: Buffer
    offset: int
    descriptor: NNDescriptor

    def read(self, chip: Chip) -> tuple[NDArray[np.uint8], str]:
        """Its bytes, and why they are not known to end there (""; then it is all of the buffer)."""
        try:
            return content_at(self.buffer, self.offset, blob_size(self.buffer, self.offset, self.descriptor, chip)), ""
        except HornitoError as error:
            assert self.buffer.data is not None
            return np.trim_zeros(self.buffer.data[self.offset :], "b"), str(error)

    def decode(self, chip: Chip) -> Coefficients | str:
        """Its contents, or why they can't be read."""
        try:
            return decode(self.buffer, self.offset, self.descriptor, chip)
        except HornitoError as error:
            return str(error)


def compare_coefficients(old: Blob, new: Blob, chip: Chip, strict: bool) -> tuple[list[Found], int]:
    """What differs, and how many padding kernels do that were passed over (if not ``strict``)."""
    (old_bytes, old_problem), (new_bytes, new_problem) = old.read(chip), new.read(chip)
    if np.array_equal(old_bytes, new_bytes):
        return [], 0
    if old_problem or new_problem:
        texts = (
            f"{len(side)} bytes{f' ({problem})' if problem else ''}"
            for side, problem in ((old_bytes, old_problem), (new_bytes, new_problem))
        )
        return [("coefficients", *texts)], 0  # type: ignore[list-item]
    first, second = old.decode(chip), new.decode(chip)
    if isinstance(first, str) or isinstance(second, str):
        texts = (side if isinstance(side, str) else f"{side.size} bytes" for side in (first, second))
        return [("coefficients", *texts)], 0  # type: ignore[list-item]
    shapes = [(c.shape.outputs, c.shape.planes, c.shape.rows, c.shape.columns) for c in (first, second)]
    if shapes[0] != shapes[1]:
        return [("coefficients", f"{first.size} bytes", f"{second.size} bytes")], 0
    found = [*_packing(first, second), *_values(first, second)]
    if not found and first.padding_kernels and not strict:
        return [], first.padding_kernels
    return found or [_bytes(old_bytes, new_bytes, first)], 0


def _packing(old: Coefficients, new: Coefficients) -> Iterator[Found]:
    """How the cores' streams are laid out; of version 7 also to which output plane each kernel belongs."""
    if len(old.streams) != len(new.streams):
        yield "coefficients, cores", str(len(old.streams)), str(len(new.streams))
        return
    planes = old.shape.plane, new.shape.plane
    outputs = [
        [[offset // plane for offset in one.offsets] for one in c.streams]
        for c, plane in zip((old, new), planes, strict=True)
    ]
    regular = planes[0] != planes[1] and outputs[0] == outputs[1] and any(map(len, outputs[0]))
    if regular:
        yield "coefficients, bytes of an output plane", str(planes[0]), str(planes[1])
    for core, (a, b) in enumerate(zip(old.streams, new.streams, strict=True)):
        for name in ("zrl_bits", "kernels"):
            if getattr(a, name) != getattr(b, name):
                yield f"coefficients, core {core}, {name}", str(getattr(a, name)), str(getattr(b, name))
        if a.offsets != b.offsets and not regular:
            kernels = [n for n, (x, y) in enumerate(zip(a.offsets, b.offsets, strict=False)) if x != y]
            for kernel in kernels[:_EXAMPLES]:
                name = f"coefficients, core {core}, output offset of kernel {kernel}"
                yield name, f"{a.offsets[kernel]:#x}", f"{b.offsets[kernel]:#x}"


def _values(old: Coefficients, new: Coefficients) -> Iterator[Found]:
    """Biases and weights; not those of padding kernels, which belong to no output."""
    biases = old.weights.biases, new.weights.biases
    differing = np.flatnonzero(biases[0] != biases[1])
    for output in differing[:_EXAMPLES].tolist():
        yield _of(f"bias of output {output}", len(differing)), str(biases[0][output]), str(biases[1][output])
    if old.shape.zero_point == new.shape.zero_point and _same_weights(old, new):
        return
    arrays = old.array(), new.array()
    places = np.argwhere(arrays[0] != arrays[1])
    for place in places[:_EXAMPLES].tolist():
        output, plane, row, column = place
        name = _of(f"weight of output {output}, input {plane}, row {row}, column {column}", len(places))
        yield name, *(str(array[output, plane, row, column]) for array in arrays)  # type: ignore[misc]


def _same_weights(old: Coefficients, new: Coefficients) -> bool:
    """Are the non-zero weights the same, in whatever order they were found?"""
    sides = []
    for made in (old, new):
        order = np.lexsort((made.weights.places, made.weights.outputs))
        sides.append([part[order] for part in (made.weights.outputs, made.weights.places, made.weights.values)])
    return all(np.array_equal(a, b) for a, b in zip(*sides, strict=True))


def _of(name: str, count: int) -> str:
    return f"{name} (one of {count} that differ)" if count > 1 else name


def _bytes(old: NDArray[np.uint8], new: NDArray[np.uint8], decoded: Coefficients) -> Found:
    """Where the bytes begin to differ, of coefficients whose values are the same."""
    length = min(len(old), len(new))
    differing = np.flatnonzero(old[:length] != new[:length])
    at = int(differing[0]) if len(differing) else length
    what = "padding kernels" if decoded.padding_kernels else "coefficients of the same values"
    return f"{what}, at {at:#x}", *(side[at : at + _SHOWN].tobytes().hex(" ") for side in (old, new))  # type: ignore[return-value]
