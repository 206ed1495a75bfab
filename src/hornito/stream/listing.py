# SPDX-License-Identifier: MIT
"""What does a submission say, in words? Every word of it as text, the same wherever its buffers lie."""

import hashlib
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from hornito.stream.annotate import ADDRESS_FIELDS, DESCRIPTORS, Line, LineKind, annotate
from hornito.stream.submission import STREAM, Buffer, Port, Relocation, Submission

_SMALL = 1024  # bytes: contents up to this size are shown whole
_HEAD = 64  # of larger ones, so many
_ROW = 32


def listing(submission: Submission) -> list[str]:
    """The stream command by command, each job's descriptors below what starts them; buffers; inputs and outputs.

    Buffers are named by kind and order of first mention ("coef0"). An address shows as buffer and offset, with ``@`` in
    front where a relocation keeps it right. ``?`` marks what no fact gives a meaning to; nothing is left out.
    """
    return _Listing(submission).lines()


class Names:
    """Names for a submission's buffers: kind, and order of first mention."""

    def __init__(self, submission: Submission) -> None:
        self._submission = submission
        self._names: dict[int, str] = {}
        self._counts: Counter[str] = Counter()

    def of(self, number: int) -> str:
        """A buffer's name, by the buffer's number; given when first asked for."""
        if number not in self._names:
            kind = self._submission.buffers[number].kind.value
            self._names[number] = f"{kind}{self._counts[kind]}"
            self._counts[kind] += 1
        return self._names[number]

    def all(self) -> dict[int, str]:
        """Every buffer's name, in the order of mention; those never mentioned come last."""
        for number in range(len(self._submission.buffers)):
            self.of(number)
        return self._names


def value_text(line: Line, names: Names) -> str:
    """A line's value in words: an address as buffer and offset, an enumeration's name, a number."""
    if line.pointer is not None:
        pointer = line.pointer
        text = f"{names.of(pointer.buffer)}{pointer.offset:+#x}"
        if pointer.relocation is None:
            return text
        shift = ADDRESS_FIELDS.get(line.name, 0)
        odd = "" if pointer.relocation.shift == shift else f" >> {pointer.relocation.shift}?"
        return f"@{text}{odd}"
    if line.name in ADDRESS_FIELDS or line.field is None:
        return f"{line.value:#x}"
    return line.field.text(line.value)


def line_text(line: Line, names: Names) -> str:
    """A line as listings show it."""
    index = line.start // 4
    if line.kind is LineKind.COMMAND:
        return f"{index:5}  {' '.join(f'{word:08x}' for word in line.words)}  {line.name}"
    if line.kind in (LineKind.STATE, LineKind.PADDING):
        start = f"{index:5}  {line.words[0] if line.words else 0:08x}" + ("  fixed point" if line.fixed_point else "")
        if line.offset > line.start + 4 or line.kind is LineKind.PADDING:
            start = " " * len(start)
        if line.kind is LineKind.PADDING:
            return f"{start}  padding = {line.value:#x}?"
        name = line.name + (line.state.confidence.mark if line.state is not None else "?")
        odd = "?" if line.state is not None and line.strange else ""
        return f"{start}  {name} = {value_text(line, names)}{odd}"
    if line.field is not None:
        name = line.name + line.field.confidence.mark
        return f"         {line.place} {name} = {value_text(line, names)}"
    if line.kind is LineKind.UNNAMED:
        return f"         {line.place} unnamed? = {line.value:#010x}"
    if line.kind is LineKind.MISSING:
        return f"         ? {line.name}"
    return f"? {line.name}" if line.kind is LineKind.BROKEN else f"{index:5}  {line.value:08x}  ?"


class _Listing:
    def __init__(self, submission: Submission) -> None:
        self._submission = submission
        self._names = Names(submission)
        self._listed: set[int] = set()  # buffers whose contents stand below a trigger
        self._used: set[Relocation] = set()

    def lines(self) -> list[str]:
        lines = []
        for line in annotate(self._submission):
            lines.append(line_text(line, self._names))
            if line.pointer is not None and line.pointer.relocation is not None:
                self._used.add(line.pointer.relocation)
            if line.kind is LineKind.FIELD and line.start == 0 and self._is_descriptor_alone(line):
                self._listed.add(line.holder)
        for number, name in self._names.all().items():
            lines += self._buffer(number, name)
        lines += [self._left_over(place) for place in self._submission.relocations if place not in self._used]
        lines += [self._port("input", port) for port in self._submission.inputs]
        return lines + [self._port("output", port) for port in self._submission.outputs]

    def _is_descriptor_alone(self, line: Line) -> bool:
        """The buffer holds nothing behind the descriptor."""
        if line.holder in self._listed or line.job is None:
            return False
        data = self._submission.buffers[line.holder].data
        return data is not None and not data[4 * DESCRIPTORS[line.job.unit].WORDS :].any()

    def _name(self, number: int) -> str:
        return self._names.of(number)

    def _buffer(self, number: int, name: str) -> list[str]:
        buffer = self._submission.buffers[number]
        lines = [f"{name}: {buffer.size} bytes"]
        if buffer.data is None or number in self._listed:
            return lines
        return [f"{lines[0]}, {_digest(buffer)}", *_rows(buffer.data)]

    def _left_over(self, place: Relocation) -> str:
        """A relocation of a word in which no address was expected."""
        inside = 0 <= place.buffer < len(self._submission.buffers)
        holder = self._name(place.buffer) if inside else "stream" if place.buffer == STREAM else f"{place.buffer}?"
        known = 0 <= place.target < len(self._submission.buffers)
        target = self._name(place.target) if known else f"{place.target}?"
        return f"relocation? {holder}{place.offset:+#x} -> {target} >> {place.shift}"

    def _port(self, role: str, port: Port) -> str:
        tensor = port.tensor
        shape = "x".join(str(length) for length in tensor.shape)
        where = f"{self._name(port.buffer)}{port.offset:+#x}"
        return (
            f"{role} T#{tensor.index} {tensor.name!r} {tensor.dtype} {shape}, scale {tensor.scale:.9g}, "
            f"zero point {tensor.zero_point}: {port.bytes} bytes at {where}"
        )


def _digest(buffer: Buffer) -> str:
    """Of the contents without the zeros at their end, which a file may leave out."""
    assert buffer.data is not None
    return f"sha256 {hashlib.sha256(buffer.data.tobytes().rstrip(bytes(1))).hexdigest()[:16]}"


def _rows(data: NDArray[np.uint8]) -> list[str]:
    """The first bytes in hex; rows of zeros are left out (the offsets tell)."""
    shown = data[: _SMALL if len(data) <= _SMALL else _HEAD]
    rows = [(at, shown[at : at + _ROW].tobytes()) for at in range(0, len(shown), _ROW)]
    lines = [f"    {at:04x}  {row.hex(' ', 4)}" for at, row in rows if any(row)]
    return lines if len(shown) == len(data) else [*lines, f"    ... {len(data) - len(shown)} bytes more"]
