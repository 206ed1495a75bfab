# SPDX-License-Identifier: MIT
"""Which values follow a parameter, and how? From what was seen at several values of it, and nothing else.

A relation is claimed only if it holds exactly for every value, and for at least one more than determine it.
"""

import enum
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

WORD_BITS = 32
_LEAST_FOR_BITS = 4  # values of the parameter before bits are taken for a field of their own


class Kind(enum.StrEnum):
    """How a value follows a parameter p."""

    AFFINE = "affine"  # a * p + b
    SQUARE = "square"  # a * p * p + b * p + c
    POWER = "power of two"  # a * 2 ** (b * p)
    LOGARITHM = "logarithm"  # a * log2(p / c) + b
    DEPENDS = "depends, no simple relation"


@dataclass(frozen=True)
class Relation:
    """How a value follows the parameter, with the relation's coefficients, highest first. ``confirmed``: values beyond
    those that determine it. ``width``: the relation holds modulo 2 ** width (a field that wraps), or None."""

    kind: Kind
    coefficients: tuple[Fraction, ...] = ()
    confirmed: int = 0
    width: int | None = None

    @property
    def confidence(self) -> str:
        """In a word."""
        if self.kind is Kind.DEPENDS:
            return "seen"
        return ("a guess", "weak", "fair", "strong")[min(self.confirmed, 3)]

    def text(self, name: str) -> str:
        """As a formula of the parameter's name."""
        match self.kind:
            case Kind.AFFINE:
                found = _sum((self.coefficients[0], name), (self.coefficients[1], ""))
            case Kind.SQUARE:
                a, b, c = self.coefficients
                found = _sum((a, f"{name}^2"), (b, name), (c, ""))
            case Kind.POWER:
                exponent = _sum((self.coefficients[1], name))
                found = _sum((self.coefficients[0], f"2^({exponent})" if exponent != name else f"2^{name}"))
            case Kind.LOGARITHM:
                unit = self.coefficients[2]
                argument = name if unit == 1 else f"{name} / {float(unit):g}"
                found = _sum((self.coefficients[0], f"log2({argument})"), (self.coefficients[1], ""))
            case _:
                return self.kind.value
        return found if self.width is None else f"{found} modulo 2^{self.width}"


@dataclass(frozen=True)
class Series:
    """A value at each value of the parameter: where it lies, what it is called ("" for bits without a name)."""

    job: int
    unit: str
    core: int | None
    place: str
    name: str
    values: tuple[int, ...]
    width: int = WORD_BITS


@dataclass(frozen=True)
class Finding:
    """A series that is not always the same, and how it follows the parameter."""

    series: Series
    relation: Relation


def relate(parameters: Sequence[Fraction], values: Sequence[int], width: int = WORD_BITS) -> Relation | None:
    """How the values follow the parameter; None if they don't change. Equal parameters must have equal values, else
    the values depend on more than it: DEPENDS."""
    if len(set(values)) < 2:
        return None
    seen: dict[Fraction, int] = {}
    for parameter, value in zip(parameters, values, strict=True):
        if seen.setdefault(parameter, value) != value:
            return Relation(Kind.DEPENDS)
    points = sorted(seen.items())
    wrapped = [(p, v - (1 << width) if v >> (width - 1) & 1 else v) for p, v in points] if width > 1 else points
    for found in (_affine(points), _logarithm(points), _power(points), _square(points), _affine(wrapped, width)):
        if found is not None:
            return found
    return _modular(points, width) or Relation(Kind.DEPENDS)


def findings(parameters: Sequence[Fraction], series: Sequence[Series]) -> list[Finding]:
    """Every series that changes, with its relation, in order."""
    found = ((one, relate(parameters, one.values, one.width)) for one in series)
    return [Finding(one, relation) for one, relation in found if relation is not None]


def guess(parameters: Sequence[Fraction], values: Sequence[int]) -> Relation | None:
    """Of two values of the parameter, the simplest relation that they allow: the parameter itself, a multiple of it, it
    and a constant. Nothing confirms it. None if nothing as simple fits."""
    points = sorted(set(zip(parameters, values, strict=True)))
    if len(points) != 2 or points[0][0] == points[1][0]:
        return None
    (p0, v0), (p1, v1) = points
    slope = Fraction(v1 - v0) / (p1 - p0)
    start = v0 - slope * p0
    simple = (start == 0 and slope.denominator == 1) or abs(slope) == 1
    return Relation(Kind.AFFINE, (slope, start), 0) if simple and slope else None


def bit_ranges(parameters: Sequence[Fraction], words: Sequence[int]) -> list[tuple[int, int, Relation]]:
    """Of one word at each value of the parameter: (msb, lsb, relation) of the bits that change, lowest first.

    Nothing is known of fields here. A range is the fewest bits from the lowest that changes on that follow the
    parameter; where none do, the run of bits that change.
    """
    changing = 0
    for word in words[1:]:
        changing |= word ^ words[0]
    found = []
    while changing:
        low = (changing & -changing).bit_length() - 1
        high, relation = _range(parameters, words, changing, low)
        found.append((high, low, relation))
        changing &= ~((2 << high) - 1)
    return found


def _range(parameters: Sequence[Fraction], words: Sequence[int], changing: int, low: int) -> tuple[int, Relation]:
    if len(set(parameters)) >= _LEAST_FOR_BITS:
        for high in range(low, WORD_BITS):
            if changing >> high & 1:
                part = [word >> low & (2 << (high - low)) - 1 for word in words]
                relation = relate(parameters, part, WORD_BITS)
                if relation is not None and relation.kind is not Kind.DEPENDS:
                    return high, relation
    high = low
    while changing >> (high + 1) & 1:
        high += 1
    return high, Relation(Kind.DEPENDS)


Points = Sequence[tuple[Fraction, int]]


def _affine(points: Points, width: int | None = None) -> Relation | None:
    if len(points) < 3:
        return None
    (p0, v0), (p1, v1) = points[:2]
    slope = Fraction(v1 - v0) / (p1 - p0)
    if slope == 0 or any(v0 + slope * (p - p0) != v for p, v in points):
        return None
    return Relation(Kind.AFFINE, (slope, v0 - slope * p0), len(points) - 2, width)


def _modular(points: Points, width: int) -> Relation | None:
    """Affine with a whole slope, cut to the field's width: only if it does wrap, and enough values say so."""
    whole = all(p.denominator == 1 for p, _ in points)
    neighbours = [(a, b) for a, b in zip(points, points[1:], strict=False) if b[0] - a[0] == 1]
    if not whole or not neighbours or len(points) < 5 or width >= WORD_BITS:
        return None
    (_, v0), (_, v1) = neighbours[0]
    size = 1 << width
    slope = (v1 - v0) % size
    slope -= size if slope > size // 2 else 0
    start = (points[0][1] - slope * points[0][0]) % size
    if slope in (0, size // 2) or any((slope * p + start) % size != v for p, v in points):
        return None
    return Relation(Kind.AFFINE, (Fraction(slope), Fraction(start)), len(points) - 3, width)


def _logarithm(points: Points) -> Relation | None:
    if len(points) < 3 or points[0][0] <= 0:
        return None
    logs = [_log2(p / points[0][0]) for p, _ in points]
    first = _log2(points[0][0])
    if None in logs:
        return None
    along = _affine([(Fraction(log), v) for log, (_, v) in zip(logs, points, strict=True) if log is not None])
    if along is None:
        return None
    slope, start = along.coefficients
    if first is None:
        return Relation(Kind.LOGARITHM, (slope, start, points[0][0]), along.confirmed)
    return Relation(Kind.LOGARITHM, (slope, start - slope * first, Fraction(1)), along.confirmed)


def _power(points: Points) -> Relation | None:
    if len(points) < 4 or any(v <= 0 for _, v in points):
        return None
    logs = [_log2(Fraction(v, points[0][1])) for _, v in points]
    if None in logs:
        return None
    p0 = points[0][0]
    along = _affine([(p - p0, log) for (p, _), log in zip(points, logs, strict=True) if log is not None])
    if along is None:
        return None
    rate = along.coefficients[0]
    exponent = rate * p0
    if exponent.denominator != 1:
        return None
    return Relation(Kind.POWER, (Fraction(points[0][1]) / Fraction(2) ** int(exponent), rate), along.confirmed)


def _square(points: Points) -> Relation | None:
    """Two values more than determine it: a parabola goes through many things."""
    if len(points) < 5:
        return None
    (p0, v0), (p1, v1), (p2, v2) = points[:3]
    first = Fraction(v1 - v0) / (p1 - p0)
    a = (Fraction(v2 - v1) / (p2 - p1) - first) / (p2 - p0)
    b = first - a * (p0 + p1)
    c = v0 - a * p0 * p0 - b * p0
    if a == 0 or any(a * p * p + b * p + c != v for p, v in points):
        return None
    return Relation(Kind.SQUARE, (a, b, c), len(points) - 3)


def _log2(value: Fraction) -> int | None:
    """The whole binary logarithm of a positive number, or None."""
    up, down = value.numerator, value.denominator
    if up <= 0 or up & (up - 1) or down & (down - 1):
        return None
    return up.bit_length() - down.bit_length()


def _sum(*terms: tuple[Fraction, str]) -> str:
    """Terms of a formula, those that are zero left out."""

    def term(factor: Fraction, what: str) -> str:
        if not what:
            return str(factor)
        return what if factor == 1 else f"{factor} * {what}"

    parts: Iterator[tuple[Fraction, str]] = ((factor, what) for factor, what in terms if factor)
    text = ""
    for factor, what in parts:
        if not text:
            text = f"-{term(-factor, what)}" if factor < 0 else term(factor, what)
        else:
            text += f" {'-' if factor < 0 else '+'} {term(abs(factor), what)}"
    return text or "0"
