# SPDX-License-Identifier: MIT
"""Are results ranked and printed as TFLite's label_image does?"""

import numpy as np
import pytest

from hornito.errors import Unsupported
from hornito.examples.ranking import score_line, top


def test_bytes_are_scored_by_255_and_printed_with_six_digits() -> None:
    scores = np.zeros((1, 1001), np.uint8)
    scores[0, 653], scores[0, 907] = 191, 3
    labels = [str(index) for index in range(653)] + ["military uniform"] + ["other"] * 400
    first, second = top(scores, 2)
    assert score_line(*first, labels[first[0]]) == "0.749020: 653 military uniform"
    assert score_line(*second, labels[second[0]]) == "0.011765: 907 other"
    assert score_line(*first) == "0.749020: 653"


def test_signed_bytes_count_from_their_least() -> None:
    assert top(np.array([-128, 127, 63], np.int8), 3) == [(1, 1.0), (2, 191 / 255), (0, 0.0)]


def test_floats_stay_and_what_is_no_number_comes_last() -> None:
    ranked = top(np.array([[0.25, np.nan, 0.5, -1.0]], np.float32), 4)
    assert ranked[:3] == [(2, 0.5), (0, 0.25), (3, -1.0)]
    assert ranked[3][0] == 1


def test_equal_scores_come_by_index() -> None:
    assert [index for index, _ in top(np.full(100, 7, np.uint8), 5)] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.float32])
def test_equal_scores_among_many_come_by_index(kind: type[np.uint8]) -> None:
    """Short arrays are sorted stably by any method, and so are those of one value."""
    scores = np.random.default_rng(1).integers(0, 4, 1001).astype(kind)
    wanted = sorted(range(1001), key=lambda index: (-int(scores[index]), index))
    assert [index for index, _ in top(scores, 1001)] == wanted


def test_more_than_there_are_gives_what_there_is() -> None:
    assert len(top(np.zeros((1, 3), np.uint8), 5)) == 3
    assert top(np.zeros((1, 3), np.uint8), 0) == []


def test_other_types_are_refused() -> None:
    with pytest.raises(Unsupported, match="int32"):
        top(np.zeros(3, np.int32), 1)
