# SPDX-License-Identifier: MIT
"""Is every bit counted once, and every bit without a fact found? Does every fact name its source?"""

import dataclasses

import numpy as np
import pytest

from hornito.bits import Confidence
from hornito.hardware.nn import NNDescriptor
from hornito.hardware.tp import TPDescriptor
from hornito.stream import Archive, BufferKind, Submission
from hornito.stream.annotate import DESCRIPTORS
from hornito.trace.coverage import COEFFICIENTS, STREAM, Coverage, Trust
from hornito.trace.facts import facts
from hornito.trace.submissions import from_archive
from tests.trace import samples


def counted(*submissions: Submission) -> Coverage:
    found = Coverage()
    found.add(from_archive("made", Archive(submissions, "vipnano-qi")))
    return found


def test_every_bit_is_counted_once() -> None:
    made = samples.archive(stride=2)
    found = counted(*made.submissions)
    words = sum(len(submission.stream) for submission in made.submissions)
    assert found.totals([STREAM]).total() == 32 * words
    descriptors = {BufferKind.NN: 0, BufferKind.TP: 0, BufferKind.COEFFICIENTS: 0}
    for buffer in made.submissions[1].buffers:
        if buffer.kind in descriptors:
            descriptors[buffer.kind] += 1
    assert found.totals(["NN"]).total() == 32 * NNDescriptor.WORDS * descriptors[BufferKind.NN]
    assert found.totals(["TP"]).total() == 32 * TPDescriptor.WORDS * descriptors[BufferKind.TP]
    assert found.counts[COEFFICIENTS] == descriptors[BufferKind.COEFFICIENTS]
    assert found.problems == []
    totals = found.totals()
    assert totals[Trust.STRANGE] == 0
    assert totals[Trust.REPLAYED] > totals[Trust.INFERRED] > 0


def test_our_own_recordings_set_no_bit_that_has_no_name() -> None:
    for chip in ("vipnano-qi", "vipnano-si-plus"):
        found = Coverage()
        found.add(from_archive("made", samples.archive(chip)))
        assert {word.word: word.unnamed_set for word in found.words() if word.unnamed_set} == {}
        assert (found.behind.descriptors, found.behind.coefficients) == (0, 0)


def changed(kind: BufferKind, offset: int, value: int) -> Submission:
    ours = samples.archive().submissions[1]
    buffers = list(ours.buffers)
    at = next(number for number, buffer in enumerate(buffers) if buffer.kind is kind)
    data = buffers[at].data
    assert data is not None
    grown = np.zeros(max(len(data), offset + 1), np.uint8)
    grown[: len(data)] = data
    grown[offset] = value
    size = max(buffers[at].size, len(grown))
    buffers[at] = dataclasses.replace(buffers[at], data=grown, size=size)
    return dataclasses.replace(ours, buffers=tuple(buffers))


def test_a_bit_without_a_name_is_found_in_its_word() -> None:
    found = counted(changed(BufferKind.NN, 4 * 23 + 1, 0x10))
    assert [(word.structure, word.word, word.unnamed_set) for word in found.words() if word.unnamed_set] == [
        ("NN", "w23", 0x1000)
    ]


def test_a_value_never_seen_is_strange() -> None:
    found = counted(changed(BufferKind.TP, 4 * 25, 1))
    (word,) = [word for word in found.words() if word.bits[Trust.STRANGE]]
    assert (word.structure, word.word, word.bits[Trust.STRANGE]) == ("TP", "w25", 32)
    assert word.notes == {"in_image_circular_buf_size": Trust.STRANGE}


def test_bytes_behind_descriptors_and_coefficients_are_counted() -> None:
    assert counted(changed(BufferKind.NN, 200, 5)).behind.descriptors == 1
    assert counted(changed(BufferKind.COEFFICIENTS, 4000, 5)).behind.coefficients == 1


def test_coefficients_that_can_t_be_read_are_a_problem() -> None:
    found = counted(changed(BufferKind.COEFFICIENTS, 64, 9))
    assert found.totals([COEFFICIENTS])[Trust.REPLAYED] == 0
    assert "zero runs of 9 bits" in found.problems[0]


def test_unknown_states_and_broken_streams_are_unnamed() -> None:
    found = counted(Submission(np.array([0x08010ABC, 0x1234, 0xF8000000, 5], np.uint32)))
    assert found.totals() == {Trust.REPLAYED: 32, Trust.UNNAMED: 96}
    assert {word.word: word.unnamed_set for word in found.words() if word.unnamed_set} == {
        "state 0x02af0": 0x1234,
        "rest": 0xF8000005,
    }


def test_every_fact_names_its_source() -> None:
    found = list(facts())
    assert [fact.name for fact in found if not fact.source] == []
    assert {fact.structure for fact in found} >= {"command", "state", "NN", "TP", "GL_NN_CONFIG"}
    assert {fact.confidence for fact in found} == set(Confidence)


@pytest.mark.parametrize("structure", ["NN", "TP"])
def test_facts_of_descriptors_are_all_their_fields(structure: str) -> None:
    layout = DESCRIPTORS[structure].layout()
    assert {fact.name for fact in facts() if fact.structure == structure} == set(layout)
