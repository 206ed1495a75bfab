# SPDX-License-Identifier: MIT
"""Is this file a network that can be run, and what is in it? Reads TFLite models, trusting nothing.

What a model may not be is broken: whatever this module lets through, LiteRT can be handed. What Hornito merely has no
hardware for (floats, strings, open dimensions, custom operators, several subgraphs) is read like anything else.
"""

import math
import os
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadInput
from hornito.files import check_ordinary, model_directories
from hornito.model.checks import check_control_flow, check_operator
from hornito.model.flat import FlatFile, Table
from hornito.model.graph import Graph, Operator, Quantization, Signature, Tensor
from hornito.model.options import read_options
from hornito.model.schema_names import name_of

CURE = "give another model, or convert this one again"
SCHEMA_VERSION = 3
# LiteRT counts bytes of one tensor in 31 bits in places; the sum bounds what loading can ask of the machine.
MOST_TENSOR_BYTES = 1 << 30
MOST_GRAPH_BYTES = 1 << 32

# Bits of one element; strings, resources and variants have no fixed size. Types beyond these are newer than the schema.
_BITS = {
    "FLOAT32": 32,
    "FLOAT16": 16,
    "INT32": 32,
    "UINT8": 8,
    "INT64": 64,
    "BOOL": 8,
    "INT16": 16,
    "COMPLEX64": 64,
    "INT8": 8,
    "FLOAT64": 64,
    "COMPLEX128": 128,
    "UINT64": 64,
    "UINT32": 32,
    "UINT16": 16,
    "INT4": 4,
    "BFLOAT16": 16,
    "INT2": 2,
    "UINT4": 4,
    "FLOAT8_E4M3FN": 8,
    "FLOAT8_E5M2": 8,
}
_DTYPES = {
    name: np.dtype(name.lower())
    for name in _BITS
    if name not in ("INT4", "INT2", "UINT4", "BFLOAT16", "FLOAT8_E4M3FN", "FLOAT8_E5M2")
}
# The slots of the schema's tables: a field's place in its declaration (a union takes two).
_VERSION, _CODES, _SUBGRAPHS, _DESCRIPTION, _BUFFERS, _, _METADATA, _SIGNATURES, _GROUPS, _EXTERNALS = range(10)


def find_model(name: str | Path) -> Path:
    """The file a model's name or path means: as given, else NAME or NAME.tflite in the folders for models.

    Raises BadInput, naming the places looked in, where there is none.
    """
    text = os.fspath(name)
    if not text or "\0" in text:
        raise BadInput(f"{text!r}: names no model; give the path of a .tflite file")
    given = Path(text)
    try:
        if given.is_file():
            return given
        if given.is_dir():
            raise BadInput(f"{given}: is a folder; name the .tflite file in it")
        check_ordinary(given, "give the path of a .tflite file")
        folders = [] if given.is_absolute() else model_directories()
        for folder in folders:
            for candidate in (folder / given, folder / f"{given}.tflite"):
                if candidate.is_file():
                    return candidate
    except OSError as error:
        raise BadInput(f"{text!r}: can't be looked up ({error.strerror}); give the path of a .tflite file") from error
    places = ", ".join(str(place) for place in [given, *folders])
    raise BadInput(f"{given}: no such model (looked in {places}); give a path, set HORNITO_MODELS, or hornito fetch it")


def read_model(path_or_bytes: str | Path | bytes | bytearray | memoryview) -> Graph:
    """The first subgraph of a TFLite model, from a file (by path or by name, as ``find_model``) or from its bytes.

    Raises BadInput, one line naming the file, what is wrong with which value and what to do, for everything that is no
    sound model. Takes well under a second for any few megabytes, sound or not.
    """
    if isinstance(path_or_bytes, (str, Path)):
        path = find_model(path_or_bytes)
        name = str(path)
        try:
            source = path.read_bytes()
        except OSError as error:
            raise BadInput(f"{name}: can't be read ({error.strerror}); name a file that can") from error
    else:
        name, source = "model", bytes(path_or_bytes)
    try:
        return _Reader(source, name).graph()
    except BadInput as error:
        raise BadInput(f"{name}: {error}; {CURE}") from error


def short(name: str) -> str:
    """A name from a file, fit for a message: in quotes, on one line, cut where it is long."""
    return repr(name if len(name) <= 60 else name[:57] + "...")


class _Reader:
    """Reads one file; its methods raise BadInput without the file's name, which ``read_model`` adds."""

    def __init__(self, source: bytes, name: str) -> None:
        if not source:
            raise BadInput("is empty")
        if source[:4] == b"PK\x03\x04":
            raise BadInput("is no TFLite model but an archive (submission files are for 'hornito run' alone)")
        if len(source) < 8 or source[4:8] != b"TFL3":
            raise BadInput(f"is no TFLite model (bytes 4 to 7 are {source[4:8]!r}, not b'TFL3')")
        self.source = source
        self.name = name
        self.model = FlatFile(source).root()
        version = self.model.scalar(_VERSION, "uint32")
        if version != SCHEMA_VERSION:
            raise BadInput(f"has schema version {version}, not {SCHEMA_VERSION}")
        self.codes = [self._code(table) for table in self.model.tables(_CODES)]
        self.buffer_count = self.model.length(_BUFFERS, 4)
        self.buffers: dict[int, memoryview] = {}
        self.kept: list[tuple[tuple[Tensor, ...], tuple[Operator, ...], tuple[int, ...], tuple[int, ...]]] = []

    def graph(self) -> Graph:
        for slot, what in ((_GROUPS, "external buffer groups"), (_EXTERNALS, "external buffers")):
            if self.model.has(slot):
                raise BadInput(f"keeps its contents in {what}, which Hornito does not read")
        # LiteRT looks at every buffer of the file, used or not.
        for index in range(self.buffer_count):
            self._buffer(index)
        calls: list[set[int]] = []
        count = self.model.length(_SUBGRAPHS, 4)
        if not count:
            raise BadInput("has no subgraph")
        for index in range(count):
            table = self.model.element(_SUBGRAPHS, index)
            try:
                calls.append(self._subgraph(table, count))
            except BadInput as error:
                if index == 0:
                    raise
                raise BadInput(f"subgraph {index}: {error}") from error
        check_control_flow(calls)
        self._metadata()
        signatures = tuple(self._signature(table) for table in self.model.tables(_SIGNATURES))
        tensors, operators, inputs, outputs = self.kept[0]
        return Graph(
            tensors=tensors,
            operators=operators,
            inputs=inputs,
            outputs=outputs,
            signatures=signatures,
            description=self.model.text(_DESCRIPTION),
            source=self.source,
            subgraphs=count,
            subgraph_name=self.model.element(_SUBGRAPHS, 0).text(4),
            name=self.name,
        )

    def _code(self, table: Table) -> tuple[str, int]:
        """Kind and version of an operator code."""
        # Old writers know only the first field, and 127 there means "see the second"; TFLite takes the greater.
        number = max(table.scalar(0, "int8"), table.int32(3))
        kind = name_of("BuiltinOperator", number)
        if kind is None:
            raise BadInput(f"has operator code {number}, which the schema does not know")
        if kind == "CUSTOM":
            custom = table.text(1)
            if not custom:
                raise BadInput("has a custom operator without a name")
            kind = f"CUSTOM:{custom}"
        version = table.int32(2, 1)
        if version < 0:
            raise BadInput(f"has {kind} of version {version}")
        return kind, version

    def _buffer(self, index: int) -> memoryview:
        if not 0 <= index < self.buffer_count:
            raise BadInput(f"refers to buffer {index} of {self.buffer_count}")
        if index not in self.buffers:
            table = self.model.element(_BUFFERS, index)
            if table.scalar(1, "uint64") or table.scalar(2, "uint64"):
                raise BadInput(f"keeps buffer {index} outside the flatbuffer, which Hornito does not read")
            self.buffers[index] = table.content(0)
        return self.buffers[index]

    def _metadata(self) -> None:
        for table in self.model.tables(_METADATA):
            name = table.text(0)
            buffer = table.scalar(1, "uint32")
            if not name:
                raise BadInput(f"has metadata without a name in buffer {buffer}")
            if buffer >= self.buffer_count:
                raise BadInput(f"metadata {short(name)} refers to buffer {buffer} of {self.buffer_count}")

    def _signature(self, table: Table) -> Signature:
        name = table.text(2)
        subgraph = table.scalar(4, "uint32")
        if subgraph >= len(self.kept):
            raise BadInput(f"signature {short(name)} names subgraph {subgraph} of {len(self.kept)}")
        tensors, _, inputs, outputs = self.kept[subgraph]
        if not table.has(2):
            raise BadInput("has a signature without a name")
        sides = []
        for slot, among, side in ((0, set(inputs), "input"), (1, set(outputs), "output")):
            names: dict[str, int] = {}
            for entry in table.tables(slot):
                label, index = entry.text(0), entry.scalar(1, "uint32")
                if not entry.has(0):
                    raise BadInput(f"signature {short(name)} has an {side} without a name")
                if index >= len(tensors) or index not in among:
                    raise BadInput(f"signature {short(name)} calls T#{index} an {side}, which it is not")
                names[label] = index
            sides.append(names)
        return Signature(name, subgraph, MappingProxyType(sides[0]), MappingProxyType(sides[1]))

    def _subgraph(self, table: Table, subgraphs: int) -> set[int]:
        """Reads one subgraph into ``kept``; returns the subgraphs that its operators call."""
        tensors = tuple(self._tensor(entry, index) for index, entry in enumerate(table.tables(0)))
        total = sum(_size(tensor) for tensor in tensors if not tensor.is_constant)
        if total > MOST_GRAPH_BYTES:
            raise BadInput(f"its tensors have {total} bytes, above {MOST_GRAPH_BYTES}")
        inputs, outputs = table.int32s(1), table.int32s(2)
        for index in (*inputs, *outputs):
            if not 0 <= index < len(tensors):
                raise BadInput(f"has input or output T#{index} of {len(tensors)} tensors")
        if len(inputs) > len(tensors) or len(set(inputs)) != len(inputs):
            raise BadInput(f"lists the same input twice among {len(inputs)}")
        given = set(inputs)
        for index in inputs:
            if tensors[index].nbytes:
                raise BadInput(f"input T#{index} {short(tensors[index].name)} has constant contents")
        ready = {tensor.index for tensor in tensors if tensor.is_constant or tensor.is_variable} | given
        calls: set[int] = set()
        operators = []
        written: set[int] = set()
        for index, entry in enumerate(table.tables(3)):
            operator, called = self._operator(entry, index, tensors, subgraphs)
            try:
                for number in operator.inputs:
                    if number >= 0 and number not in ready:
                        raise BadInput(f"reads T#{number}, which nothing before it writes")
                for number in operator.outputs:
                    tensor = tensors[number]
                    if number in written:
                        raise BadInput(f"writes T#{number}, which another operator writes too")
                    if number in given or tensor.nbytes or tensor.is_variable:
                        raise BadInput(f"writes T#{number}, which is an input, a constant or a variable")
                    written.add(number)
                check_operator(operator, tensors, entry)
            except BadInput as error:
                raise BadInput(f"Op#{index} {_printable(operator.kind)}: {error}") from error
            ready.update(operator.outputs)
            calls |= called
            operators.append(operator)
        for index in outputs:
            if index not in ready:
                raise BadInput(f"output T#{index} {short(tensors[index].name)} is never written")
        self.kept.append((tensors, tuple(operators), inputs, outputs))
        return calls

    def _operator(
        self, table: Table, index: int, tensors: tuple[Tensor, ...], subgraphs: int
    ) -> tuple[Operator, set[int]]:
        code = table.scalar(0, "uint32")
        if code >= len(self.codes):
            raise BadInput(f"Op#{index}: has operator code {code} of {len(self.codes)}")
        kind, version = self.codes[code]
        try:
            inputs, outputs = table.int32s(1), table.int32s(2)
            for number in (*inputs, *table.int32s(8)):
                if not -1 <= number < len(tensors):
                    raise BadInput(f"reads T#{number} of {len(tensors)} tensors")
            for number in outputs:
                if not 0 <= number < len(tensors):
                    raise BadInput(f"writes T#{number} of {len(tensors)} tensors")
            table.content(5)
            if table.scalar(9, "uint64") or table.scalar(10, "uint64"):
                raise BadInput("keeps its options outside the flatbuffer, which Hornito does not read")
            options, called = read_options(kind, table)
            for callee in called:
                if not 0 <= callee < subgraphs:
                    raise BadInput(f"calls subgraph {callee} of {subgraphs}")
        except BadInput as error:
            raise BadInput(f"Op#{index} {_printable(kind)}: {error}") from error
        return Operator(index, kind, version, inputs, outputs, options), called

    def _tensor(self, table: Table, index: int) -> Tensor:
        name = table.text(3)
        try:
            number = table.scalar(1, "int8")
            type_name = name_of("TensorType", number)
            if type_name is None:
                raise BadInput(f"has type {number}, which the schema does not know")
            if table.has(10) and table.scalar(10, "uint32"):
                raise BadInput("keeps its contents in an external buffer, which Hornito does not read")
            shape, signature = table.int32s(0), table.int32s(7)
            elements = _elements(shape)
            if signature and (len(signature) != len(shape) or min(signature) < -1):
                raise BadInput(f"has shape signature {_few(signature)} for shape {_few(shape)}")
            bits = _BITS.get(type_name, 0)
            if elements * bits > 8 * MOST_TENSOR_BYTES:
                raise BadInput(f"has shape {_few(shape)}: more than {MOST_TENSOR_BYTES} bytes")
            quantization_table = table.table(4)
            quantization = _quantization(quantization_table, shape, type_name) if quantization_table else None
            buffer = table.scalar(2, "uint32")
            content = self._buffer(buffer)
            if buffer == 0:
                # By convention: no contents, whatever the buffer holds.
                content = content[:0]
            sparse = table.table(6)
            for owner, slot, what in ((sparse, 2, "sparse dimensions"), (table, 9, "variant types")):
                if owner is not None and owner.length(slot, 4) > 64:
                    raise BadInput(f"has {owner.length(slot, 4)} {what}, more than 64")
            if content and sparse is None:
                _check_content(content, type_name, bits, elements)
            dtype = _DTYPES.get(type_name)
            is_variable = bool(table.scalar(5, "uint8"))
            if is_variable and content:
                raise BadInput("is a variable with constant contents")
            # LiteRT's fast kernels stumble over subnormal scales of what they compute.
            if quantization and not content and bits <= 16 and min(quantization.scales) < _LEAST_SCALE:
                raise BadInput(f"has scale {min(quantization.scales)}, below {_LEAST_SCALE}")
            data: NDArray[Any] | None = None
            if dtype is not None and content and sparse is None:
                data = np.frombuffer(content, dtype).reshape(shape)
            return Tensor(
                index=index,
                name=name,
                shape=shape,
                shape_signature=signature,
                type_name=type_name,
                dtype=dtype,
                quantization=quantization,
                data=data,
                is_variable=is_variable,
                buffer=buffer,
                nbytes=len(content),
            )
        except BadInput as error:
            raise BadInput(f"T#{index} {short(name)}: {error}") from error


def _printable(kind: str) -> str:
    """A kind fit for a message: a custom operator's name comes from the file."""
    return kind if kind.isidentifier() else short(kind)[1:-1]


def _few(shape: tuple[int, ...]) -> str:
    """A shape fit for a message."""
    return f"[{', '.join(map(str, shape[:8]))}{', ...' if len(shape) > 8 else ''}]"


def _elements(shape: tuple[int, ...]) -> int:
    if shape and min(shape) < 0:
        raise BadInput(f"has shape {_few(shape)}: a dimension is negative")
    # numpy's limit; no kernel of LiteRT takes a quarter of it.
    if len(shape) > 32:
        raise BadInput(f"has {len(shape)} dimensions, more than 32")
    # Zeros hide huge factors from the product, yet strides are computed from the others.
    if math.prod(length for length in shape if length) > 8 * MOST_TENSOR_BYTES:
        raise BadInput(f"has shape {_few(shape)}: more than {MOST_TENSOR_BYTES} bytes")
    return math.prod(shape)


def _size(tensor: Tensor) -> int:
    return tensor.elements * _BITS.get(tensor.type_name, 0) // 8


def _check_content(content: memoryview, type_name: str, bits: int, elements: int) -> None:
    """Raises BadInput where a constant's contents can't be what its type and shape say."""
    if bits:
        expected = (elements * bits + 7) // 8
        if len(content) != expected:
            raise BadInput(f"has {len(content)} bytes of contents where its shape and type need {expected}")
    elif type_name == "STRING":
        # int32: count, then where each string begins and the last ends, then the characters.
        count = int(np.frombuffer(content, "<i4", 1)[0]) if len(content) >= 4 else -1
        if count != elements or len(content) < 4 * (count + 2):
            raise BadInput(f"has contents of {count} strings where its shape needs {elements}")
        offsets = np.frombuffer(content, "<i4", count + 1, 4).astype(np.int64)
        if offsets[0] != 4 * (count + 2) or offsets[-1] > len(content) or np.any(np.diff(offsets) < 0):
            raise BadInput(f"has contents of {count} strings that do not follow each other")
    else:
        raise BadInput(f"has contents, which a {type_name} can't have")


_LEAST_SCALE = 2.0**-126
_ZERO_POINTS = {"UINT8": (0, 255), "INT8": (-128, 127), "INT16": (-32768, 32767)}


def _quantization(table: Table, shape: tuple[int, ...], type_name: str) -> Quantization | None:
    if table.scalar(4, "uint8"):
        return None  # Custom and blockwise quantisation: LiteRT knows, the NPU can't.
    scales, zero_points = table.numbers(2, "<f4"), table.numbers(3, "<i8")
    if not len(scales):
        return None  # Converters write min and max alone for tensors that they did not quantise.
    axis = table.int32(6)
    # The comparison is false for NaN.
    if not np.all((scales > 0) & (scales < np.inf)):
        wrong = next(float(scale) for scale in scales if not 0 < scale < np.inf)
        raise BadInput(f"has scale {wrong}, which is not above zero and finite")
    if len(zero_points) not in (1, len(scales)):
        raise BadInput(f"has {len(scales)} scales but {len(zero_points)} zero points")
    if shape and not 0 <= axis < len(shape):
        raise BadInput(f"is quantised along axis {axis} of {len(shape)}")
    if len(scales) > 1 and (not shape or len(scales) != shape[axis]):
        raise BadInput(f"has {len(scales)} scales along axis {axis} of shape {_few(shape)}")
    low, high = _ZERO_POINTS.get(type_name, (-(2**31), 2**31 - 1))
    least, most = int(zero_points.min()), int(zero_points.max())
    if least < low or most > high:
        wrong_zero = least if least < low else most
        raise BadInput(f"has zero point {wrong_zero}, outside {low} to {high}")
    points: tuple[int, ...] = tuple(zero_points.tolist())
    if len(points) < len(scales):
        points = points * len(scales)
    return Quantization(tuple(scales.tolist()), points, axis)
