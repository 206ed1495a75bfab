# SPDX-License-Identifier: MIT
"""What does a tensor look like? Planes side by side as a small grey PNG, or three as one in colour."""

import math
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

_SIDE = 192  # pixels of a mosaic, at most; about
_MOST_PLANES = 64
_FEWEST = 4  # planes side by side, however large they are
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_COLOUR_TYPES = {2: 0, 3: 2}  # by the array's dimensions: grey, RGB; source: PNG specification, IHDR


def png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of [row][column] or [row][column][red, green, blue]."""
    height, width = pixels.shape[:2]
    rows = pixels.reshape(height, -1)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()  # a 0 before each row: no filter
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[pixels.ndim], 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def mosaic(planes: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
    """Planes [plane][row][column] as one image, and how many of them it shows; the darkest value is black, the
    brightest white. Large ones are thinned out."""
    count, height, width = planes.shape
    if height * width == 1:  # a vector: as a square
        columns = math.ceil(math.sqrt(count))
        flat = np.zeros(columns * -(-count // columns), np.uint8)
        flat[:count] = planes.reshape(-1)
        return _stretched(flat.reshape(-1, columns)), count
    across = max(1, min(math.isqrt(_MOST_PLANES), _SIDE // max(height, width), math.ceil(math.sqrt(count))))
    across = max(across, min(_FEWEST, math.ceil(math.sqrt(count))))
    step = max(1, -(-max(height, width) * across // (_SIDE + across)))
    shown = _stretched(planes[: across * across, ::step, ::step])
    count, height, width = shown.shape
    image = np.zeros((-(-count // across) * (height + 1) - 1, across * (width + 1) - 1), np.uint8)
    for number, plane in enumerate(shown):
        top, left = number // across * (height + 1), number % across * (width + 1)
        image[top : top + height, left : left + width] = plane
    return image, count


def _stretched(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    low, high = int(values.min()), int(values.max())
    found: NDArray[np.uint8] = ((values.astype(np.uint16) - low) * 255 // max(1, high - low)).astype(np.uint8)
    return found


def coloured(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """An image [row][column][3], thinned out."""
    step = max(1, -(-max(pixels.shape[:2]) // _SIDE))
    return np.ascontiguousarray(pixels[::step, ::step])
