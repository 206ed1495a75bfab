# SPDX-License-Identifier: MIT
"""What does a submission say, in words? Every word of it as text, the same wherever its buffers lie."""

import hashlib

import numpy as np
from numpy.typing import NDArray

from hornito.bits import Packed
from hornito.errors import BadStream
from hornito.hardware.nn import NNDescriptor
from hornito.hardware.states import PS_NN_INST_ADDR, PS_TP_INST_ADDR, STATES, TAG_ALIGNMENT
from hornito.hardware.tp import TPDescriptor
from hornito.stream.submission import STREAM, Buffer, Port, Relocation, Submission
from hornito.stream.walker import LoadState, Packet, walk

_TRIGGERS: dict[int, type[Packed]] = {PS_NN_INST_ADDR.index: NNDescriptor, PS_TP_INST_ADDR.index: TPDescriptor}
_SMALL = 1024  # bytes: contents up to this size are shown whole
_HEAD = 64  # of larger ones, so many
_ROW = 32


def listing(submission: Submission) -> list[str]:
    """The stream command by command, each job's descriptors below what starts them; buffers; inputs and outputs.

    Buffers are named by kind and order of first mention ("coef0"). An address shows as buffer and offset, with ``@`` in
    front where a relocation keeps it right. ``?`` marks what no fact gives a meaning to; nothing is left out.
    """
    return _Listing(submission).lines()


class _Listing:
    def __init__(self, submission: Submission) -> None:
        self._submission = submission
        self._names: dict[int, str] = {}
        self._listed: set[int] = set()  # buffers whose contents stand below a trigger
        self._relocations = {(place.buffer, place.offset): place for place in submission.relocations}
        self._used: set[Relocation] = set()

    def lines(self) -> list[str]:
        lines = [*self._stream()]
        for number in range(len(self._submission.buffers)):
            self._name(number)
        for number, name in self._names.items():
            lines += self._buffer(number, name)
        lines += [self._left_over(place) for place in self._submission.relocations if place not in self._used]
        lines += [self._port("input", port) for port in self._submission.inputs]
        return lines + [self._port("output", port) for port in self._submission.outputs]

    def _name(self, number: int) -> str:
        if number not in self._names:
            kind = self._submission.buffers[number].kind.value
            self._names[number] = f"{kind}{sum(name.startswith(kind) for name in self._names.values())}"
        return self._names[number]

    def _stream(self) -> list[str]:
        words = [int(word) for word in self._submission.stream]
        lines: list[str] = []
        done = 0
        try:
            for packet in walk(words):
                lines += self._packet(packet)
                done = packet.index + len(packet.words)
        except BadStream as error:
            lines += [f"? {error}", *(f"{index:5}  {words[index]:08x}  ?" for index in range(done, len(words)))]
        return lines

    def _packet(self, packet: Packet) -> list[str]:
        if not isinstance(packet, LoadState):
            return [f"{packet.index:5}  {' '.join(f'{word:08x}' for word in packet.words)}  {packet.opcode.name}"]
        lines = []
        start = f"{packet.index:5}  {packet.words[0]:08x}" + ("  fixed point" if packet.fixed_point else "")
        for place, value in enumerate(packet.values, 1):
            index = packet.first + place - 1
            state = STATES.get(index)
            name = f"state {index << 2:#07x}?" if state is None else state.name + state.confidence.mark
            trigger = _TRIGGERS.get(index)
            text = self._address(STREAM, 4 * (packet.index + place), value, 0, trigger is not None)
            strange = "?" if state is not None and state.only is not None and value not in state.only else ""
            lines.append(f"{start}  {name} = {text}{strange}")
            start = " " * len(start)
            if trigger is not None:
                lines += self._descriptor(trigger, value - value % TAG_ALIGNMENT)
        padding = packet.words[1 + len(packet.values) :]
        return lines + [f"{start}  padding = {word:#x}?" for word in padding if word]

    def _address(self, holder: int, offset: int, value: int, shift: int, is_address: bool = True) -> str:
        """A word (or field) as buffer and offset, where it is an address; else as hex."""
        relocation = self._relocations.get((holder, offset))
        address = value << shift
        if relocation is not None and 0 <= relocation.target < len(self._submission.buffers):
            self._used.add(relocation)
            base = self._submission.buffers[relocation.target].address
            odd = f" >> {relocation.shift}?" if relocation.shift != shift else ""
            return f"@{self._name(relocation.target)}{address - base:+#x}{odd}"
        number = self._submission.buffer_at(address) if is_address else None
        if number is None:
            return f"{value:#x}"
        return f"{self._name(number)}{address - self._submission.buffers[number].address:+#x}"

    def _descriptor(self, kind: type[Packed], address: int) -> list[str]:
        number = self._submission.buffer_at(address)
        buffer = None if number is None else self._submission.buffers[number]
        if number is None or buffer is None or buffer.data is None or buffer.end - address < 4 * kind.WORDS:
            return ["         ? no descriptor lies there"]
        start = address - buffer.address
        content = buffer.data[start : start + 4 * kind.WORDS]
        words = np.pad(content, (0, 4 * kind.WORDS - len(content))).view("<u4").tolist()
        lines = []
        for line in kind.listing(words):
            key = line.split(" = ")[0]
            field = kind.layout().get(key.split(" ")[1].rstrip("?"))
            if field is not None and field.address is not None:
                place = start + 4 * field.word
                line = f"{key} = {self._address(number, place, field.extract(words), field.address)}"
            lines.append(f"         {line}")
        if start == 0 and not buffer.data[4 * kind.WORDS :].any():
            self._listed.add(number)
        return lines

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
