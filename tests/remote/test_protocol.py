# SPDX-License-Identifier: MIT
"""Messages, submissions and errors come out of a connection as they went in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornito.errors import BadInput, BadStream, DeviceError, HornitoError, Unsupported
from hornito.remote import protocol
from hornito.stream import Submission
from tests.fake_device import incrementing
from tests.stream import samples


def joined(parts: list[bytes | memoryview]) -> bytes:
    return b"".join(parts)


@given(st.dictionaries(st.text().filter(lambda key: key != "sizes"), st.integers() | st.text()), st.lists(st.binary()))
def test_message_comes_back_as_it_was(head: protocol.Head, parts: list[bytes]) -> None:
    found, views = protocol.decode(joined(protocol.encode(head, [memoryview(part) for part in parts])))
    assert found == head
    assert [bytes(view) for view in views] == parts


@given(st.binary(max_size=80) | st.text(max_size=20))
def test_any_bytes_are_a_message_or_a_value_error(content: bytes | str) -> None:
    try:
        head, views = protocol.decode(content)
    except ValueError:
        return
    assert isinstance(content, bytes)
    assert sum(len(view) for view in views) == len(content) - content.index(b"\n") - 1 and isinstance(head, dict)


@pytest.mark.parametrize(
    "content",
    [
        b'{"sizes": [3]}\nab',
        b'{"sizes": [1]}\nab',
        b'{"sizes": [-1, 3]}\nab',
        b'{"sizes": [true]}\na',
        b'{"sizes": [1.0]}\na',
        b'{"sizes": 0}\n',
        b"{}\n",
        b"[]\n",
        b'{"sizes": []}',
        b"[" * 100_000 + b"\n",
        b"1" * 5000 + b"\n",
        b"\xff\n",
    ],
)
def test_malformed_messages_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError):
        protocol.decode(content)


def test_arrays_are_not_copied_on_their_way() -> None:
    array = np.zeros(100_000, np.uint8)
    (_, part) = protocol.encode({}, [protocol.raw(array)])
    array[0] = 9
    assert bytes(part)[0] == 9
    content = joined(protocol.encode({}, [protocol.raw(array)]))
    _, (view,) = protocol.decode(content)
    assert view.obj is content


@pytest.mark.parametrize("number", range(len(samples.archive().submissions)))
def test_submission_comes_back_as_it_was(number: int) -> None:
    submission = samples.archive().submissions[number]
    found = protocol.unpack_submission(protocol.pack_submission(submission, "a311d"))
    assert np.array_equal(found.stream, submission.stream)
    assert [(b.kind, b.address, b.size, b.data is None) for b in found.buffers] == [
        (b.kind, b.address, b.size, b.data is None) for b in submission.buffers
    ]
    for got, sent in zip(found.buffers, submission.buffers, strict=True):
        assert got.data is None or np.array_equal(got.data, sent.data if sent.data is not None else ())
    assert (found.relocations, found.inputs, found.outputs) == (
        *(submission.relocations, submission.inputs),
        submission.outputs,
    )


def test_truncated_submission_is_refused() -> None:
    content = protocol.pack_submission(incrementing(), "a311d")
    for length in range(0, len(content), 97):
        with pytest.raises(BadInput, match="the submission received"):
            protocol.unpack_submission(content[:length])


def test_submission_without_anything_comes_back() -> None:
    found = protocol.unpack_submission(protocol.pack_submission(Submission(np.zeros(0, np.uint32)), "a311d"))
    assert len(found.stream) == 0 and found.buffers == ()


@pytest.mark.parametrize("kind", [BadInput, Unsupported, BadStream, DeviceError])
def test_error_keeps_its_kind(kind: type[HornitoError]) -> None:
    head = protocol.error_head(kind("virtual: it is full"))
    found = protocol.error_of(head["error"], "virtual", "virtual at hornito://board:1")
    assert type(found) is kind and str(found) == "virtual at hornito://board:1: it is full"


@pytest.mark.parametrize(
    "found", [None, 5, {}, {"kind": "OSError", "text": 3, "job": "x", "address": [], "unit": None}]
)
def test_error_that_makes_no_sense_is_the_device_s(found: object) -> None:
    error = protocol.error_of(found, "virtual", "board")
    assert isinstance(error, DeviceError) and (error.job, error.address) == (None, None)


def test_a_new_submission_file_is_not_compressed() -> None:
    """Or its limit, which is the length of the message, would not hold."""
    content = protocol.pack_submission(incrementing(), "a311d")
    assert len(protocol.unpack_submission(content).buffers) == 2
