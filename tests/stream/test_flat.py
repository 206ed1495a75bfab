# SPDX-License-Identifier: MIT
"""Does the layout for caches give back what it was made from, and refuse all else in one line?"""

import contextlib
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.errors import BadInput
from hornito.stream import from_flat, to_flat
from tests.stream import samples

NOTES = {"jobs": 3, "why": None, "text": "ü"}


def flat() -> bytes:
    return b"".join(bytes(part) for part in to_flat(samples.archive(), NOTES))


def test_archive_and_notes_come_back() -> None:
    original = samples.archive()
    found, notes = from_flat(memoryview(flat()), "entry")
    assert notes == NOTES
    assert all(samples.same(*pair) for pair in zip(found.submissions, original.submissions, strict=True))
    assert (found.chip, found.level, found.tensors) == (original.chip, original.level, original.tensors)
    assert (found.inputs, found.outputs, found.segments) == (original.inputs, original.outputs, original.segments)


def test_arrays_are_views_of_the_content() -> None:
    content = bytearray(flat())
    found, _ = from_flat(memoryview(content), "entry")
    data = next(buffer.data for buffer in found.submissions[1].buffers if buffer.data is not None)
    assert np.shares_memory(data, np.frombuffer(content, np.uint8))


@pytest.mark.parametrize(
    "row",
    [
        ["s0_stream", "O", [1], 0],
        ["s0_stream", "<u4", [-1], 0],
        ["s0_stream", "<u4", [1 << 40], 0],
        ["s0_stream", "<u4", [1], -64],
        ["s0_stream", "<u4", [1 << 70], 0],
        ["s0_stream", "nothing", [1], 0],
        ["s0_stream", "<u4"],
        {},
    ],
)
def test_table_that_describes_no_array_is_refused(row: object) -> None:
    head = json.dumps({"notes": {}, "arrays": [row]}).encode()
    with pytest.raises(BadInput, match="entry: "):
        from_flat(memoryview(len(head).to_bytes(8, "little") + head + bytes(256)), "entry")


@given(st.integers(0, len(flat()) - 1), st.binary(max_size=9), st.booleans())
@settings(deadline=None)
def test_changed_bytes_give_an_archive_or_bad_input(at: int, other: bytes, cut: bool) -> None:
    whole = flat()
    with contextlib.suppress(BadInput):
        from_flat(memoryview(whole[:at] + other + (b"" if cut else whole[at + len(other) :])), "entry")
