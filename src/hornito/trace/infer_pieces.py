# SPDX-License-Identifier: MIT
"""Which relation made of pieces fits: steps (``ceil``), a line that ends at a limit (``min``, ``max``), or the mantissa
of a floating-point number?"""

from fractions import Fraction
from itertools import pairwise

from hornito.trace.relations import Kind, Points, Relation, is_whole, plainest, whole_log2

_LEAST_STEPS, _LEAST_WITH_STEPS = 4, 8
_LARGEST_STEP = 64
_LEAST_ON_LINE, _LEAST_AT_LIMIT = 4, 2
_LEAST_MANTISSAS, _LEAST_BITS, _FLOAT_BITS = 5, 8, 23
_ROUNDING = Fraction(4, 1 << _FLOAT_BITS)  # of what clients compute in single precision


def pieces(points: Points) -> Relation | None:
    """The first that says every value, of those that enough values speak for; None where there is none."""
    return _limited(points) or _steps(points) if is_whole(points) else _mantissa(points)


def _limited(points: Points) -> Relation | None:
    if len(points) < _LEAST_ON_LINE + _LEAST_AT_LIMIT:
        return None
    for line, limit in ((points[:2], points[-1][1]), (points[-2:], points[0][1])):
        (p0, v0), (p1, v1) = line
        slope = Fraction(v1 - v0) / (p1 - p0)
        start = v0 - slope * p0
        on_line = sum(slope * p + start == v for p, v in points)
        at_limit = sum(v == limit for _, v in points)
        if not slope or slope.denominator != 1 or on_line < _LEAST_ON_LINE or at_limit < _LEAST_AT_LIMIT:
            continue
        for kind, choose in ((Kind.MINIMUM, min), (Kind.MAXIMUM, max)):
            if all(choose(slope * p + start, Fraction(limit)) == v for p, v in points):
                return Relation(kind, (slope, start, Fraction(limit)), len(points) - 3)
    return None


def _steps(points: Points) -> Relation | None:
    """a * ceil((p + b) / c) + d, with the smallest c."""
    values = [value for _, value in points]
    rising = [b - a for a, b in pairwise(values)]
    if len(points) < _LEAST_WITH_STEPS or len(set(values)) < _LEAST_STEPS or not (min(rising) >= 0 or max(rising) <= 0):
        return None
    for size in range(2, _LARGEST_STEP + 1):
        for shift in (0, 1 - size):  # ceil(p / c) and floor(p / c): others fit too much
            steps = [-((-int(p) - shift) // size) for p, _ in points]
            height, rest = divmod(values[-1] - values[0], steps[-1] - steps[0]) if steps[-1] != steps[0] else (0, 1)
            if rest or not height:
                continue
            start = values[0] - height * steps[0]
            if all(height * step + start == value for step, value in zip(steps, values, strict=True)):
                numbers = (Fraction(height), Fraction(shift), Fraction(size), Fraction(start))
                return Relation(Kind.CEILING, numbers, len(points) - 4)
    return None


def _mantissa(points: Points) -> Relation | None:
    """The bits behind the leading one of a * p, or of a / p: as many as the largest value has, or one more."""
    most = max(value for _, value in points).bit_length()
    if len(points) < _LEAST_MANTISSAS or min(points)[0] <= 0 or min(value for _, value in points) < 0:
        return None
    for bits in range(max(most, _LEAST_BITS), min(most + 1, _FLOAT_BITS) + 1):
        for power in (1, -1):
            factor = _factor([(p**power, value) for p, value in points], bits)
            if factor is not None:
                return Relation(Kind.MANTISSA, (factor, Fraction(power), Fraction(bits)), len(points) - 1)
    return None


def _factor(points: Points, bits: int) -> Fraction | None:
    """What all parameters may be multiplied with, so that their mantissas of so many bits are the values; from 1 on."""
    low = high = Fraction(0)
    for p, value in points:
        begin = (1 + Fraction(value, 1 << bits) - _ROUNDING) / p
        end = (1 + Fraction(value + 1, 1 << bits) + _ROUNDING) / p
        if not high:
            low, high = begin, end
            continue
        # Exponents are not told: of all of them the one that comes closest.
        near = [Fraction(2) ** (whole_log2(high / begin) + by) for by in (0, 1)]
        distances = [abs(begin * scale - low) for scale in near]
        scale = near[distances.index(min(distances))]
        low, high = max(low, begin * scale), min(high, end * scale)
        if low >= high:
            return None
    unit = Fraction(2) ** whole_log2(low)
    return plainest(low / unit, high / unit)
