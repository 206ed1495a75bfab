# SPDX-License-Identifier: MIT
"""Does every value find its bits, in whatever order the values come?"""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hornito.compiler.bit_stream import scatter

VALUES = st.lists(st.tuples(st.integers(0, 70), st.integers(1, 32), st.integers(0, (1 << 32) - 1)), max_size=40)


@given(VALUES, st.randoms(use_true_random=False))
def test_values_stand_where_they_should(values: list[tuple[int, int, int]], random: object) -> None:
    whole, at, places, contents = 0, 0, [], []
    for gap, length, value in values:
        at += gap
        places.append(at)
        contents.append(value % (1 << length))
        whole |= contents[-1] << at
        at += length
    size = -(-at // 32) * 4
    order = list(range(len(values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    for numbers in (range(len(values)), order):
        found = scatter(
            np.array([places[number] for number in numbers], np.int64),
            np.array([contents[number] for number in numbers], np.int64),
            size,
        )
        assert found.tobytes() == whole.to_bytes(size, "little")
