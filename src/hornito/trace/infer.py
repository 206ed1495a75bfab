# SPDX-License-Identifier: MIT
"""Which values follow a parameter, and how? From what was seen at several values of it, and nothing else.

A relation is claimed only if it holds exactly for every value, and for at least one more than determine it. What holds
for a part of the values, or in pieces alone (``ceil``, ``min``), is no claim: it is told as what fits.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

from hornito.trace.infer_pieces import pieces
from hornito.trace.relations import WORD_BITS, Fit, Kind, Points, Relation, is_whole, plainest, whole_log2

_LEAST_FOR_BITS = 4  # values of the parameter before bits are taken for a field of their own
_LEAST_STEPS = 4  # values of a field before its steps are taken for those of a logarithm


def relate(parameters: Sequence[Fraction], values: Sequence[int | None], width: int = WORD_BITS) -> Relation | None:
    """How the values follow the parameter; None if they don't change. Equal parameters must have equal values, else
    the values depend on more than it: DEPENDS."""
    points = distinct(parameters, values)
    if points is None:
        return Relation(Kind.DEPENDS)
    if len({value for _, value in points}) < 2:
        return None
    found = _simple(points, width)
    if found is not None:
        return found
    fit = pieces(points)
    return Relation(Kind.DEPENDS, fit=None if fit is None else Fit(fit))


def distinct(parameters: Sequence[Fraction], values: Sequence[int | None]) -> list[tuple[Fraction, int]] | None:
    """The points, ascending, those without a value left out; None if a parameter has two values."""
    seen: dict[Fraction, int] = {}
    for parameter, value in zip(parameters, values, strict=True):
        if value is not None and seen.setdefault(parameter, value) != value:
            return None
    return sorted(seen.items())


def relate_checked(
    parameters: Sequence[Fraction], values: Sequence[int | None], width: int, asked: int
) -> Relation | None:
    """As ``relate``; the first ``asked`` of the parameters were asked for, the others shall try what these suggest.
    None if the values don't change among those asked for."""
    ours = relate(parameters[:asked], values[:asked], width)
    if ours is None:
        return None
    whole = relate(parameters, values, width)
    assert whole is not None
    if whole.is_claimed or whole.fit is not None:
        return whole
    suggested = ours if ours.is_claimed else ours.fit.relation if ours.fit is not None else None
    if suggested is None:
        return whole
    seen = ((p, v) for p, v in zip(parameters, values, strict=True) if v is not None)
    breaks = next((p for p, v in seen if suggested.at(p) != v), None)
    return ours if breaks is None else replace(whole, fit=Fit(suggested, (breaks,)))


def guess(parameters: Sequence[Fraction], values: Sequence[int | None]) -> Relation | None:
    """Of two values of the parameter, the simplest relation that they allow: the parameter itself, a multiple of it, it
    and a constant. Nothing confirms it. None if nothing as simple fits."""
    points = distinct(parameters, values)
    if points is None or len(points) != 2:
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
                points = distinct(parameters, [word >> low & (2 << (high - low)) - 1 for word in words])
                relation = None if points is None else _simple(points, WORD_BITS)
                if relation is not None:
                    return high, relation
    high = low
    while changing >> (high + 1) & 1:
        high += 1
    return high, Relation(Kind.DEPENDS)


def _simple(points: Points, width: int) -> Relation | None:
    if len({value for _, value in points}) < 2:
        return None
    wrapped = [(p, v - (1 << width) if v >> (width - 1) & 1 else v) for p, v in points] if width > 1 else points
    candidates: tuple[Callable[[], Relation | None], ...] = (
        lambda: affine(points),
        lambda: _logarithm(points),
        lambda: _power(points),
        lambda: _square(points),
        lambda: affine(wrapped, width),
        lambda: _rounded_logarithm(points, width),
        lambda: _modular(points, width),
    )
    return next((found for find in candidates if (found := find()) is not None), None)


def affine(points: Points, width: int | None = None) -> Relation | None:
    """a * p + b. Of whole parameters both are whole: there is no half a field. That three points lie on a line is an
    accident easily; then the line must be as simple as fields have it."""
    if len(points) < 3:
        return None
    (p0, v0), (p1, v1) = points[:2]
    slope = Fraction(v1 - v0) / (p1 - p0)
    start = v0 - slope * p0
    if slope == 0 or any(slope * p + start != v for p, v in points):
        return None
    if is_whole(points) and slope.denominator != 1:
        return None
    if len(points) == 3 and start and abs(slope) != 1:
        return None
    return Relation(Kind.AFFINE, (slope, start), len(points) - 2, width)


def _modular(points: Points, width: int) -> Relation | None:
    """Affine with a whole slope, cut to the field's width: only if it does wrap, and enough values say so."""
    neighbours = [(a, b) for a, b in zip(points, points[1:], strict=False) if b[0] - a[0] == 1]
    if not is_whole(points) or not neighbours or len(points) < 5 or width >= WORD_BITS:
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
    """Of parameters that are each other's powers of two."""
    if len(points) < 3 or points[0][0] <= 0:
        return None
    logs = [_log2(p / points[0][0]) for p, _ in points]
    first = _log2(points[0][0])
    if None in logs:
        return None
    along = affine([(Fraction(log), v) for log, (_, v) in zip(logs, points, strict=True) if log is not None])
    if along is None or (along.confirmed < 2 and abs(along.coefficients[0]) != 1):
        return None
    slope, start = along.coefficients
    if first is None:
        return Relation(Kind.LOGARITHM, (slope, start, points[0][0]), along.confirmed)
    return Relation(Kind.LOGARITHM, (slope, start - slope * first, Fraction(1)), along.confirmed)


def _rounded_logarithm(points: Points, width: int) -> Relation | None:
    """+-floor(log2(p / c)) + b or +-ceil(...), modulo the field's width: steps where the parameter has doubled."""
    if points[0][0] <= 0 or len({value for _, value in points}) < _LEAST_STEPS:
        return None
    (p0, v0), size = points[len(points) // 2], 1 << width
    for slope, rounding in ((1, "floor"), (-1, "floor"), (1, "ceil"), (-1, "ceil")):
        low, high = Fraction(0), None  # c lies between
        steps = []
        for p, v in points:
            least = whole_log2(p / p0)  # or one more
            step = next((n for n in (least, least + 1) if (slope * n - (v - v0)) % size == 0), None)
            if step is None:
                break
            # floor: 2**n <= p / c < 2**(n + 1); ceil: 2**(n - 1) < p / c <= 2**n
            above = p / Fraction(2) ** (step if rounding == "floor" else step - 1)
            low, high = max(low, above / 2), above if high is None else min(high, above)
            steps.append(v0 + slope * step)
        unit = None if len(steps) < len(points) or high is None or low >= high else plainest(low, high)
        if unit is None:
            continue
        wraps = any(step != v for step, (_, v) in zip(steps, points, strict=True))
        found = (Fraction(slope), Fraction(v0), unit)
        return Relation(Kind.LOGARITHM, found, len(points) - 3, width if wraps else None, rounding)
    return None


def _power(points: Points) -> Relation | None:
    if len(points) < 4 or any(v <= 0 for _, v in points):
        return None
    logs = [_log2(Fraction(v, points[0][1])) for _, v in points]
    if None in logs:
        return None
    p0 = points[0][0]
    along = affine([(p - p0, log) for (p, _), log in zip(points, logs, strict=True) if log is not None])
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
    if is_whole(points) and any(part.denominator != 1 for part in (a, b, c)):
        return None
    return Relation(Kind.SQUARE, (a, b, c), len(points) - 3)


def _log2(value: Fraction) -> int | None:
    """The whole binary logarithm of a positive number, or None."""
    up, down = value.numerator, value.denominator
    if up <= 0 or up & (up - 1) or down & (down - 1):
        return None
    return up.bit_length() - down.bit_length()
