# SPDX-License-Identifier: MIT
"""How is a hardware structure of 32-bit words declared, so that nothing about it is ever written twice?

A subclass of ``Packed`` is a frozen dataclass whose fields are made by ``bits()``; ``hornito.hardware`` has real ones.
"""

import dataclasses
import enum
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Self

from hornito.errors import FieldRangeError

WORD_BITS = 32
_METADATA_KEY = "hornito.bits"


class Confidence(enum.StrEnum):
    """How far a fact about a field can be trusted; the databook's marks."""

    REPLAYED = "replayed"  # the reference driver writes it so; compared byte for byte
    INFERRED = "inferred"  # explains every case the reference driver writes, but no document says so
    UNKNOWN = "unknown"  # only ever written with the values in ``BitField.only``; no meaning is known

    @property
    def mark(self) -> str:
        """The sign that listings print after a field's name: "?" for anything but replayed facts."""
        return "" if self is Confidence.REPLAYED else "?"


@dataclass(frozen=True)
class BitField:
    """Where a field lies, and which values it may have. ``minus`` is subtracted before storing (size - 1 fields).
    ``address``: the field holds a device address without so many of its low bits, which are 0; None: no address."""

    name: str
    word: int
    msb: int
    lsb: int
    minus: int = 0
    signed: bool = False
    kind: type[enum.IntEnum] | None = None
    only: tuple[int, ...] | None = None  # the values that are ever written; None: any that fits
    confidence: Confidence = Confidence.REPLAYED
    address: int | None = None
    source: str = ""  # where the fact was taken from; the structure's own ``SOURCE`` unless a field has another

    @cached_property
    def width(self) -> int:
        return self.msb - self.lsb + 1

    @cached_property
    def mask(self) -> int:
        """The field's bits within its word."""
        return ((1 << self.width) - 1) << self.lsb

    @property
    def smallest(self) -> int:
        return (-(1 << (self.width - 1)) if self.signed else 0) + self.minus

    @property
    def largest(self) -> int:
        return (1 << (self.width - self.signed)) - 1 + self.minus

    @cached_property
    def place(self) -> str:
        """As in ``w0[5:2]`` or ``w2[24]``."""
        return f"w{self.word}[{self.msb}:{self.lsb}]" if self.width > 1 else f"w{self.word}[{self.lsb}]"

    def extract(self, words: Sequence[int]) -> int:
        raw = (int(words[self.word]) & self.mask) >> self.lsb
        if self.signed and raw >> (self.width - 1):
            raw -= 1 << self.width
        return raw + self.minus

    def text(self, value: int) -> str:
        """A value as listings show it; an enum value without a name shows as hex."""
        if self.kind is not None:
            try:
                return f"{self.kind(value).name} ({value})"
            except ValueError:
                return f"{value:#x}"
        return f"{value:#x}" if self.width > 20 and not self.signed else str(value)


def bits(
    word: int,
    msb: int,
    lsb: int | None = None,
    *,
    default: int | None = None,
    only: tuple[int, ...] | None = None,
    confidence: Confidence = Confidence.REPLAYED,
    **more: Any,
) -> Any:
    """Declare a dataclass field that occupies bits ``msb:lsb`` of a word (``lsb`` defaults to ``msb``: one bit).

    ``only`` alone also gives the default: its first value. ``more`` are further attributes of ``BitField``.
    """
    if only is not None and default is None:
        default = only[0]
    place = {"word": word, "msb": msb, "lsb": msb if lsb is None else lsb, "only": only, "confidence": confidence}
    metadata = {_METADATA_KEY: place | more}
    if default is None:
        return dataclasses.field(metadata=metadata, kw_only=True)
    return dataclasses.field(default=default, metadata=metadata, kw_only=True)


class Packed:
    """Base of structures of little-endian 32-bit words. Subclasses are frozen dataclasses of ``bits()`` fields."""

    WORDS: ClassVar[int]
    SOURCE: ClassVar[str] = ""
    _layout: ClassVar[dict[str, BitField]]

    def __init_subclass__(cls) -> None:
        """Check the declaration when the class is made: fields lie within their words and never overlap."""
        super().__init_subclass__()
        layout: dict[str, BitField] = {}
        claimed = [0] * cls.WORDS
        for name, value in cls.__dict__.items():
            if not isinstance(value, dataclasses.Field) or _METADATA_KEY not in value.metadata:
                continue
            field = BitField(name=name, **{"source": cls.SOURCE} | value.metadata[_METADATA_KEY])
            if not (0 <= field.word < cls.WORDS and 0 <= field.lsb <= field.msb < WORD_BITS):
                raise TypeError(f"{cls.__name__}.{name}: {field.place} lies outside {cls.WORDS} words of 32 bits")
            if claimed[field.word] & field.mask:
                raise TypeError(f"{cls.__name__}.{name}: {field.place} overlaps another field")
            claimed[field.word] |= field.mask
            layout[name] = field
        cls._layout = layout

    @classmethod
    def layout(cls) -> dict[str, BitField]:
        """Every field by name, in the order of declaration."""
        return cls._layout

    @classmethod
    def addresses(cls) -> dict[str, int]:
        """The fields that hold addresses, and how far these are shifted right there."""
        return {name: field.address for name, field in cls._layout.items() if field.address is not None}

    @classmethod
    def byte_of(cls, name: str) -> int:
        """Byte offset of the word that holds a field."""
        return cls._layout[name].word * (WORD_BITS // 8)

    def encode(self, **others: int) -> list[int]:
        """The words; ``others``: values of fields in the place of this one's. Raises FieldRangeError for a value that
        does not fit its field or is never written there."""
        words = [0] * self.WORDS
        own = {**vars(self), **others}
        for name, field in self._layout.items():
            value = int(own[name])
            if not field.smallest <= value <= field.largest:
                raise FieldRangeError(
                    f"{type(self).__name__}.{name} = {value}: field holds {field.smallest}..{field.largest}"
                )
            if field.only is not None and value not in field.only:
                raise FieldRangeError(f"{type(self).__name__}.{name} = {value}: only {_values(field.only)} is known")
            words[field.word] |= (value - field.minus) << field.lsb & field.mask
        return words

    @classmethod
    def decode(cls, words: Sequence[int]) -> Self:
        """Read the fields. Any words decode; what no field claims is in ``unnamed``. Needs at least WORDS words."""
        if len(words) < cls.WORDS:
            raise FieldRangeError(f"{cls.__name__} has {cls.WORDS} words; got {len(words)}")
        return cls(**{name: field.extract(words) for name, field in cls._layout.items()})

    @classmethod
    def unnamed(cls, words: Sequence[int]) -> list[int]:
        """The words with every bit that a field claims cleared: what decoding alone would drop."""
        rest = [int(word) for word in words[: cls.WORDS]]
        for field in cls._layout.values():
            rest[field.word] &= ~field.mask
        return rest

    @classmethod
    def violations(cls, words: Sequence[int]) -> Iterator[str]:
        """Say which bits have values that no fact gives a meaning to: a line each, naming field and value."""
        for field in cls._layout.values():
            value = field.extract(words)
            if field.only is not None and value not in field.only:
                yield f"{field.place} {field.name} = {value:#x}: only {_values(field.only)} is known"
        for index, rest in enumerate(cls.unnamed(words)):
            if rest:
                yield f"w{index} has bits {rest:#010x} set that belong to no field"

    @classmethod
    def listing(cls, words: Sequence[int]) -> list[str]:
        """One line a field, then one for each word with unnamed bits; nothing is dropped."""
        lines = [
            f"{field.place} {field.name}{field.confidence.mark} = {field.text(field.extract(words))}"
            for field in cls._layout.values()
        ]
        lines += [f"w{index} unnamed? = {rest:#010x}" for index, rest in enumerate(cls.unnamed(words)) if rest]
        return lines


def diff(kind: type[Packed], old: Sequence[int], new: Sequence[int]) -> list[str]:
    """The fields in which two packed structures differ: a ``-`` line and a ``+`` line each."""

    def by_place(words: Sequence[int]) -> dict[str, str]:
        return {line.split(" = ")[0]: line for line in kind.listing(words)}

    before, after = by_place(old), by_place(new)
    lines = []
    for key in [*before, *(key for key in after if key not in before)]:
        if before.get(key) != after.get(key):
            lines += [f"- {before[key]}"] if key in before else []
            lines += [f"+ {after[key]}"] if key in after else []
    return lines


def _values(allowed: Iterable[int]) -> str:
    return " or ".join(f"{value:#x}" if value > 9 else str(value) for value in allowed)
