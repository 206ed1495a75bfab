# SPDX-License-Identifier: MIT
"""Which bits of recordings does no fact explain? Every bit of streams, descriptors and coefficients counted, by how far
the fact behind it can be trusted."""

import enum
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from hornito.bits import BitField, Confidence, Packed
from hornito.errors import BadStream, Unsupported
from hornito.hardware.nn import KERNEL_ADDRESS_SHIFT
from hornito.hardware.states import State
from hornito.stream.annotate import DESCRIPTORS, NN, TP, Line, LineKind
from hornito.trace.records import Recording
from hornito.trace.view import SubmitView, view

WORD_BITS = 32
STREAM, COEFFICIENTS = "stream", "coefficients"


class Trust(enum.StrEnum):
    """How well a bit is explained."""

    REPLAYED = "replayed"  # by a fact that was compared byte for byte
    INFERRED = "inferred"  # by a guess that fits all that was seen
    UNKNOWN = "unknown"  # it has a name, but nobody knows what it does
    STRANGE = "strange"  # it has a name, and a value that was never seen there
    UNNAMED = "unnamed"  # no fact names it


_OF = {
    Confidence.REPLAYED: Trust.REPLAYED,
    Confidence.INFERRED: Trust.INFERRED,
    Confidence.UNKNOWN: Trust.UNKNOWN,
}


@dataclass
class WordCoverage:
    """The same word of all structures of a kind: ``bits`` by trust; ``unnamed_set``: the bits that no fact names and
    that were set in one of them at least; ``notes``: the names of what is not replayed."""

    structure: str
    word: str
    bits: Counter[Trust] = field(default_factory=Counter)
    unnamed_set: int = 0
    notes: dict[str, Trust] = field(default_factory=dict)

    def add(self, trust: Trust, bits: int, name: str = "") -> None:
        """Count ``bits`` more."""
        if not bits:
            return
        self.bits[trust] += bits
        if name and trust is not Trust.REPLAYED:
            self.notes[name] = max(trust, self.notes.get(name, trust), key=list(Trust).index)

    @property
    def total(self) -> int:
        return self.bits.total()


@dataclass(frozen=True)
class Behind:
    """Bytes that are not zero, in buffers of descriptors or coefficients, but belong to none of these."""

    descriptors: int = 0
    coefficients: int = 0


class Coverage:
    """Counts recording after recording."""

    def __init__(self, chip: str = "") -> None:
        self._chip = chip
        self._words: dict[tuple[str, str], WordCoverage] = {}
        self.counts: Counter[str] = Counter()  # of each structure
        self.behind = Behind()
        self.problems: list[str] = []

    def add(self, recording: Recording) -> None:
        """Count all submits of a recording. Raises BadInput for one that can't be read."""
        for submit in recording.submits():
            self._submit(view(recording, submit, self._chip), f"{recording.path}: submit {submit.number}")

    def words(self) -> Iterator[WordCoverage]:
        """Word by word, in order."""
        order = {STREAM: 0, NN: 1, TP: 2, COEFFICIENTS: 3}
        return iter(sorted(self._words.values(), key=lambda one: (order[one.structure], _number(one.word), one.word)))

    def totals(self, structures: Iterable[str] = (STREAM, NN, TP, COEFFICIENTS)) -> Counter[Trust]:
        """All bits by trust."""
        wanted = set(structures)
        found: Counter[Trust] = Counter()
        for one in self._words.values():
            if one.structure in wanted:
                found += one.bits
        return found

    def as_json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "structures": dict(self.counts),
            "totals": {trust.value: self.totals()[trust] for trust in Trust},
            "behind": {"descriptors": self.behind.descriptors, "coefficients": self.behind.coefficients},
            "problems": self.problems,
            "words": [
                {
                    **{"structure": one.structure, "word": one.word},
                    **{"bits": {trust.value: one.bits[trust] for trust in Trust}},
                    **{
                        "unnamed_set": one.unnamed_set,
                        "notes": {name: trust.value for name, trust in one.notes.items()},
                    },
                }
                for one in self.words()
            ],
        }

    def _word(self, structure: str, word: str) -> WordCoverage:
        return self._words.setdefault((structure, word), WordCoverage(structure, word))

    def _submit(self, seen: SubmitView, where: str) -> None:
        self.counts[STREAM] += 1
        begun = -1
        for line in seen.lines:
            if line.kind is LineKind.FIELD and line.job is not None:
                self._field(line, line.job.unit)
            elif line.kind is LineKind.UNNAMED and line.job is not None:
                self._word(line.job.unit, line.place).unnamed_set |= line.value
            elif line.kind in (LineKind.STATE, LineKind.PADDING):
                if line.start != begun:
                    begun = line.start
                    self._word(STREAM, "LOAD_STATE").add(Trust.REPLAYED, WORD_BITS)
                self._state(line)
            elif line.kind is LineKind.COMMAND:
                trust = _OF[line.confidence or Confidence.UNKNOWN]
                self._word(STREAM, line.name).add(trust, WORD_BITS * len(line.words), line.name)
            elif line.kind is LineKind.WORD:
                word = self._word(STREAM, "rest")
                word.add(Trust.UNNAMED, WORD_BITS, "what can't be split into commands")
                word.unnamed_set |= line.value
            elif line.kind is LineKind.MISSING:
                self.problems.append(f"{where}: a descriptor at {line.value:#x} was not recorded")
        for job in seen.jobs:
            self._unnamed(job.unit, len(job.descriptors))
        self._coefficients(seen, where)

    def _field(self, line: Line, unit: str) -> None:
        assert line.field is not None
        word = self._word(unit, f"w{line.field.word}")
        word.add(Trust.STRANGE if line.strange else _OF[line.field.confidence], line.field.width, line.name)

    def _unnamed(self, unit: str, count: int) -> None:
        """The bits of so many descriptors that no field claims."""
        self.counts[unit] += count
        for index, mask in enumerate(_unclaimed(DESCRIPTORS[unit])):
            self._word(unit, f"w{index}").add(Trust.UNNAMED, count * mask.bit_count())

    def _state(self, line: Line) -> None:
        word = self._word(STREAM, line.name)
        if line.state is None:
            word.add(Trust.UNNAMED, WORD_BITS, line.name)
            word.unnamed_set |= line.value
        elif line.strange:
            word.add(Trust.STRANGE, WORD_BITS, line.name)
        else:
            for trust, bits, name in _state_bits(line.state):
                word.add(trust, bits, name)

    def _coefficients(self, seen: SubmitView, where: str) -> None:
        coefficients = 0
        for job in seen.jobs:
            if job.unit != NN or not job.descriptors:
                continue
            address = job.descriptors[0].fields["kernel_address"] << KERNEL_ADDRESS_SHIFT
            number_at = seen.submission.buffer_at(address)
            buffer = None if number_at is None else seen.submission.buffers[number_at]
            if buffer is None or buffer.data is None:
                self.problems.append(f"{where}, job {job.number}: its coefficients were not recorded")
                continue
            self.counts[COEFFICIENTS] += 1
            word = self._word(COEFFICIENTS, "all")
            offset = address - buffer.address
            try:
                made = seen.coefficients(job.descriptors[0])
            except (BadStream, Unsupported) as error:
                word.add(Trust.UNNAMED, 8 * (len(buffer.data) - offset), "coefficients that can't be read")
                self.problems.append(f"{where}, job {job.number}: {error}")
                continue
            word.add(Trust.REPLAYED, 8 * made.size)
            coefficients += int((buffer.data[offset + made.size :] != 0).sum())
        descriptors = sum(_behind_descriptors(seen, number) for number in range(len(seen.submission.buffers)))
        self.behind = Behind(self.behind.descriptors + descriptors, self.behind.coefficients + coefficients)


def _behind_descriptors(seen: SubmitView, number: int) -> int:
    """Bytes that are not zero behind the last descriptor in a buffer; 0 for a buffer without any."""
    data = seen.submission.buffers[number].data
    ends = [
        one.offset + 4 * DESCRIPTORS[job.unit].WORDS
        for job in seen.jobs
        for one in job.descriptors
        if one.buffer == number
    ]
    return int((data[max(ends) :] != 0).sum()) if ends and data is not None else 0


def _unclaimed(kind: type[Packed]) -> list[int]:
    """Of each word the bits that no field claims."""
    return kind.unnamed([(1 << WORD_BITS) - 1] * kind.WORDS)


def _state_bits(state: State) -> Iterator[tuple[Trust, int, str]]:
    """The bits of a state's value: by their own fields where these have names, else by the state."""
    rest = WORD_BITS
    fields: Iterable[BitField] = state.fields.layout().values() if state.fields is not None else ()
    for one in fields:
        rest -= one.width
        yield _OF[one.confidence], one.width, f"{state.name}.{one.name}"
    yield _OF[state.confidence], rest, state.name


def _number(word: str) -> int:
    return int(word[1:]) if word[:1] == "w" and word[1:].isdigit() else -1
