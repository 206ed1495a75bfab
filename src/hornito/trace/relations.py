# SPDX-License-Identifier: MIT
"""In which ways can a value follow parameters, and how is that written as a formula?"""

import enum
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

WORD_BITS = 32

Points = Sequence[tuple[Fraction, int]]  # the parameter and a value, ascending


class Kind(enum.StrEnum):
    """How a value follows a parameter p."""

    AFFINE = "affine"  # a * p + b
    SQUARE = "square"  # a * p * p + b * p + c
    POWER = "power of two"  # a * 2 ** (b * p)
    LOGARITHM = "logarithm"  # a * log2(p / c) + b; of other values than powers of two its whole part
    POLYNOMIAL = "polynomial"  # of two parameters: a sum of products
    CEILING = "ceiling"  # a * ceil((p + b) / c) + d
    MINIMUM = "minimum"  # min(a * p + b, c)
    MAXIMUM = "maximum"  # max(a * p + b, c)
    MANTISSA = "mantissa"  # c bits behind the leading one of a * p ** b
    DEPENDS = "depends, no simple relation"


@dataclass(frozen=True)
class Fit:
    """What values that have no simple relation may be taken for: a relation that is made of pieces, or one that holds
    up to ``breaks`` alone, the first parameter at which it does not (one number for each parameter)."""

    relation: "Relation"
    breaks: tuple[Fraction, ...] | None = None


@dataclass(frozen=True)
class Relation:
    """How a value follows the parameter, with the relation's coefficients, highest first. ``confirmed``: values beyond
    those that determine it. ``width``: the relation holds modulo 2 ** width (a field that wraps), or None. ``rounding``
    of a logarithm that is not whole: "floor" or "ceil". ``terms`` of a polynomial: the powers of each parameter that a
    coefficient belongs to. ``fit``: of what merely depends. ``axis``: which of several parameters p is."""

    kind: Kind
    coefficients: tuple[Fraction, ...] = ()
    confirmed: int = 0
    width: int | None = None
    rounding: str = ""
    terms: tuple[tuple[int, ...], ...] = ()
    fit: Fit | None = None
    axis: int = 0

    @property
    def is_claimed(self) -> bool:
        """Is it more than that the value depends on the parameter?"""
        return self.kind is not Kind.DEPENDS

    @property
    def confidence(self) -> str:
        """In a word."""
        if self.kind is Kind.DEPENDS:
            return "seen"
        return ("a guess", "weak", "fair", "strong")[min(self.confirmed, 3)]

    def text(self, *names: str) -> str:
        """As a formula of the parameters' names."""
        of = names if self.kind is Kind.POLYNOMIAL else names[self.axis : self.axis + 1]
        found = _FORMULAS[self.kind](self, *of)
        return found if self.width is None else f"{found} modulo 2^{self.width}"

    def at(self, *parameters: Fraction) -> Fraction | None:
        """The value that it claims for the parameters; None where it claims none."""
        p, c = parameters[self.axis], self.coefficients
        found: Fraction | None = None
        match self.kind:
            case Kind.AFFINE:
                found = c[0] * p + c[1]
            case Kind.SQUARE:
                found = c[0] * p * p + c[1] * p + c[2]
            case Kind.POLYNOMIAL:
                found = sum((a * _product(parameters, term) for a, term in zip(c, self.terms, strict=True)), Fraction())
            case Kind.POWER if (c[1] * p).denominator == 1:
                found = c[0] * Fraction(2) ** int(c[1] * p)
            case Kind.LOGARITHM:
                found = c[0] * whole_log2(p / c[2], up=self.rounding == "ceil") + c[1]
            case Kind.CEILING:
                found = c[0] * -((-p - c[1]) // c[2]) + c[3]
            case Kind.MINIMUM:
                found = min(c[0] * p + c[1], c[2])
            case Kind.MAXIMUM:
                found = max(c[0] * p + c[1], c[2])
            case Kind.MANTISSA:
                number = c[0] * p ** int(c[1])
                found = Fraction((number / Fraction(2) ** whole_log2(number) - 1) * 2 ** int(c[2]) // 1)
        return found if found is None or self.width is None else found % (1 << self.width)


@dataclass(frozen=True)
class Series:
    """A value at each value of the parameter, None where there is none: where it lies, what it is called ("" for bits
    without a name). ``is_number``: it counts something, so that relations make sense."""

    job: int
    unit: str
    core: int | None
    place: str
    name: str
    values: tuple[int | None, ...]
    width: int = WORD_BITS
    is_number: bool = True


@dataclass(frozen=True)
class Finding:
    """A series that is not always the same, and how it follows the parameter."""

    series: Series
    relation: Relation


def whole_log2(value: Fraction, up: bool = False) -> int:
    """The binary logarithm of a positive number, rounded down, or ``up``."""
    found = value.numerator.bit_length() - value.denominator.bit_length()
    found -= value < Fraction(2) ** found
    return found + (up and value != Fraction(2) ** found)


def is_whole(points: Points) -> bool:
    """Are all parameters whole numbers?"""
    return all(p.denominator == 1 for p, _ in points)


def plainest(low: Fraction, high: Fraction) -> Fraction:
    """The number of fewest digits between two."""
    for digits in range(1, 16):
        for start in (high, low, (low + high) / 2):
            found = Fraction(f"{float(start):.{digits}g}")
            if low < found < high:
                return found
    return (low + high) / 2


def _product(parameters: Sequence[Fraction], powers: Sequence[int]) -> Fraction:
    found = Fraction(1)
    for parameter, power in zip(parameters, powers, strict=True):
        found *= parameter**power
    return found


def _affine_text(relation: Relation, name: str) -> str:
    return _sum((relation.coefficients[0], name), (relation.coefficients[1], ""))


def _square_text(relation: Relation, name: str) -> str:
    a, b, c = relation.coefficients
    return _sum((a, f"{name}^2"), (b, name), (c, ""))


def _power_text(relation: Relation, name: str) -> str:
    exponent = _sum((relation.coefficients[1], name))
    return _sum((relation.coefficients[0], f"2^({exponent})" if exponent != name else f"2^{name}"))


def _logarithm_text(relation: Relation, name: str) -> str:
    unit = relation.coefficients[2]
    logarithm = f"log2({name if unit == 1 else f'{name} / {float(unit):g}'})"
    if relation.rounding:
        logarithm = f"{relation.rounding}({logarithm})"
    return _sum((relation.coefficients[0], logarithm), (relation.coefficients[1], ""))


def _polynomial_text(relation: Relation, *names: str) -> str:
    return _sum(*((a, _monomial(names, term)) for a, term in zip(relation.coefficients, relation.terms, strict=True)))


def _monomial(names: Sequence[str], powers: Sequence[int]) -> str:
    parts = (name if power == 1 else f"{name}^{power}" for name, power in zip(names, powers, strict=True) if power)
    return " * ".join(parts)


def _ceiling_text(relation: Relation, name: str) -> str:
    a, b, c, d = relation.coefficients
    if b == 1 - c:
        step = f"floor({name} / {c})"
    else:
        step = f"ceil({name} / {c})" if b == 0 else f"ceil(({_sum((Fraction(1), name), (b, ''))}) / {c})"
    return _sum((a, step), (d, ""))


def _extreme_text(relation: Relation, name: str) -> str:
    word = "min" if relation.kind is Kind.MINIMUM else "max"
    a, b, c = relation.coefficients
    return f"{word}({_sum((a, name), (b, ''))}, {c})"


def _mantissa_text(relation: Relation, name: str) -> str:
    factor, power, bits = relation.coefficients
    number = f"{float(factor):g} {'*' if power == 1 else '/'} {name}"
    return f"the mantissa of {number} ({bits} bits)"


def _depends_text(relation: Relation, *names: str) -> str:
    return relation.kind.value


_FORMULAS: dict[Kind, Callable[..., str]] = {
    Kind.AFFINE: _affine_text,
    Kind.SQUARE: _square_text,
    Kind.POWER: _power_text,
    Kind.LOGARITHM: _logarithm_text,
    Kind.POLYNOMIAL: _polynomial_text,
    Kind.CEILING: _ceiling_text,
    Kind.MINIMUM: _extreme_text,
    Kind.MAXIMUM: _extreme_text,
    Kind.MANTISSA: _mantissa_text,
    Kind.DEPENDS: _depends_text,
}


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
