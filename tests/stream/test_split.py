# SPDX-License-Identifier: MIT
"""A submission of several jobs, one job at a time."""

import numpy as np
import pytest

from hornito.errors import BadStream
from hornito.hardware import states
from hornito.stream import NNJob, StreamBuilder, Submission, TPJob, jobs_of
from hornito.stream.split import filled, split
from tests.stream.samples import COEF, INPUT, MIDDLE, NN, OUTPUT, TP, address, submission


def test_each_part_has_one_job_and_the_buffers_that_it_reaches() -> None:
    first, second = split(submission())
    assert [type(job) for part in (first, second) for job in jobs_of(part)] == [TPJob, NNJob]
    assert {buffer.address for buffer in first.buffers} == {address(n) for n in (TP, INPUT, MIDDLE)}
    assert {buffer.address for buffer in second.buffers} == {address(n) for n in (NN, COEF, MIDDLE, OUTPUT)}


def test_parts_keep_what_stands_before_and_after_the_jobs() -> None:
    stream = StreamBuilder()
    stream.zeros(4)
    stream.load(states.PS_UNK10A4, 0)
    stream.load(states.PS_UNK10A4, 1)
    stream.load(states.GL_FLUSH_CACHE, states.FLUSH_ALL)
    stream.zeros(2)
    words = stream.words.tolist()
    parts = split(Submission(stream.words))
    assert [part.stream.tolist() for part in parts] == [words[:6] + words[8:], words[:4] + words[6:]]


def test_parts_still_hold_their_addresses_after_a_move() -> None:
    whole = submission()
    for part in split(whole):
        moved = part.moved([0x4000_0000 + 0x10000 * number for number in range(len(part.buffers))])
        assert len(list(jobs_of(moved))) == 1
        assert not {place.target for place in part.relocations} - set(range(len(part.buffers)))


def test_parts_one_after_the_other_are_the_whole() -> None:
    whole = submission()
    assert [job for part in split(whole) for job in jobs_of(part)] == list(jobs_of(whole))


def test_stream_without_jobs_is_refused() -> None:
    for words in ([], [0, 0]):
        with pytest.raises(BadStream, match="starts no job"):
            split(Submission(np.array(words, np.uint32)))


def test_contents_are_filled_in_by_address() -> None:
    part = split(submission())[0]
    given = bytes(range(16))
    made = filled(part, {address(INPUT): given}, ())
    [buffer] = [buffer for buffer in made.buffers if buffer.address == address(INPUT)]
    assert buffer.data is not None and buffer.data.tobytes() == given
    assert [b.data is None for b in part.buffers if b.address == address(INPUT)] == [True]
