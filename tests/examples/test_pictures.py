# SPDX-License-Identifier: MIT
"""Are pictures decoded whatever they are, resized as LiteRT does it, and refused in one line where they are broken?"""

import io
import platform
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hornito.errors import BadInput
from hornito.examples.pictures import MOST_PIXELS, load_picture, read_picture, resize
from hornito.model import ModelBuilder

Pixels = NDArray[np.uint8]


def colours(rows: int = 9, columns: int = 7) -> Pixels:
    return np.random.default_rng(rows * 1000 + columns).integers(0, 256, (rows, columns, 3), np.uint8)


def litert_resize(picture: Pixels, rows: int, columns: int, resolver: str) -> Pixels:
    """What TFLite's label_image does: RESIZE_BILINEAR of floats in an interpreter, then truncation."""
    from ai_edge_litert import schema_py_generated as schema
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    options = schema.ResizeBilinearOptionsT()
    options.alignCorners = options.halfPixelCenters = False
    builder = ModelBuilder()
    source = builder.input("input", (1, *picture.shape), np.float32)
    size = builder.constant("size", [rows, columns], np.int32)
    target = builder.tensor("output", (1, rows, columns, picture.shape[2]), np.float32)
    builder.operator("RESIZE_BILINEAR", [source, size], [target], options)
    builder.output(target)
    interpreter = Interpreter(
        model_content=builder.build(), experimental_op_resolver_type=getattr(OpResolverType, resolver)
    )
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], picture[None].astype(np.float32))
    interpreter.invoke()
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return np.asarray(result[0]).astype(np.uint8)


@pytest.mark.parametrize("resolver", ["BUILTIN_REF", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((600, 512), (224, 224)),
        ((160, 160), (32, 32)),
        ((33, 47), (224, 224)),
        ((16, 16), (32, 32)),
        ((1, 1), (5, 7)),
        ((100, 1), (32, 32)),
        ((1, 100), (32, 32)),
        ((31, 37), (31, 37)),
        ((31, 37), (31, 74)),
        ((257, 127), (1, 1)),
        ((7, 1000), (300, 3)),
        ((96, 41), (97, 40)),
    ],
)
def test_resize_is_litert_s(before: tuple[int, int], after: tuple[int, int], channels: int, resolver: str) -> None:
    picture = colours(*before)[..., :channels]
    expected = litert_resize(picture, *after, resolver)
    difference = np.abs(resize(picture, *after).astype(int) - expected)
    # The example runs the optimised kernel. The reference one multiplies in another order, and kernels built for other
    # machines fuse multiplications and additions: either can move a value across an integer.
    exact = resolver != "BUILTIN_REF" and platform.machine() == "x86_64"
    assert difference.max() <= (0 if exact else 1)
    assert np.count_nonzero(difference) <= (0 if exact else max(4, difference.size // 20))


@pytest.mark.parametrize("suffix", ["bmp", "png"])
def test_colours_come_as_they_are_stored(tmp_path: Path, suffix: str) -> None:
    pixels = colours()
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    loaded = load_picture(tmp_path / f"a.{suffix}", 9, 7, 3)
    assert loaded.shape == (1, 9, 7, 3) and loaded.dtype == np.uint8
    assert np.array_equal(loaded[0], pixels)


def test_jpeg_in_colour_grey_and_cmyk_is_read(tmp_path: Path) -> None:
    plain = Image.new("RGB", (20, 10), (200, 100, 50))
    for mode in ("RGB", "L", "CMYK"):
        plain.convert(mode).save(tmp_path / "a.jpg", quality=95)
        loaded = read_picture(tmp_path / "a.jpg", 3)
        expected = np.asarray(plain.convert(mode).convert("RGB"))
        assert np.abs(loaded.astype(int) - expected).max() <= 3, mode


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA"])
def test_every_mode_of_png_is_read(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(colours()).convert(mode)
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png", 3), np.asarray(picture.convert("RGB")))


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    Image.new("RGBA", (2, 2), (200, 0, 0, 0)).save(tmp_path / "rgba.png")
    Image.new("LA", (2, 2), (0, 128)).save(tmp_path / "la.png")
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 200, 0, 0])
    palette.save(tmp_path / "p.png", transparency=1)
    Image.new("RGB", (2, 2), (9, 8, 7)).save(tmp_path / "rgb.png", transparency=(9, 8, 7))
    assert np.all(read_picture(tmp_path / "rgba.png", 3) == 255)
    assert np.all(np.abs(read_picture(tmp_path / "la.png", 1).astype(int) - 127) <= 1)
    assert np.all(read_picture(tmp_path / "p.png", 3) == 255)
    assert np.all(read_picture(tmp_path / "rgb.png", 3) == 255)


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    deep = (257 * np.arange(256)).astype(np.uint16).reshape(16, 16)
    Image.fromarray(deep).save(tmp_path / "a.png")
    assert np.array_equal(read_picture(tmp_path / "a.png", 1)[..., 0], np.arange(256).reshape(16, 16))
    assert np.array_equal(read_picture(tmp_path / "a.png", 3)[..., 2], np.arange(256).reshape(16, 16))


def test_one_channel_is_luminance(tmp_path: Path) -> None:
    Image.fromarray(colours()).save(tmp_path / "a.png")
    expected = np.asarray(Image.fromarray(colours()).convert("L"))
    assert np.array_equal(load_picture(tmp_path / "a.png", 9, 7, 1)[0, ..., 0], expected)


UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {  # by what EXIF says of the stored picture's first row and column
    1: lambda stored: stored,  # top, left
    2: lambda stored: stored[:, ::-1],  # top, right
    3: lambda stored: stored[::-1, ::-1],  # bottom, right
    4: lambda stored: stored[::-1],  # bottom, left
    5: lambda stored: stored.transpose(1, 0, 2),  # left, top
    6: lambda stored: np.rot90(stored, -1),  # right, top
    7: lambda stored: np.rot90(stored, 2).transpose(1, 0, 2),  # right, bottom
    8: lambda stored: np.rot90(stored),  # left, bottom
    9: lambda stored: stored,  # nothing that is defined
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_picture_of_a_camera_is_put_upright(orientation: int, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(colours()).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read_picture(tmp_path / "a.png", 3), UPRIGHT[orientation](colours()))


def test_metadata_that_make_no_sense_do_not_matter(tmp_path: Path) -> None:
    for garbage in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + bytes(range(256))):
        Image.fromarray(colours()).save(tmp_path / "a.jpg", exif=garbage)
        assert read_picture(tmp_path / "a.jpg", 3).shape == (9, 7, 3)


def refused(path: Path | str, channels: int = 3) -> str:
    with pytest.raises(BadInput) as caught:
        load_picture(path, 8, 8, channels)
    text = str(caught.value)
    assert "\n" not in text and text.startswith(str(path))
    return text


def png(width: int, height: int, body: bytes = b"") -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def test_missing_picture_and_folder_are_refused(tmp_path: Path) -> None:
    assert "can't be read" in refused(tmp_path / "none.png")
    assert "can't be read" in refused(tmp_path)


@pytest.mark.parametrize(
    "content", [b"", b"hello\n" * 100, b"BM", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a" + b"\0" * 99]
)
def test_what_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert "picture" in refused(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["bmp", "png", "jpg"])
def test_truncated_picture_is_refused(tmp_path: Path, suffix: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(colours(64, 64)).save(stream, {"jpg": "jpeg"}.get(suffix, suffix))
    for share in (0.9, 0.5, 0.2, 0.02):
        (tmp_path / f"a.{suffix}").write_bytes(stream.getvalue()[: int(len(stream.getvalue()) * share)])
        refused(tmp_path / f"a.{suffix}")


@pytest.mark.parametrize(("width", "height"), [(0, 5), (5, 0), (0, 0)])
def test_zero_sized_picture_is_refused(tmp_path: Path, width: int, height: int) -> None:
    (tmp_path / "a.png").write_bytes(png(width, height))
    refused(tmp_path / "a.png")
    header = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    (tmp_path / "a.bmp").write_bytes(header)
    refused(tmp_path / "a.bmp")


@pytest.mark.parametrize("size", [12000, 60000, 2**31 - 1])
def test_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, size: int) -> None:
    assert size * size > MOST_PIXELS
    (tmp_path / "a.png").write_bytes(png(size, size, bytes(1000)))
    assert "pixels" in refused(tmp_path / "a.png")


def test_mutated_pictures_give_pixels_or_one_line(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    for kind in ("png", "jpeg", "bmp"):
        stream = io.BytesIO()
        Image.fromarray(colours(40, 30)).convert("P" if kind == "png" else "RGB").save(stream, kind)
        for _ in range(150):
            content = np.frombuffer(stream.getvalue(), np.uint8).copy()
            places = generator.integers(0, min(len(content), 400), 3)
            content[places] = generator.integers(0, 256, 3)
            (tmp_path / "a").write_bytes(content.tobytes())
            try:
                assert load_picture(tmp_path / "a", 8, 8, 3).shape == (1, 8, 8, 3)
            except BadInput as error:
                assert "\n" not in str(error)


def test_model_that_takes_no_pictures_is_refused(tmp_path: Path) -> None:
    Image.fromarray(colours()).save(tmp_path / "a.png")
    assert "4 channels" in refused(tmp_path / "a.png", 4)
    with pytest.raises(BadInput, match="0x8"):
        load_picture(tmp_path / "a.png", 0, 8, 3)


def test_pillow_is_not_imported_before_a_picture_is_read() -> None:
    code = "import sys, hornito.examples.pictures; sys.exit('PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
