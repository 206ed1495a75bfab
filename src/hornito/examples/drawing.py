# SPDX-License-Identifier: MIT
"""What does a picture with boxes look like? Frames and labels that can be read on pictures of any size."""

import colorsys
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadInput
from hornito.examples.detection import Detection

if TYPE_CHECKING:
    from PIL import ImageDraw

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
SMALLEST, LARGEST = 9, 96  # heights of letters in pixels
Area = tuple[int, int, int, int]


def picture_format(path: str | Path) -> str:
    """The format that a file's name asks for. Raises BadInput for a name that asks for none of ours."""
    suffix = Path(path).suffix
    if suffix.lower() not in FORMATS:
        raise BadInput(f"{path}: {suffix or 'no suffix'} is no format for pictures; name a .png, .jpg or .jpeg")
    return FORMATS[suffix.lower()]


def encoded(path: str | Path, picture: NDArray[np.uint8]) -> bytes:
    """The file for bytes [rows, columns, RGB], in the format that the name ``path`` asks for. Raises BadInput."""
    from PIL import Image

    form = picture_format(path)
    stream = io.BytesIO()
    try:
        Image.fromarray(picture).save(stream, form, **({"quality": 92} if form == "JPEG" else {}))
    except (OSError, ValueError) as error:  # JPEG ends at 65535 pixels a side.
        words = " ".join(str(error).split())
        raise BadInput(f"{path}: the picture can't be written as {form} ({words}); name a .png") from error
    return stream.getvalue()


def draw(picture: NDArray[np.uint8], found: Sequence[Detection]) -> NDArray[np.uint8]:
    """A copy of bytes [rows, columns, RGB] with a frame and a label for each thing found, the likeliest on top."""
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    canvas = ImageDraw.Draw(image)
    height, width = picture.shape[:2]
    line = max(1, round(min(width, height) / 200))
    for one in reversed(found):
        # The last pixel of a frame is the one before the box's end; a box thinner than a pixel still has one.
        x0, y0, x1, y1 = one.pixels
        x0, y0 = min(x0, width - 1), min(y0, height - 1)
        canvas.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=_colour(one.index), width=line)
    taken = [one.pixels for one in found if _small(one, height, width)]
    tags = [(one, *_tag(canvas, one, width, height, line, taken)) for one in found]
    for one, area, _ in reversed(tags):
        canvas.line(_leader(one.pixels, area), fill=_colour(one.index), width=line)
    for one, area, font in reversed(tags):
        colour = _colour(one.index)
        canvas.rectangle((area[0], area[1], area[2] - 1, area[3] - 1), fill=colour)
        dark = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] < 140
        middle = ((area[0] + area[2]) / 2, (area[1] + area[3]) / 2)
        canvas.text(middle, _text(one), fill="white" if dark else "black", font=font, anchor="mm")
    return np.asarray(image)


def _text(one: Detection) -> str:
    return f"{one.name} {one.score:.2f}"


def _colour(index: int) -> tuple[int, int, int]:
    """A colour for each class: hues that stay far apart however many there are."""
    red, green, blue = colorsys.hsv_to_rgb((0.36 + index * 0.618034) % 1, 0.85, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def _letters(height: int, width: int) -> int:
    """The height of letters for a picture of that size."""
    return min(LARGEST, max(12, round(min(width, height) / 32)))


def _small(one: Detection, height: int, width: int) -> bool:
    """Whether a label could hide a whole box."""
    x0, y0, x1, y1 = one.pixels
    return y1 - y0 < 2 * _letters(height, width) and x1 - x0 < 6 * _letters(height, width)


def _tag(
    canvas: "ImageDraw.ImageDraw", one: Detection, width: int, height: int, line: int, taken: list[Area]
) -> tuple[Area, Any]:
    """Where the label of a box goes, and its font; the place is then taken.

    On top of its box, below it, inside it at the top or the bottom, or a few lines away: the first that lies in the
    picture and hides neither another label nor a small box; else on top, as far as the picture allows.
    """
    from PIL import ImageFont

    size = _letters(height, width)
    font: Any = ImageFont.load_default(size)
    while canvas.textlength(_text(one), font) + 4 * line > width and size > SMALLEST:
        size -= 1
        font = ImageFont.load_default(size)
    wide = round(canvas.textlength(_text(one), font)) + 4 * line + 2
    high = size + 2 * line + 2
    x0, y0, x1, y1 = one.pixels
    columns = [max(0, min(x, width - wide)) for x in (x0, x1 - wide)]
    away = [y for step in range(1, 7) for y in (y0 - (step + 1) * high, y1 + step * high)]
    places = [(x, y) for y in (y0 - high, y1, y0, y1 - high, *away) for x in columns]
    areas = [(x, y, x + wide, y + high) for x, y in places if 0 <= y <= height - high]
    top = max(0, min(y0 - high, height - high))
    otherwise = (columns[0], top, columns[0] + wide, top + high)
    area = next((area for area in areas if not any(_meet(area, other) for other in taken)), otherwise)
    taken.append(area)
    return area, font


def _leader(box: Area, tag: Area) -> list[tuple[int, int]]:
    """From a box to its label: a point where they touch, a line where they don't."""
    across = max(box[0], min((tag[0] + tag[2]) // 2, box[2] - 1))
    ends = (box[1], tag[3]) if tag[3] <= box[1] else (box[3] - 1, tag[1])
    if tag[1] < box[3] and box[1] < tag[3]:
        ends = (max(box[1], tag[1]),) * 2
    return [(across, ends[0]), (max(tag[0], min(across, tag[2] - 1)), ends[1])]


def _meet(first: Area, second: Area) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]
