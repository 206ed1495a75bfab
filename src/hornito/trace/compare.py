# SPDX-License-Identifier: MIT
"""Where do two submissions differ, wherever their buffers lie? Job by job, field by field.

An address stands for the buffer that it points into, and the offset there: buffers correspond one to one. Coefficients
count up to their end. Of the padding kernels of version 7 (output channels that fill the cores up) the output offsets
alone count: the reference driver fills them with whatever lies behind its arrays.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from hornito.errors import BadInput
from hornito.hardware.chips import Chip
from hornito.hardware.nn import KERNEL_ADDRESS_SHIFT, NNDescriptor
from hornito.hardware.states import TAG_ALIGNMENT
from hornito.stream.annotate import ADDRESS_FIELDS, TRIGGERS, Line, LineKind, Pointer
from hornito.stream.listing import Names
from hornito.stream.submission import Submission
from hornito.trace.align import align
from hornito.trace.compare_coefficients import Blob, compare_coefficients


@dataclass(frozen=True)
class Difference:
    """A value that differs: its place (``w0[5:2]``, or a word's number in the stream), its name, and what it is on each
    side in words; None where a side does not have it. ``core`` is the TP core's turn, if it is one core's."""

    place: str
    name: str
    old: str | None
    new: str | None
    old_value: int | None = None
    new_value: int | None = None
    core: int | None = None


@dataclass(frozen=True)
class Side:
    """A submission and names for its buffers."""

    submission: Submission
    names: Names

    def pointer(self, pointer: Pointer | None, value: int) -> str:
        """An address in words."""
        return f"{value:#x}" if pointer is None else f"{self.names.of(pointer.buffer)}{pointer.offset:+#x}"


@dataclass
class Comparison:
    """Two submissions, the buffers of one that stand for those of the other as far as they were met, and how many
    padding kernels were passed over. ``strict``: they count like all others."""

    old: Side
    new: Side
    chip: Chip | None
    strict: bool = False
    mapped: dict[int, int] = field(default_factory=dict)
    back: dict[int, int] = field(default_factory=dict)
    padding_kernels: int = 0

    def lines(self, old: Sequence[Line], new: Sequence[Line]) -> Iterator[Difference]:
        """The differences of two jobs, or of two commands that belong to none, by their lines."""
        keys = [[(line.kind, line.name, _core(line)) for line in side] for side in (old, new)]
        for a, b in align(keys[0], keys[1], lambda a, b: float(_alike(old[a], new[b]))):
            if a is None or b is None:
                yield from self._one_sided(None if a is None else old[a], None if b is None else new[b])
            else:
                yield from self._pair(old[a], new[b])

    def _one_sided(self, old: Line | None, new: Line | None) -> Iterator[Difference]:
        line = old or new
        assert line is not None
        yield Difference(
            line.place,
            _name(line),
            None if old is None else self._text(self.old, old),
            None if new is None else self._text(self.new, new),
            None if old is None else old.value,
            None if new is None else new.value,
            _core(line),
        )

    def _text(self, side: Side, line: Line) -> str:
        if line.kind is LineKind.COMMAND:
            return " ".join(f"{word:08x}" for word in line.words)
        if line.pointer is not None or line.name in ADDRESS_FIELDS:
            tag = line.value % TAG_ALIGNMENT if line.kind is LineKind.STATE else 0
            return side.pointer(line.pointer, line.value) + (f" (tag {tag:#x})" if tag else "")
        return f"{line.value:#x}" if line.field is None else line.field.text(line.value)

    def _pair(self, old: Line, new: Line) -> Iterator[Difference]:
        if old.words != new.words:  # of a state the command's first word
            yield self._difference(old, new)
            return
        is_trigger = old.kind is LineKind.STATE and old.state is not None and old.state.index in TRIGGERS
        if not is_trigger and old.name not in ADDRESS_FIELDS and old.pointer is None and new.pointer is None:
            if old.value != new.value:
                yield self._difference(old, new)
            return
        same = self.same_place(old.pointer, new.pointer, old.value, new.value, is_trigger)
        if is_trigger:
            same = same and old.value % TAG_ALIGNMENT == new.value % TAG_ALIGNMENT
        if not same:
            yield self._difference(old, new)

    def _difference(self, old: Line, new: Line) -> Difference:
        texts = [self._text(self.old, old), self._text(self.new, new)]
        if old.kind is LineKind.STATE and old.words != new.words:
            texts = [f"{text} (command {line.words[0]:08x})" for text, line in zip(texts, (old, new), strict=True)]
        if texts[0] == texts[1]:  # the names agree, but by other mentions these buffers stand for others
            met = self.mapped.get(old.pointer.buffer) if old.pointer is not None else None
            if met is not None:
                texts[0] += f" (elsewhere {self.new.names.of(met)})"
        return Difference(old.place, _name(old), texts[0], texts[1], old.value, new.value, _core(old))

    def same_place(
        self, old: Pointer | None, new: Pointer | None, old_value: int, new_value: int, tagged: bool = False
    ) -> bool:
        """Do two addresses mean the same? Notes which buffers correspond."""
        if old is None or new is None:
            return old is new and old_value == new_value
        ours, theirs = old.buffer, new.buffer
        kinds = [side.submission.buffers[number].kind for side, number in ((self.old, ours), (self.new, theirs))]
        if kinds[0] is not kinds[1]:
            return False
        if self.mapped.get(ours, theirs) != theirs or self.back.get(theirs, ours) != ours:
            return False  # not noted: one wrong address makes one difference
        self.mapped[ours], self.back[theirs] = theirs, ours
        unit = TAG_ALIGNMENT if tagged else 1
        return old.offset // unit == new.offset // unit

    def coefficients(self, old: NNDescriptor, new: NNDescriptor) -> Iterator[Difference]:
        """The differences of two NN jobs' coefficients; none where no contents are known."""
        blobs = []
        for side, descriptor in ((self.old, old), (self.new, new)):
            address = descriptor.kernel_address << KERNEL_ADDRESS_SHIFT
            number = side.submission.buffer_at(address)
            buffer = None if number is None else side.submission.buffers[number]
            if buffer is None or buffer.data is None:
                return
            blobs.append(Blob(buffer, address - buffer.address, descriptor))
        if self.chip is None:
            raise BadInput("nobody knows the chip, so coefficients can't be compared; name it with --chip")
        found, padding = compare_coefficients(blobs[0], blobs[1], self.chip, self.strict)
        self.padding_kernels += padding
        for name, *texts in found:
            yield Difference("", name, texts[0], texts[1])


def _core(line: Line) -> int | None:
    return None if line.job is None else line.job.core


def _name(line: Line) -> str:
    return f"unnamed bits of {line.place}" if line.kind is LineKind.UNNAMED else line.name


def _alike(old: Line, new: Line) -> bool:
    """May two lines of different names be the two sides of one difference?"""
    if old.kind is not new.kind or _core(old) != _core(new):
        return False
    return old.kind in (LineKind.STATE, LineKind.WORD, LineKind.COMMAND) or old.place == new.place
