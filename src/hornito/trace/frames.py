# SPDX-License-Identifier: MIT
"""How are records laid out in a ``.trace`` file? Frames with checksums, contents and events in them; both directions.

docs/trace-files.md describes the format. Nothing here opens a file.
"""

import dataclasses
import enum
import functools
import struct
import sys
import types
import typing
import zlib
from collections.abc import Mapping
from typing import Any, TypeVar

import msgpack

from hornito.errors import BadInput
from hornito.trace.records import CHUNK, DIGEST_BYTES, Call, Digest, Done, Event, Header, JobTime, Message, Submit

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MAGIC = b"\x8ahornito"  # no text file begins so
FORMAT_VERSION = 2
FRAME = struct.Struct("<BBHII")  # kind, flags, zero, bytes that follow, bytes when unpacked
CHECKSUM = struct.Struct("<I")
LARGEST = 2 << 20  # of a frame, unpacked
_COMPRESSED = 1
_SMALLEST_TO_COMPRESS = 256
_MOST_FIELDS = 1 << 20  # of a list or a map in an event
# Tensors repeat little, but their bytes are of unequal frequency: to search little is twice as fast as level 3 of zstd,
# and the result is smaller.
_PACKING = {
    int(zstd.CompressionParameter.compression_level): 1,
    int(zstd.CompressionParameter.hash_log): 10,
    int(zstd.CompressionParameter.min_match): 7,
}
_LIMITS = {int(zstd.DecompressionParameter.window_log_max): LARGEST.bit_length()}  # memory for a hostile file


class Kind(enum.IntEnum):
    """What a frame holds."""

    HEADER = 1
    CONTENT = 2
    CALL = 3
    SUBMIT = 4
    DONE = 5
    JOB_TIME = 6
    MESSAGE = 7
    END = 8


_CLASSES: dict[Kind, type[Event]] = {
    Kind.CALL: Call,
    Kind.SUBMIT: Submit,
    Kind.DONE: Done,
    Kind.JOB_TIME: JobTime,
    Kind.MESSAGE: Message,
}
_KINDS = {cls: kind for kind, cls in _CLASSES.items()}

T = TypeVar("T")


def frame(kind: Kind, payload: bytes) -> bytes:
    """A frame of any kind, compressed where that helps. Raises BadInput for one that is too large to be read again."""
    return b"".join(_parts(kind, [payload], pack=True))


def _parts(kind: Kind, payload: list[bytes | memoryview], pack: bool) -> list[bytes | memoryview]:
    """A frame, in parts of which none is copied if nothing is packed."""
    size = stored = sum(map(len, payload))
    flags = 0
    if size > LARGEST:
        raise BadInput(f"a record of {size} bytes; a recording has records of up to {LARGEST}")
    if pack and size >= _SMALLEST_TO_COMPRESS:
        packed = zstd.compress(payload[0] if len(payload) == 1 else b"".join(payload), options=_PACKING)
        if len(packed) < size:
            payload, stored, flags = [packed], len(packed), _COMPRESSED
    head = FRAME.pack(kind, flags, 0, stored, size)
    checksum = functools.reduce(lambda so_far, part: zlib.crc32(part, so_far), payload, zlib.crc32(head))
    return [head, *payload, CHECKSUM.pack(checksum)]


def check_head(head: bytes) -> int:
    """The bytes of a frame's payload in the file. Raises BadInput for a frame that can't be."""
    _, flags, zero, stored, unpacked = FRAME.unpack(head)
    if zero or flags & ~_COMPRESSED or stored > unpacked or unpacked > LARGEST:
        raise BadInput("no record begins there")
    return int(stored)


def unpack(head: bytes, stored: bytes, checksum: bytes) -> tuple[int, bytes]:
    """A frame's kind (perhaps one that is not known) and payload. Raises BadInput for one that is damaged."""
    if CHECKSUM.unpack(checksum)[0] != zlib.crc32(stored, zlib.crc32(head)):
        raise BadInput("the record's checksum is wrong")
    kind, flags, _, _, unpacked = FRAME.unpack(head)
    if not flags & _COMPRESSED:
        payload = stored
    else:
        try:
            payload = zstd.ZstdDecompressor(options=_LIMITS).decompress(stored, max_length=unpacked + 1)
        except (zstd.ZstdError, MemoryError) as error:
            raise BadInput(f"the record can't be unpacked ({error})") from None
    if len(payload) != unpacked:
        raise BadInput(f"the record unpacks to other than its {unpacked} bytes")
    return kind, payload


def content_frame(name: Digest, content: bytes | memoryview, pack: bool = True) -> list[bytes | memoryview]:
    """A frame that keeps a content, in parts; compressed where that helps, if ``pack`` is set."""
    if len(content) > CHUNK:
        raise BadInput(f"a content of {len(content)} bytes; one piece has up to {CHUNK}")
    return _parts(Kind.CONTENT, [name, content], pack)


def split_content(payload: bytes) -> tuple[Digest, bytes]:
    """The name and bytes of a content. Raises BadInput."""
    if not DIGEST_BYTES <= len(payload) <= DIGEST_BYTES + CHUNK:
        raise BadInput(f"a content's record has {len(payload)} bytes")
    return payload[:DIGEST_BYTES], payload[DIGEST_BYTES:]


def header_frame(header: Header) -> bytes:
    """The first frame of a file."""
    return frame(Kind.HEADER, _packed({"format": FORMAT_VERSION, **_plain(header)}))


def read_header(payload: bytes) -> Header:
    """The header. Raises BadInput for one that can't be read, or is of a later format."""
    fields = _unpacked(payload)
    version = fields.get("format")
    if version != FORMAT_VERSION:
        raise BadInput(f"is a recording of format {version!r}; this Hornito reads {FORMAT_VERSION}")
    return _made(Header, fields)


def event_frame(event: Event) -> bytes:
    """A frame that holds an event. Raises BadInput for one that is too large."""
    return frame(_KINDS[type(event)], _packed(_plain(event)))


def read_event(kind: int, payload: bytes) -> Event | None:
    """The event of a frame; None for a kind that this version does not know. Raises BadInput."""
    cls = _CLASSES.get(kind)  # type: ignore[call-overload]
    return None if cls is None else _made(cls, _unpacked(payload))


def _packed(fields: Mapping[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(fields)
    return packed


def _unpacked(payload: bytes) -> dict[str, Any]:
    limits = {"max_array_len": _MOST_FIELDS, "max_map_len": _MOST_FIELDS}
    try:
        fields = msgpack.unpackb(payload, strict_map_key=True, **limits)
    except (ValueError, RecursionError, MemoryError) as error:  # msgpack's errors are ValueErrors
        raise BadInput(f"the record can't be understood ({type(error).__name__})") from None
    if not isinstance(fields, dict):
        raise BadInput("the record has no fields")
    return fields


def _plain(value: Any) -> Any:
    """Dataclasses as maps without the fields that have their default, tuples as lists."""
    kind = type(value)
    if kind is int or kind is bytes or kind is str:
        return value
    if kind is tuple:
        return [_plain(entry) for entry in value]
    if dataclasses.is_dataclass(kind):
        found = ((name, default, getattr(value, name)) for name, default in _fields(kind))
        return {name: _plain(now) for name, default, now in found if now != default}
    return dict(value) if isinstance(value, Mapping) else value


@functools.cache
def _fields(cls: typing.Hashable) -> tuple[tuple[str, Any], ...]:
    """A dataclass's fields and their defaults."""
    return tuple((entry.name, entry.default) for entry in dataclasses.fields(typing.cast(Any, cls)))


def _made(cls: type[T], fields: Mapping[str, Any]) -> T:
    """An instance of a dataclass from a map, every value checked. Unknown fields are of a later version: left out."""
    hints = _hints(typing.cast(typing.Hashable, cls))
    values = {
        name: _checked(hints[name], value, f"{cls.__name__}.{name}") for name, value in fields.items() if name in hints
    }
    try:
        return cls(**values)
    except TypeError as error:
        raise BadInput(f"a record lacks fields ({error})") from None


@functools.cache
def _hints(cls: typing.Hashable) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _checked(hint: Any, value: Any, where: str) -> Any:
    """The value, if it is of the type that the hint names. Raises BadInput."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _made(typing.cast(type[Any], hint), value)
    if origin is types.UnionType and (value is None or isinstance(value, arguments[0])):
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_checked(arguments[0], entry, where) for entry in value)
    if origin is not None and issubclass(origin, Mapping) and isinstance(value, dict):
        return {
            _checked(arguments[0], name, where): _checked(arguments[1], entry, where) for name, entry in value.items()
        }
    if origin is None and (type(value) is hint or (hint is float and type(value) is int)):
        return value
    raise BadInput(f"{where} is of {type(value).__name__}, which it can't be")
