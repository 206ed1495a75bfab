# SPDX-License-Identifier: MIT
"""How is an archive laid out for being read again at once, by the same version of Hornito? Arrays one behind another.

A submission file is for people and other programs; this is for caches. The bytes: the length of a table (8 bytes,
little-endian), the table as JSON (notes, and each array's name, type, shape and place), then the arrays, each at a
multiple of 64 bytes. Reading copies no array.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadInput
from hornito.stream.archive import archive_arrays, archive_of
from hornito.stream.submission import Archive

_ALIGNMENT = 64
_LENGTH_BYTES = 8
_KINDS = "biufU"  # types of arrays that an archive has; none of them holds objects


def to_flat(archive: Archive, notes: Mapping[str, Any]) -> list[bytes | memoryview]:
    """``archive`` as parts to be written one behind another; ``notes`` (what JSON can hold) travel with it."""
    arrays = archive_arrays(archive)
    table = []
    end = 0
    for name, array in arrays.items():
        begin = _aligned(end)
        table.append((name, array.dtype.str, array.shape, begin))
        end = begin + array.nbytes
    head = json.dumps({"notes": dict(notes), "arrays": table}).encode()
    parts: list[bytes | memoryview] = [len(head).to_bytes(_LENGTH_BYTES, "little"), head]
    begin = _LENGTH_BYTES + len(head)
    parts.append(bytes(_aligned(begin) - begin))
    end = 0
    for array in arrays.values():
        flat: NDArray[Any] = np.ascontiguousarray(array).reshape(-1)
        parts += [bytes(_aligned(end) - end), flat.view(np.uint8).data]
        end = _aligned(end) + array.nbytes
    return parts


def from_flat(content: memoryview, name: str) -> tuple[Archive, dict[str, Any]]:
    """The archive and the notes of which ``to_flat`` made ``content``; its arrays are views, not to be written.

    Raises BadInput, with ``name`` in it, where the bytes are anything else.
    """
    try:
        begin = _LENGTH_BYTES + int.from_bytes(content[:_LENGTH_BYTES], "little")
        head = json.loads(bytes(content[_LENGTH_BYTES:begin]))
        notes = dict(head["notes"])
        arrays = {str(row[0]): _array(content[_aligned(begin) :], *row[1:]) for row in head["arrays"]}
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError, MemoryError) as error:
        raise BadInput(f"{name}: not what a cache holds ({type(error).__name__}: {error})") from error
    return archive_of(arrays, name), notes


def _array(content: memoryview, dtype: str, shape: list[int], begin: int) -> NDArray[Any]:
    kind = np.dtype(dtype)
    if kind.kind not in _KINDS or begin < 0 or any(size < 0 for size in shape):
        raise ValueError(f"{dtype} {shape} at {begin}")
    count = math.prod(shape)
    if not count or not kind.itemsize:
        return np.zeros(shape, kind)
    return np.frombuffer(content, kind, count, begin).reshape(shape)


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
