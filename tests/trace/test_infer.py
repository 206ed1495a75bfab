# SPDX-License-Identifier: MIT
"""Are relations found where they are, and none where there are none?"""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.trace.infer import bit_ranges, guess, relate, relate_checked
from hornito.trace.infer_joint import relate_joint
from hornito.trace.relations import Kind, Relation, whole_log2

ONE_TO_NINE = [Fraction(number) for number in range(1, 10)]


def of(function: Callable[[int], int], parameters: list[Fraction] = ONE_TO_NINE, width: int = 32) -> Relation | None:
    return relate(parameters, [function(int(parameter)) for parameter in parameters], width)


@settings(deadline=None)
@given(
    st.integers(-1000, 1000).filter(bool),
    st.integers(-1000, 1000),
    st.lists(st.integers(0, 300), min_size=4, max_size=12, unique=True),
)
def test_every_affine_relation_is_found(slope: int, start: int, values: list[int]) -> None:
    parameters = [Fraction(value) for value in values]
    found = relate(parameters, [slope * value + start for value in values])
    assert found == Relation(Kind.AFFINE, (Fraction(slope), Fraction(start)), len(values) - 2)


@pytest.mark.parametrize(
    "function,kind,text",
    [
        (lambda p: p, Kind.AFFINE, "p"),
        (lambda p: 3 * p - 1, Kind.AFFINE, "3 * p - 1"),
        (lambda p: 20 - p, Kind.AFFINE, "-p + 20"),
        (lambda p: p * p, Kind.SQUARE, "p^2"),
        (lambda p: 2 * p * p - p + 7, Kind.SQUARE, "2 * p^2 - p + 7"),
        (lambda p: 1 << p, Kind.POWER, "2^p"),
        (lambda p: 3 << (2 * p), Kind.POWER, "3 * 2^(2 * p)"),
    ],
)
def test_simple_relations_are_told_as_formulas(function: Callable[[int], int], kind: Kind, text: str) -> None:
    found = of(function)
    assert found is not None
    assert (found.kind, found.text("p"), found.confidence) == (kind, text, "strong")


def test_logarithms_are_found_of_any_unit() -> None:
    scales = [Fraction("0.05") * 2**number for number in range(4)]
    found = relate(scales, [24, 25, 26, 27])
    assert found is not None
    assert (found.kind, found.text("s"), found.confidence) == (Kind.LOGARITHM, "log2(s / 0.05) + 24", "fair")
    found = relate([Fraction(1, 4), Fraction(1, 2), Fraction(1), Fraction(4)], [9, 8, 7, 5])
    assert found is not None
    assert found.text("s") == "-log2(s) + 7"


def test_fields_that_wrap_or_have_a_sign_are_affine() -> None:
    signed = of(lambda p: -p % 8, ONE_TO_NINE[:4], 3)
    assert signed is not None and signed.text("p") == "-p modulo 2^3" or signed == of(lambda p: 8 - p, ONE_TO_NINE[:4])
    wraps = of(lambda p: (5 * p + 3) % 16, width=4)
    assert wraps is not None
    assert wraps.text("p") == "5 * p + 3 modulo 2^4"


@pytest.mark.parametrize(
    "function,text",
    [
        (lambda p: min(p, 5), "min(p, 5)"),
        (lambda p: max(20 - 3 * p, 8), "max(-3 * p + 20, 8)"),
        (lambda p: max(p, 4) + 1, "max(p + 1, 5)"),
        (lambda p: -(-p // 2), "ceil(p / 2)"),
        (lambda p: 6 * (p // 2) + 1, "6 * floor(p / 2) + 1"),
        (lambda p: 9 - -(-p // 2), "-ceil(p / 2) + 9"),
    ],
)
def test_pieces_fit_but_are_no_relation(function: Callable[[int], int], text: str) -> None:
    found = of(function)
    assert found is not None and found.fit is not None
    assert (found.kind, found.coefficients, found.fit.breaks) == (Kind.DEPENDS, (), None)
    assert found.fit.relation.text("p") == text
    assert [found.fit.relation.at(p) for p in ONE_TO_NINE] == [function(int(p)) for p in ONE_TO_NINE]


@pytest.mark.parametrize(
    "function",
    [
        lambda p: p & 1,
        lambda p: p ^ 3,
        lambda p: p if p < 8 else 0,
        lambda p: (p * 37) % 11,
        lambda p: p * p * p,
        lambda p: -(-p // 3),  # three steps only
    ],
)
def test_what_is_not_simple_is_not_made_so(function: Callable[[int], int]) -> None:
    assert of(function) == Relation(Kind.DEPENDS)


def test_three_values_on_a_line_are_an_accident_unless_it_is_plain() -> None:
    three = ONE_TO_NINE[:3]
    for values, text in (([1, 2, 3], "p"), ([8, 16, 24], "8 * p"), ([7, 6, 5], "-p + 8")):
        found = relate(three, values)
        assert found is not None
        assert (found.text("p"), found.confidence) == (text, "weak")
    assert relate(three, [2560, 3072, 3584]) == Relation(Kind.DEPENDS)


def test_half_a_field_is_no_relation() -> None:
    """Of even numbers alone: nobody knows what the odd ones do."""
    found = of(lambda p: p // 2, [Fraction(p) for p in range(2, 12, 2)])
    assert found is not None
    assert found.kind is Kind.DEPENDS


@settings(deadline=None)
@given(
    st.lists(st.integers(1, 4000), min_size=8, max_size=30, unique=True),
    st.integers(1, 999),
    st.sampled_from([1, -1]),
    st.integers(0, 40),
)
def test_the_exponent_of_any_scale_is_found(values: list[int], unit: int, slope: int, start: int) -> None:
    scales = [Fraction(value, 1000) for value in values]
    exponents = [slope * whole_log2(scale * unit / 100) + start for scale in scales]
    found = relate(scales, exponents, 7)
    if found is None or len(set(exponents)) < 4:
        return
    assert found.kind is Kind.LOGARITHM or found.kind is Kind.AFFINE
    expected = exponents if found.width is None else [value % 128 for value in exponents]
    assert [found.at(scale) for scale in scales] == expected


@settings(deadline=None)
@given(
    st.lists(st.integers(10, 4000), min_size=5, max_size=20, unique=True),
    st.floats(0.125, 100, width=32),
    st.sampled_from([1, -1]),
    st.sampled_from([15, 23]),
)
def test_the_mantissa_of_any_scale_fits(values: list[int], factor: float, power: int, bits: int) -> None:
    scales = [Fraction(value, 997) for value in values]
    single = [np.float32(factor) * np.float32(float(scale)) ** np.float32(power) for scale in scales]
    mantissas = [int(np.asarray(one, np.float32).view(np.uint32)) % (1 << 23) >> (23 - bits) for one in single]
    found = relate(scales, mantissas)
    if found is None or found.is_claimed or max(mantissas).bit_length() < bits - 1:
        return
    assert found.fit is not None
    relation = found.fit.relation
    assert relation.kind is Kind.MANTISSA
    assert int(relation.coefficients[2]) == bits
    told = [relation.at(scale) for scale in scales]
    assert all(
        one is not None and min(abs(one - value), (1 << bits) - abs(one - value)) <= (1 << bits >> 20) + 1
        for one, value in zip(told, mantissas, strict=True)
    )


def test_numbers_at_random_are_no_mantissas() -> None:
    random = np.random.default_rng(1)
    scales = [Fraction(int(value), 997) for value in random.integers(10, 4000, 9)]
    for _ in range(50):
        found = relate(scales, random.integers(0, 1 << 15, 9).tolist())
        assert found is not None
        assert found.fit is None


def test_a_field_of_a_few_bits_of_an_exponent_wraps() -> None:
    scales = [Fraction(number * number, 700) for number in range(1, 400, 7)]
    found = relate(scales, [(20 - whole_log2(scale)) % 32 for scale in scales], 5)
    assert found is not None
    assert (found.kind, found.width, found.rounding) == (Kind.LOGARITHM, None, "floor")
    found = relate(scales, [(8 - whole_log2(scale)) % 8 for scale in scales], 3)
    assert found is not None
    assert (found.kind, found.width) == (Kind.LOGARITHM, 3)


def test_what_breaks_beyond_the_values_asked_for_is_no_relation() -> None:
    """A size that is cut at 64 is the size, as far as anybody asked."""
    parameters = [*ONE_TO_NINE, Fraction(100)]
    found = relate_checked(parameters, [min(int(p), 64) for p in parameters], 32, len(ONE_TO_NINE))
    assert found is not None and found.fit is not None
    assert (found.kind, found.fit.relation.text("p"), found.fit.breaks) == (Kind.DEPENDS, "p", (Fraction(100),))
    found = relate_checked(parameters, [3 * int(p) for p in parameters], 32, len(ONE_TO_NINE))
    assert found is not None
    assert (found.text("p"), found.confirmed) == ("3 * p", 8)
    assert relate_checked(parameters, [int(p > 9) for p in parameters], 32, len(ONE_TO_NINE)) is None


def test_a_suggestion_that_holds_everywhere_is_what_fits_though_no_claim_is_made_of_it() -> None:
    """Pieces are looked for among whole parameters alone, and those tried beyond them are not."""
    parameters = [*map(Fraction, range(1, 11)), Fraction(21, 2), Fraction(7, 2), Fraction(45, 4)]
    found = relate_checked(parameters, [math.ceil(p / 2) for p in parameters], 32, 10)
    assert found is not None and found.fit is not None
    assert (found.kind, found.fit.relation.text("p"), found.fit.breaks) == (Kind.DEPENDS, "ceil(p / 2)", None)


GRID = [(Fraction(p), Fraction(q)) for p in range(2, 7) for q in (3, 5, 8)]


@pytest.mark.parametrize(
    "function,kind,text",
    [
        (lambda p, q: p * q, Kind.POLYNOMIAL, "p * q"),
        (lambda p, q: 8 * p * p * q, Kind.POLYNOMIAL, "8 * p^2 * q"),
        (lambda p, q: p * q - 1, Kind.POLYNOMIAL, "p * q - 1"),
        (lambda p, q: 2 * p + q, Kind.POLYNOMIAL, "2 * p + q"),
        (lambda p, q: 3 * q, Kind.AFFINE, "3 * q"),
        (lambda p, q: p * p, Kind.SQUARE, "p^2"),
        (lambda p, q: min(p, q), Kind.DEPENDS, "depends, no simple relation"),
        (lambda p, q: p**3 * q, Kind.DEPENDS, "depends, no simple relation"),
        (lambda p, q: (p * 37 + q * 11) % 23, Kind.DEPENDS, "depends, no simple relation"),
    ],
)
def test_two_parameters_have_products(function: Callable[[int, int], int], kind: Kind, text: str) -> None:
    values = [function(int(p), int(q)) for p, q in GRID]
    found = relate_joint(GRID, values, 32, len(GRID))
    assert found is not None
    assert (found.kind, found.text("p", "q")) == (kind, text)
    if found.is_claimed:
        assert [found.at(p, q) for p, q in GRID] == values


def test_two_parameters_are_checked_too() -> None:
    pairs = [*GRID, (Fraction(100), Fraction(3))]
    found = relate_joint(pairs, [min(int(p), 64) * int(q) for p, q in pairs], 32, len(GRID))
    assert found is not None and found.fit is not None
    assert (found.fit.relation.text("p", "q"), found.fit.breaks) == ("p * q", pairs[-1])


def test_two_values_prove_nothing() -> None:
    two = [Fraction(4), Fraction(8)]
    assert relate(two, [4, 8]) == Relation(Kind.DEPENDS)
    for values, text in (([4, 8], "p"), ([12, 24], "3 * p"), ([3, 7], "p - 1"), ([6, 2], "-p + 10")):
        found = guess(two, values)
        assert found is not None
        assert (found.text("p"), found.confidence) == (text, "a guess")
    assert guess(two, [5, 17]) is None
    assert guess(two, [5, 5]) is None


def test_constants_and_contradictions() -> None:
    assert of(lambda p: 7) is None
    assert relate([Fraction(1), Fraction(1), Fraction(2)], [3, 4, 5]) == Relation(Kind.DEPENDS)


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 2**32 - 1), min_size=4, max_size=9, unique=True))
def test_what_is_claimed_holds(values: list[int]) -> None:
    """Of any values at all: a claim says all of them again."""
    parameters = ONE_TO_NINE[: len(values)]
    found = relate(parameters, values)
    if found is not None and found.kind is Kind.AFFINE and found.width is None:
        slope, start = found.coefficients
        assert [slope * parameter + start for parameter in parameters] == values


def test_fields_are_found_among_bits() -> None:
    """Two that follow the parameter, one that does not, bits that stay."""
    words = [int(p) << 6 | (4 * int(p) + 1) << 19 | min(int(p), 3) << 28 | 0x21 for p in ONE_TO_NINE]
    found = bit_ranges(ONE_TO_NINE, words)
    assert [(high, low, relation.kind) for high, low, relation in found] == [
        (9, 6, Kind.AFFINE),
        (24, 21, Kind.AFFINE),
        (29, 28, Kind.DEPENDS),
    ]


def test_bits_of_few_values_are_no_fields() -> None:
    assert bit_ranges(ONE_TO_NINE[:3], [1, 2, 3]) == [(1, 0, Relation(Kind.DEPENDS))]
