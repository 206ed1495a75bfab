# SPDX-License-Identifier: MIT
"""How does a picture file become a model's input? Decoded by Pillow, resized exactly as TFLite's label_image does."""

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hornito.errors import BadInput, Unsupported
from hornito.files import check_ordinary

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("BMP", "PNG", "JPEG")
# Beyond this a small file may be made to unpack into all of the memory; few cameras come near. Pillow stops at 179M.
MOST_PIXELS = 1 << 27
CURE = "give a BMP, PNG or JPEG picture"


def load_picture(path: str | Path, rows: int, columns: int, channels: int) -> NDArray[np.uint8]:
    """The picture in ``path`` as bytes [1, rows, columns, channels]: 1 channel is luminance, 3 are RGB.

    What is transparent is white. A picture that a camera took turned is put upright, as it noted.
    Raises BadInput for what is no whole picture, has more than ``MOST_PIXELS``, or for another number of channels.
    """
    return resize(read_picture(path, channels), rows, columns)[np.newaxis]


def read_picture(path: str | Path, channels: int) -> NDArray[np.uint8]:
    """The picture in ``path`` in its own size, as bytes [rows, columns, channels]; raises as ``load_picture``."""
    # Imported when a picture is read, not before: start-up of every other verb is none the slower.
    from PIL import Image, UnidentifiedImageError

    if channels not in (1, 3):
        raise BadInput(
            f"{path}: the model's input has {channels} channels, a picture 1 or 3; give a model for pictures"
        )
    check_ordinary(path, CURE)
    try:
        # Pillow warns well below our limit, which is checked before pixels are unpacked, and of metadata nobody reads.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(os.fspath(path), formats=FORMATS) as picture:
                width, height = picture.size  # as it is stored: both limits are the same for a turned one
                if width < 1 or height < 1:
                    raise BadInput(f"{path}: has {width}x{height} pixels; {CURE} of at least one pixel")
                if width * height > MOST_PIXELS:
                    raise BadInput(f"{path}: has {width}x{height} pixels, more than {MOST_PIXELS}; give a smaller one")
                picture.load()
                pixels = np.asarray(_convert(_upright(picture), "L" if channels == 1 else "RGB"), np.uint8)
    except BadInput:
        raise
    except UnidentifiedImageError as error:
        raise BadInput(f"{path}: is no picture that can be read; {CURE}") from error
    except Image.DecompressionBombError as error:
        raise BadInput(f"{path}: has more than {MOST_PIXELS} pixels; give a smaller one") from error
    except OSError as error:
        if error.errno is not None:
            raise BadInput(f"{path}: can't be read ({error.strerror}); name a picture that can") from error
        raise BadInput(f"{path}: is a broken picture ({_line(error)}); {CURE} that is whole") from error
    except MemoryError as error:
        raise BadInput(f"{path}: does not fit into memory; give a smaller picture") from error
    except Exception as error:  # Pillow's decoders raise nearly anything for a file that was made to break them.
        raise BadInput(f"{path}: is a broken picture ({_line(error)}); {CURE} that is whole") from error
    return pixels.reshape(*pixels.shape[:2], channels)


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _upright(picture: "Image.Image") -> "Image.Image":
    """The picture as the camera was held, where it noted that; a note that can't be read counts as none."""
    from PIL import ImageOps

    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # metadata may be anything, and the picture is none the worse for it
        return picture


def _convert(picture: "Image.Image", mode: str) -> "Image.Image":
    """The picture in 8-bit mode "L" or "RGB", whatever mode it has: transparency on white, 16 bits by their upper 8."""
    from PIL import Image

    if picture.mode.startswith("I"):
        # Pillow would clip 16 bits at 255, not scale them.
        deep = np.asarray(picture).astype(np.int64)
        picture = Image.fromarray(np.clip(deep >> 8, 0, 255).astype(np.uint8))
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture)
    return picture.convert(mode)


def resize(picture: NDArray[np.uint8], rows: int, columns: int) -> NDArray[np.uint8]:
    """Bytes [rows, columns, channels] of bytes [*, *, channels]: RESIZE_BILINEAR in float32, then truncated.

    Neither align_corners nor half_pixel_centers, and no antialias, whatever the ratio.
    """
    height, width, channels = picture.shape
    if rows < 1 or columns < 1:
        raise BadInput(f"the model's input has {rows}x{columns} pixels; give a model with a fixed size of input")
    if (rows, columns) == (height, width):
        return picture
    upper, lower, down = _places(height, rows)
    left, right, across = _places(width, columns)
    one = np.float32(1)
    down, across = down[:, None, None], across[None, :, None]
    # LiteRT's optimised kernel, which the example runs, multiplies and adds in another order when it doubles; the
    # numbers are then halves and quarters of bytes, which float32 holds exactly in any order.
    result = np.zeros((rows, columns, channels), np.float32)
    for line, rest in ((upper, one - down), (lower, down)):
        for column, part in ((left, one - across), (right, across)):
            result += picture[line[:, None], column[None, :]].astype(np.float32) * (rest * part)
    return result.astype(np.uint8)


def as_input(picture: NDArray[np.uint8], dtype: DTypeLike) -> NDArray[Any]:
    """A picture's bytes as a model of that type takes them, as TFLite's own example does. Raises Unsupported."""
    kind = np.dtype(dtype)
    if kind == np.uint8:
        return picture
    if kind == np.int8:
        return (picture ^ np.uint8(128)).view(np.int8)
    if kind == np.float32:
        return (picture.astype(np.float32) - np.float32(127.5)) / np.float32(127.5)
    raise Unsupported(f"the model's input is of type {kind.name}; pictures fit uint8, int8 and float32")


def _places(length: int, wanted: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
    """For each wanted place: the source's place before it, the one behind it, and how far it lies between them."""
    step = np.float32(length) / np.float32(wanted)
    places = np.arange(wanted, dtype=np.float32) * step
    before = np.maximum(np.floor(places).astype(np.intp), 0)
    behind = np.minimum(np.ceil(places).astype(np.intp), length - 1)
    return before, behind, places - before.astype(np.float32)
