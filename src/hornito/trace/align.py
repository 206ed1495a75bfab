# SPDX-License-Identifier: MIT
"""Which element of one sequence corresponds to which of another? Equal ones first, similar ones between them."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from difflib import SequenceMatcher

Pair = tuple[int | None, int | None]
MOST_CELLS = 250_000  # of a table of similarities; larger gaps are filled by order alone


def align(a: Sequence[Hashable], b: Sequence[Hashable], similarity: Callable[[int, int], float]) -> list[Pair]:
    """Pairs of indices in order; None where an element of the other sequence has no partner.

    ``a`` and ``b`` are keys: elements with equal keys are equal. ``similarity`` of two elements, by their indices, is
    above 0 if they may be partners at all, and larger the better they fit.
    """
    return list(_pairs(a, b, similarity))


def _pairs(a: Sequence[Hashable], b: Sequence[Hashable], similarity: Callable[[int, int], float]) -> Iterator[Pair]:
    begin = 0
    while begin < min(len(a), len(b)) and a[begin] == b[begin]:
        yield begin, begin
        begin += 1
    tail = 0
    while tail < min(len(a), len(b)) - begin and a[-1 - tail] == b[-1 - tail]:
        tail += 1
    rest_a, rest_b = a[begin : len(a) - tail], b[begin : len(b) - tail]
    for tag, a0, a1, b0, b1 in SequenceMatcher(None, rest_a, rest_b).get_opcodes():
        if tag == "equal":
            yield from ((begin + a0 + at, begin + b0 + at) for at in range(a1 - a0))
        else:
            yield from _fill(range(begin + a0, begin + a1), range(begin + b0, begin + b1), similarity)
    yield from ((len(a) - at, len(b) - at) for at in range(tail, 0, -1))


def _fill(a: range, b: range, similarity: Callable[[int, int], float]) -> Iterator[Pair]:
    """Partners within a gap: those of the largest sum of similarities that keep the order."""
    if len(a) * len(b) > MOST_CELLS:
        yield from _by_order(a, b, similarity)
        return
    width = len(b) + 1
    best = [0.0] * ((len(a) + 1) * width)
    fit = {(x, y): similarity(x, y) for x in a for y in b}
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            here = i * width + j
            best[here] = max(best[here + width], best[here + 1])
            if fit[a[i], b[j]] > 0:
                best[here] = max(best[here], fit[a[i], b[j]] + best[here + width + 1])
    i = j = 0
    while i < len(a) or j < len(b):
        here = i * width + j
        if i < len(a) and j < len(b):
            paired = fit[a[i], b[j]] + best[here + width + 1] if fit[a[i], b[j]] > 0 else -1.0
            if paired >= best[here]:
                yield a[i], b[j]
                i, j = i + 1, j + 1
                continue
        if j == len(b) or (i < len(a) and best[here + width] >= best[here + 1]):
            yield a[i], None
            i += 1
        else:
            yield None, b[j]
            j += 1


def _by_order(a: range, b: range, similarity: Callable[[int, int], float]) -> Iterator[Pair]:
    """Partners one by one: the next of each side, if they may be."""
    i, j = iter(a), iter(b)
    left, right = next(i, None), next(j, None)
    while left is not None or right is not None:
        if left is not None and right is not None and similarity(left, right) > 0:
            yield left, right
            left, right = next(i, None), next(j, None)
        elif left is not None:
            yield left, None
            left = next(i, None)
        else:
            yield None, right
            right = next(j, None)
