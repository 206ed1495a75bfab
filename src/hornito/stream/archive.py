# SPDX-License-Identifier: MIT
"""How are submissions kept in a file? A numpy ``.npz`` archive; docs/submission-files.md has the format."""

import dataclasses
import io
import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadInput
from hornito.files import atomic_writer
from hornito.hardware.nn import NNDescriptor
from hornito.hardware.tp import TPDescriptor
from hornito.stream.submission import (
    STREAM,
    Archive,
    Buffer,
    BufferKind,
    CpuSegment,
    NpuSegment,
    Port,
    Relocation,
    Submission,
    TensorInfo,
)

FORMAT_VERSION = 1
_SHIFTS = {*NNDescriptor.addresses().values(), *TPDescriptor.addresses().values()}
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the same input gives the same file
# What zipfile, zlib and numpy raise for content that is neither a zip archive nor an array.
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, SyntaxError),
    *(TypeError, OverflowError, struct.error),
)
# What comes of arrays that are there but not what they should be.
_UNFIT = (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError, RecursionError)
_MAX_RANK = 32
_MAX_TOTAL = 1 << 32  # of all arrays: device addresses have 32 bits
_MAX_BYTES = 1 << 31  # of one array; device addresses have 32 bits


def write_archive(path: str | Path, archive: Archive) -> None:
    """Write ``archive`` to ``path``, whole or not at all. Equal archives give equal bytes. Raises BadInput."""
    with atomic_writer(path) as stream:
        pack_archive(stream, archive)


def pack_archive(stream: BinaryIO, archive: Archive) -> None:
    """Write ``archive`` to an open file, or to memory. Equal archives give equal bytes."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as file:
        for name, array in archive_arrays(archive).items():
            entry = zipfile.ZipInfo(f"{name}.npy", _FIXED_DATE)
            entry.external_attr = 0o644 << 16
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array) if array.ndim else array, allow_pickle=False)
            file.writestr(entry, content.getbuffer())


def read_archive(path: str | Path) -> Archive:
    """Read a ``.npz`` of submissions, ours or captured. Raises BadInput, naming the array at fault."""
    path = Path(path)
    try:
        with path.open("rb") as stream:
            return unpack_archive(stream, str(path))
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except OSError as error:
        raise BadInput(f"{path}: can't be read ({error.strerror or error})") from error


def unpack_archive(stream: BinaryIO, name: str, limit: int = _MAX_TOTAL) -> Archive:
    """Read from an open file, or from memory, what ``pack_archive`` wrote; ``name`` is what messages call it.

    ``limit``: how many bytes all its arrays may take. Raises BadInput, OSError where the file can't be read.
    """
    try:
        with zipfile.ZipFile(stream) as file:
            if (total := sum(entry.file_size for entry in file.infolist())) > limit:
                raise BadInput(f"its arrays say they have {total} bytes; the limit is {limit}")
            arrays = {entry.filename.removesuffix(".npy"): _read_array(file, entry) for entry in file.infolist()}
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    except _UNREADABLE as error:
        raise BadInput(f"{name}: not a submission file ({error}); make one with 'hornito compile'") from error
    return archive_of(arrays, name)


def archive_arrays(archive: Archive) -> dict[str, NDArray[Any]]:
    """The arrays that a submission file consists of, by name."""
    arrays: dict[str, NDArray[Any]] = {}
    for number, submission in enumerate(archive.submissions):
        arrays |= _submission_arrays(number, submission)
    models = [segment.model for segment in archive.segments if isinstance(segment, CpuSegment)]
    arrays |= {f"c{number}_model": np.frombuffer(model, np.uint8) for number, model in enumerate(models)}
    if archive.segments:
        arrays["meta"] = np.array(json.dumps(_meta(archive)))
    return arrays


def archive_of(arrays: Mapping[str, NDArray[Any]], name: str) -> Archive:
    """The archive that consists of these arrays; ``name`` is what messages call it. Raises BadInput."""
    try:
        return _archive(arrays)
    except BadInput as error:
        raise BadInput(f"{name}: {error}") from None
    except _UNFIT as error:
        raise BadInput(f"{name}: its contents do not fit together ({type(error).__name__}: {error})") from error


def _read_array(file: zipfile.ZipFile, entry: zipfile.ZipInfo) -> NDArray[Any]:
    if entry.file_size > _MAX_BYTES:
        raise BadInput(f"{entry.filename} says it has {entry.file_size} bytes; the limit is {_MAX_BYTES}")
    content = io.BytesIO(file.read(entry))
    # numpy allocates what the header says before it reads anything, so the header is judged first.
    headers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    version = np.lib.format.read_magic(content)
    if version not in headers:
        raise BadInput(f"{entry.filename} is an array of version {version}, which is unknown")
    shape, _, dtype = headers[version](content)
    if math.prod(shape) * dtype.itemsize > entry.file_size:
        raise BadInput(f"{entry.filename} says it holds {shape} of {dtype}, but has {entry.file_size} bytes")
    content.seek(0)
    array: NDArray[Any] = np.lib.format.read_array(content, allow_pickle=False)
    return array


def _submission_arrays(number: int, submission: Submission) -> dict[str, NDArray[Any]]:
    buffers = submission.buffers
    arrays: dict[str, NDArray[Any]] = {
        f"s{number}_stream": submission.stream.astype("<u4"),
        f"s{number}_bo_address": np.array([buffer.address for buffer in buffers], "<u8"),
        f"s{number}_bo_size": np.array([buffer.size for buffer in buffers], "<u8"),
        f"s{number}_bo_kind": np.array([buffer.kind.value for buffer in buffers], "U8"),
        f"s{number}_relocs": np.array(
            [(place.buffer, place.offset, place.target, place.shift) for place in submission.relocations], "<i8"
        ).reshape(-1, 4),
    }
    arrays |= {f"s{number}_bo_{b.address:08x}": b.data for b in buffers if b.data is not None}
    return arrays


def _meta(archive: Archive) -> dict[str, Any]:
    segments: list[dict[str, Any]] = []
    models = 0
    for segment in archive.segments:
        if isinstance(segment, NpuSegment):
            submission = archive.submissions[segment.submission]
            segments.append(
                {
                    "unit": "npu",
                    "submission": segment.submission,
                    "inputs": [_port(submission, port) for port in submission.inputs],
                    "outputs": [_port(submission, port) for port in submission.outputs],
                }
            )
        else:
            tensors = {"inputs": list(segment.inputs), "outputs": list(segment.outputs)}
            segments.append({"unit": "cpu", "model": models, **tensors})
            models += 1
    return {
        "format": FORMAT_VERSION,
        "chip": archive.chip,
        "level": archive.level,
        "tensors": [dataclasses.asdict(tensor) for tensor in archive.tensors],
        "inputs": list(archive.inputs),
        "outputs": list(archive.outputs),
        "segments": segments,
    }


def _port(submission: Submission, port: Port) -> dict[str, int]:
    address = submission.buffers[port.buffer].address
    return {"tensor": port.tensor.index, "address": address, "offset": port.offset, "bytes": port.bytes}


def _archive(arrays: Mapping[str, NDArray[Any]]) -> Archive:
    count = 0
    while f"s{count}_stream" in arrays:
        count += 1
    if count == 0:
        raise BadInput("holds no submission (no array s0_stream); make a file with 'hornito compile'")
    submissions = [_submission(arrays, number) for number in range(count)]
    if "meta" not in arrays:
        return Archive(tuple(submissions))
    meta = json.loads(str(arrays["meta"]))
    if meta["format"] != FORMAT_VERSION:
        raise BadInput(f"has format version {meta['format']}; this Hornito reads {FORMAT_VERSION}")
    tensors = {tensor["index"]: _tensor(tensor) for tensor in meta["tensors"]}
    segments: list[NpuSegment | CpuSegment] = []
    for segment in meta["segments"]:
        if segment["unit"] == "npu":
            number = int(segment["submission"])
            if not 0 <= number < count:
                raise BadInput(f"a segment names submission {number}; there are {count}")
            inputs, outputs = (
                tuple(_read_port(submissions[number], tensors, port) for port in segment[side])
                for side in ("inputs", "outputs")
            )
            submissions[number] = dataclasses.replace(submissions[number], inputs=inputs, outputs=outputs)
            segments.append(NpuSegment(number))
        else:
            model = arrays[f"c{int(segment['model'])}_model"].tobytes()
            segments.append(CpuSegment(model, _indices(segment["inputs"]), _indices(segment["outputs"])))
    archive = Archive(
        tuple(submissions),
        str(meta["chip"]),
        str(meta["level"]),
        tuple(tensors.values()),
        _indices(meta["inputs"]),
        _indices(meta["outputs"]),
        tuple(segments),
    )
    crossing = [index for s in segments if isinstance(s, CpuSegment) for index in (*s.inputs, *s.outputs)]
    for index in (*archive.inputs, *archive.outputs, *crossing):
        if index not in tensors:
            raise BadInput(f"meta names tensor {index}, which it does not describe")
    return archive


def _indices(values: Iterable[Any]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


def _submission(arrays: Mapping[str, NDArray[Any]], number: int) -> Submission:
    stream = arrays[f"s{number}_stream"]
    if stream.dtype != np.uint32 or stream.ndim != 1:
        raise BadInput(f"s{number}_stream is {stream.dtype} with {stream.ndim} dimensions; expected uint32 with 1")
    addresses = [int(address) for address in arrays[f"s{number}_bo_address"]]
    sizes = [int(size) for size in arrays[f"s{number}_bo_size"]]
    kinds = [BufferKind(str(kind)) for kind in arrays[f"s{number}_bo_kind"]]
    buffers: list[Buffer] = []
    for address, size, kind in zip(addresses, sizes, kinds, strict=True):
        data = arrays.get(f"s{number}_bo_{address:08x}")
        if data is not None and (data.dtype != np.uint8 or data.ndim != 1 or len(data) > size):
            raise BadInput(f"s{number}_bo_{address:08x}: expected at most {size} bytes of uint8")
        if not 0 <= address < address + size <= 1 << 32:
            raise BadInput(f"s{number}: a buffer of {size} bytes at {address:#x} lies outside 32-bit device addresses")
        if buffers and address < buffers[-1].end:
            raise BadInput(f"s{number}: the buffer at {address:#x} overlaps the one before it, or is out of order")
        buffers.append(Buffer(kind, address, size, data))
    places = arrays.get(f"s{number}_relocs", np.zeros((0, 4), np.int64)).reshape(-1, 4)
    relocations = tuple(Relocation(*(int(value) for value in row)) for row in places)
    for place in relocations:
        holder = 4 * len(stream) if place.buffer == STREAM else _data_length(buffers, place.buffer)
        if not (0 <= place.offset <= holder - 4 and 0 <= place.target < len(buffers) and place.shift in _SHIFTS):
            raise BadInput(f"s{number}_relocs: {place} points nowhere")
    return Submission(stream.astype(np.uint32), tuple(buffers), relocations)


def _data_length(buffers: list[Buffer], number: int) -> int:
    data = buffers[number].data if 0 <= number < len(buffers) else None
    return 0 if data is None else len(data)


def _tensor(meta: Mapping[str, Any]) -> TensorInfo:
    shape = tuple(int(size) for size in meta["shape"])
    dtype = np.dtype(meta["dtype"])
    too_many = math.prod(max(size, 1) for size in shape) * dtype.itemsize > _MAX_BYTES
    if any(size < 0 for size in shape) or len(shape) > _MAX_RANK or too_many:
        raise BadInput(f"tensor {meta['index']} has the shape {shape}")
    if dtype.kind not in "biufc":
        raise BadInput(f"tensor {meta['index']} is of {dtype}, which is no type of numbers")
    return TensorInfo(
        int(meta["index"]),
        str(meta["name"]),
        shape,
        dtype.name,
        float(meta["scale"]),
        int(meta["zero_point"]),
    )


def _read_port(submission: Submission, tensors: Mapping[int, TensorInfo], port: Mapping[str, Any]) -> Port:
    number = submission.buffer_at(int(port["address"]))
    offset, length = int(port["offset"]), int(port["bytes"])
    tensor = tensors[int(port["tensor"])]
    if number is None or offset < 0 or offset + length > submission.buffers[number].size or length != tensor.bytes:
        raise BadInput(f"tensor {tensor.index}: {length} bytes at {port['address']:#x} + {offset} lie in no buffer")
    return Port(tensor, number, offset, length)
