# SPDX-License-Identifier: MIT
"""How do values follow two parameters together? Sums of products of them, claimed as ``infer`` claims those of one."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations

from hornito.trace.infer import distinct, relate_checked
from hornito.trace.relations import Fit, Kind, Relation

Pair = tuple[Fraction, ...]
_LEAST_CONFIRMED = 2  # values, of each parameter too: a sum of products goes through many things
# Powers of the two parameters, in the order in which a formula has them.
_TERMS = ((2, 1), (1, 2), (2, 0), (0, 2), (1, 1), (1, 0), (0, 1), (0, 0))
_MOST_TERMS = 3


def relate_joint(parameters: Sequence[Pair], values: Sequence[int | None], width: int, asked: int) -> Relation | None:
    """As ``infer.relate_checked``, of pairs of parameters: what follows one of them alone has a relation with that."""
    ours = [(p, v) for p, v in zip(parameters[:asked], values[:asked], strict=True) if v is not None]
    everything = [(p, v) for p, v in zip(parameters, values, strict=True) if v is not None]
    if len({v for _, v in ours}) < 2:
        return None
    for axis in (0, 1):
        numbers = [p[axis] for p in parameters]
        if distinct(numbers, values) is not None:
            alone = relate_checked(numbers, values, width, asked)
            return None if alone is None else _along(alone, axis)
    found = _joint(everything)
    if found is not None:
        return found
    suggested = _joint(ours)
    if suggested is None:
        return Relation(Kind.DEPENDS)
    breaks = next((p for p, v in everything if suggested.at(*p) != v), None)
    return suggested if breaks is None else Relation(Kind.DEPENDS, fit=Fit(suggested, breaks))


def _along(relation: Relation, axis: int) -> Relation:
    """A relation with one of the parameters."""
    fit = relation.fit
    return replace(relation, axis=axis, fit=None if fit is None else Fit(replace(fit.relation, axis=axis), fit.breaks))


def _joint(points: Sequence[tuple[Pair, int]]) -> Relation | None:
    """The sum of fewest products that says every value, and more values than it takes, of each parameter too."""
    distinct_values = [len({p[axis] for p, _ in points}) for axis in (0, 1)]
    for count in range(1, _MOST_TERMS + 1):
        if len(points) < count + _LEAST_CONFIRMED:
            return None
        for terms in _bases(count):
            highest = [max(term[axis] for term in terms) for axis in (0, 1)]
            if any(
                power and have < power + _LEAST_CONFIRMED for power, have in zip(highest, distinct_values, strict=True)
            ):
                continue
            coefficients = _solve(points, terms)
            if coefficients is None or not all(coefficients) or not any(highest):
                continue
            if not _is_whole(points) or all(part.denominator == 1 for part in coefficients):
                return Relation(Kind.POLYNOMIAL, coefficients, len(points) - count, terms=terms)
    return None


def _bases(count: int) -> Iterator[tuple[tuple[int, int], ...]]:
    """Products of low powers first."""
    return iter(sorted(combinations(_TERMS, count), key=lambda terms: sum(map(sum, terms))))


def _is_whole(points: Sequence[tuple[Pair, int]]) -> bool:
    return all(part.denominator == 1 for p, _ in points for part in p)


def _solve(points: Sequence[tuple[Pair, int]], terms: Sequence[tuple[int, int]]) -> tuple[Fraction, ...] | None:
    """The one set of coefficients that says every value; None where there is none, or more than one."""
    rows: list[list[Fraction]] = []  # reduced, each with its pivot
    pivots: list[int] = []
    for p, value in points:
        row = [p[0] ** x * p[1] ** y for x, y in terms] + [Fraction(value)]
        for other, at in zip(rows, pivots, strict=True):
            if row[at]:
                row = [a - row[at] * b for a, b in zip(row, other, strict=True)]
        pivot = next((at for at, part in enumerate(row) if part), None)
        if pivot == len(terms):
            return None  # contradicts those before
        if pivot is not None:
            row = [part / row[pivot] for part in row]
            rows = [[a - other[pivot] * b for a, b in zip(other, row, strict=True)] for other in rows]
            rows.append(row)
            pivots.append(pivot)
    if len(rows) < len(terms):
        return None
    return tuple(rows[pivots.index(at)][-1] for at in range(len(terms)))
