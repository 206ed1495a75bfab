# SPDX-License-Identifier: MIT
"""Do tensors that live at the same time get memory apart, and do others share it?"""

from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.compiler.arena import ALIGNMENT, Block, aligned, arrange, live_bytes

blocks = st.lists(st.tuples(st.integers(1, 5000), st.integers(0, 30), st.integers(0, 10)), min_size=0, max_size=40).map(
    lambda rows: [Block(number, size, first, first + more) for number, (size, first, more) in enumerate(rows)]
)


@settings(deadline=None)
@given(blocks)
def test_blocks_that_meet_share_no_byte_and_all_are_aligned(found: list[Block]) -> None:
    arena = arrange(found)
    for block in found:
        offset = arena.offsets[block.number]
        assert offset % ALIGNMENT == 0 and offset + block.size <= arena.size
        for other in found[: block.number]:
            if block.meets(other):
                start = arena.offsets[other.number]
                assert offset + block.size <= start or start + other.size <= offset
    assert arena.least == live_bytes(found) <= arena.size <= sum(aligned(block.size) for block in found)


@settings(deadline=None)
@given(blocks)
def test_order_in_which_blocks_are_given_changes_nothing(found: list[Block]) -> None:
    assert arrange(found) == arrange(found[::-1])


def test_a_chain_takes_the_largest_pair() -> None:
    sizes = [640, 1280, 64, 2560, 128]
    chain = [Block(number, size, number, number + 1) for number, size in enumerate(sizes)]
    assert arrange(chain).size == max(a + b for a, b in zip(sizes, sizes[1:], strict=False))


def test_a_gap_is_taken_by_what_fits_it_best() -> None:
    first = [Block(0, 64, 0, 9), Block(1, 128, 0, 1), Block(2, 64, 0, 9), Block(3, 64, 0, 1), Block(4, 64, 0, 9)]
    arena = arrange([*first, Block(5, 64, 2, 3), Block(6, 128, 2, 3)])
    assert arena.size == arena.least == 384
