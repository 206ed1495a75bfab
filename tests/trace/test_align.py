# SPDX-License-Identifier: MIT
"""Do sequences align in order, completely, equal elements with equal ones?"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.trace import align as module
from hornito.trace.align import Pair, align

words = st.text("abcAB", max_size=12)


def same_letter(a: str, b: str) -> float:
    """Letters are alike whatever their case; others are no partners."""
    return 1.0 if a.lower() == b.lower() else 0.0


def aligned(a: str, b: str) -> list[Pair]:
    return align(a, b, lambda x, y: same_letter(a[x], b[y]))


@settings(deadline=None)
@given(words, words)
def test_every_element_stands_once_and_in_order(a: str, b: str) -> None:
    pairs = aligned(a, b)
    assert [x for x, _ in pairs if x is not None] == list(range(len(a)))
    assert [y for _, y in pairs if y is not None] == list(range(len(b)))
    assert (None, None) not in pairs
    assert all(same_letter(a[x], b[y]) for x, y in pairs if x is not None and y is not None)


@given(words)
def test_equal_sequences_align_one_to_one(a: str) -> None:
    assert aligned(a, a) == [(at, at) for at in range(len(a))]


@pytest.mark.parametrize(
    "a,b,expected",
    [
        ("abc", "ac", [(0, 0), (1, None), (2, 1)]),
        ("ac", "abc", [(0, 0), (None, 1), (1, 2)]),
        ("aBc", "abc", [(0, 0), (1, 1), (2, 2)]),
        ("ab", "ca", [(None, 0), (0, 1), (1, None)]),
        ("", "a", [(None, 0)]),
    ],
)
def test_insertions_and_changes_are_told_apart(a: str, b: str, expected: list[Pair]) -> None:
    assert aligned(a, b) == expected


def test_large_gaps_are_filled_by_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_CELLS", 3)
    assert aligned("ABx", "abc") == [(0, 0), (1, 1), (2, None), (None, 2)]
