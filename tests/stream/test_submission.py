# SPDX-License-Identifier: MIT
"""Do submissions move exactly, do their jobs come out of them, and does their listing tell it all?"""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.errors import BadStream
from hornito.hardware.nn import NNDescriptor
from hornito.hardware.tp import TPDescriptor
from hornito.stream import Buffer, BufferKind, NNJob, Relocation, Submission, TPJob, jobs_of, listing
from hornito.stream.submission import moved_word
from tests.stream import samples
from tests.stream.samples import COEF, INPUT, MIDDLE, NN, OUTPUT, PAGE, TP

places = st.lists(st.integers(1, (1 << 20) - 2), min_size=6, max_size=6, unique=True)


def words_of(submission: Submission, kind: BufferKind) -> list[int]:
    (buffer,) = [buffer for buffer in submission.buffers if buffer.kind is kind]
    assert buffer.data is not None
    return [int(word) for word in buffer.data.view("<u4")]


@settings(deadline=None)
@given(places)
def test_moving_and_moving_back_changes_nothing(pages: list[int]) -> None:
    original = samples.submission()
    moved = original.moved([page * PAGE for page in pages])
    # Buffers are numbered anew, ascending; their old addresses in the new order bring them back.
    order = sorted(range(6), key=lambda number: pages[number])
    back = moved.moved([original.buffers[number].address for number in order])
    assert samples.same(back, original)


@settings(deadline=None)
@given(places)
def test_every_address_follows_its_buffer(pages: list[int]) -> None:
    original = samples.submission()
    at = [page * PAGE for page in pages]
    moved = original.moved(at)
    assert [buffer.address for buffer in moved.buffers] == sorted(at)
    stream = moved.stream.tolist()
    changed = {index for index, word in enumerate(original.stream.tolist()) if stream[index] != word}
    assert stream[3] == at[TP] + 1 and stream[9] == at[NN]  # the job's tag stays
    assert changed <= {3, 9}
    transpose = TPDescriptor.decode(words_of(moved, BufferKind.TP))
    assert transpose.in_image_base_address == at[INPUT] and transpose.out_image_base_address == at[MIDDLE] + 16
    convolution = NNDescriptor.decode(words_of(moved, BufferKind.NN))
    assert convolution.kernel_address << 6 == at[COEF] + 64
    assert convolution.kernel_z_size2 == 3  # the word's other field stays
    assert convolution.in_image_address == at[MIDDLE] + 16 and convolution.out_image_address == at[OUTPUT] + 5
    for place in (*moved.inputs, *moved.outputs):
        assert moved.buffers[place.buffer].address == at[INPUT if place in moved.inputs else OUTPUT]


def test_moving_leaves_the_original_alone() -> None:
    original = samples.submission()
    original.moved([(9 - number) * PAGE for number in range(6)])
    assert samples.same(original, samples.submission())


@pytest.mark.parametrize(
    "word,distance,shift,expected",
    [
        (0xFFFFF001, 0x1000, 0, 1),  # addresses have 32 bits
        (0x1000, -0x2000, 0, 0xFFFFF000),
        (0x0FFFFFFF, 64, 6, 0x0C000000),  # of word 5, bits 25:0 alone
        (0x0C000001, -64, 6, 0x0C000000),
        (0x00000000, -64, 6, 0x03FFFFFF),
    ],
)
def test_moved_word(word: int, distance: int, shift: int, expected: int) -> None:
    assert moved_word(word, distance, shift) == expected


@pytest.mark.parametrize(
    "place",
    [
        Relocation(TP, 124, INPUT),
        Relocation(TP, 121, INPUT),
        Relocation(INPUT, 0, INPUT),  # it has no contents
        Relocation(9, 0, INPUT),
        Relocation(TP, 40, 6),
        Relocation(TP, 40, -1),
        Relocation(-1, 4096, INPUT),
    ],
)
def test_a_relocation_that_points_nowhere_is_refused(place: Relocation) -> None:
    broken = dataclasses.replace(samples.submission(), relocations=(place,))
    with pytest.raises(BadStream, match="points nowhere"):
        broken.moved([buffer.address + PAGE for buffer in broken.buffers])


def test_as_many_addresses_as_buffers_are_needed() -> None:
    with pytest.raises(ValueError):
        samples.submission().moved([PAGE])


def test_buffer_at_knows_first_and_last_byte() -> None:
    submission = samples.submission()
    start = samples.address(OUTPUT)
    assert submission.buffer_at(start) == OUTPUT == submission.buffer_at(start + 260)
    assert submission.buffer_at(start + 261) is None and submission.buffer_at(start - 1) is None
    assert submission.buffer_at(0) is None and submission.buffer_at(0xFFFFFFFF) is None
    assert Submission(np.zeros(0, np.uint32)).buffer_at(0) is None


# Jobs


def test_jobs_come_in_order_with_their_descriptors() -> None:
    move, convolution = jobs_of(samples.submission())
    assert isinstance(move, TPJob) and len(move.descriptors) == 1
    assert move.descriptors[0].in_image_base_address == samples.address(INPUT)
    assert isinstance(convolution, NNJob) and convolution.coefficient_bytes == 192  # of 1024; the rest is zeros
    assert convolution.descriptor.out_image_z_size == 16


def test_descriptors_of_several_cores_are_one_job() -> None:
    stream = np.array([0x0801042E, samples.address(TP) + 1] * 3 + [0x08010429, 0], np.uint32)
    (job,) = jobs_of(dataclasses.replace(samples.submission(), stream=stream))
    assert isinstance(job, TPJob) and len(job.descriptors) == 3


@pytest.mark.parametrize("address", [0, samples.address(INPUT), samples.address(TP) + 64, 0xFFFFFFC0])
def test_a_trigger_that_points_at_no_descriptor_is_refused(address: int) -> None:
    stream = np.array([0x08010428, address], np.uint32)
    with pytest.raises(BadStream, match="lies in no buffer"):
        list(jobs_of(dataclasses.replace(samples.submission(), stream=stream)))


def test_coefficients_in_no_buffer_count_for_nothing() -> None:
    submission = samples.submission()
    moved = dataclasses.replace(submission.buffers[COEF], address=0x80000000)
    buffers = (*submission.buffers[:COEF], *submission.buffers[COEF + 1 :], moved)
    *_, job = jobs_of(dataclasses.replace(submission, buffers=buffers))
    assert isinstance(job, NNJob) and job.coefficient_bytes == 0


# The listing


def test_listing_of_a_small_submission_is_this() -> None:
    lines = listing(samples.submission())
    assert lines[:3] == [
        "    0  00000000 00000000  ZERO",
        "    2  0801042e  PS_TP_INST_ADDR = @tp0+0x1",
        "         w0[15:0] in_image_x_size = 4",
    ]
    assert "         w10[31:0] in_image_base_address = @tensor0+0x0" in lines
    assert "         w13[31:0] out_image_base_address = @tensor1+0x10" in lines
    assert "         w5[25:0] kernel_address = @coef0+0x40" in lines
    assert "         w5[31:26] kernel_z_size2? = 3" in lines
    assert "    6  08010e4c  GL_NN_CONFIG = 0x10" in lines
    assert lines[-15:-11] == [
        "tp0: 124 bytes",
        "tensor0: 256 bytes",
        "tensor1: 272 bytes",
        "nn0: 136 bytes",
    ]
    assert lines[-11].startswith("coef0: 1024 bytes, sha256 ")
    assert lines[-10].startswith("    0000  ") and lines[-4].startswith("    00c0  ")
    assert lines[-3:] == [
        "tensor2: 261 bytes",
        "input T#0 'image' uint8 1x8x8x4, scale 0.5, zero point 7: 256 bytes at tensor0+0x0",
        "output T#3 'result' uint8 1x8x8x4, scale 0.25, zero point 3: 256 bytes at tensor2+0x5",
    ]


@settings(deadline=None)
@given(places)
def test_listing_does_not_depend_on_where_buffers_lie(pages: list[int]) -> None:
    original = samples.submission()
    assert listing(original.moved([page * PAGE for page in pages])) == listing(original)


def test_listing_of_a_capture_finds_addresses_without_relocations() -> None:
    original = samples.submission()
    captured = dataclasses.replace(original, relocations=())
    assert listing(captured) == [line.replace("@", "") for line in listing(original)]


@settings(deadline=None)
@given(st.sampled_from([TP, NN, COEF]), st.integers(0, 123 * 8))
def test_listing_shows_every_flipped_bit_of_a_buffer(number: int, bit: int) -> None:
    original = samples.submission()
    data = original.buffers[number].data
    assert data is not None
    data = data.copy()
    data[bit // 8] ^= 1 << bit % 8
    buffers: list[Buffer] = list(original.buffers)
    buffers[number] = dataclasses.replace(buffers[number], data=data)
    assert listing(dataclasses.replace(original, buffers=tuple(buffers))) != listing(original)


@settings(deadline=None)
@given(st.integers(0, 32 * 12 - 1))
def test_listing_shows_every_flipped_bit_of_the_stream(bit: int) -> None:
    original = samples.submission()
    stream = original.stream.copy()
    stream[bit // 32] ^= np.uint32(1 << bit % 32)
    assert listing(dataclasses.replace(original, stream=stream)) != listing(original)


@settings(deadline=None)
@given(st.lists(st.integers(0, 0xFFFFFFFF), max_size=30))
def test_listing_of_any_words_shows_each(words: list[int]) -> None:
    lines = listing(Submission(np.array(words, np.uint32)))
    assert bool(lines) == bool(words)


def test_listing_marks_what_is_unknown() -> None:
    stream = np.array([0x08024000, 1, 2, 9, 0x08010E4C, 0x77, 0x08010428, 0x123440, 0xF8000005, 1], np.uint32)
    assert listing(Submission(stream)) == [
        "    0  08024000  state 0x10000? = 0x1",
        "                 state 0x10004? = 0x2",
        "                 padding = 0x9?",
        "    4  08010e4c  GL_NN_CONFIG = 0x77?",
        "    6  08010428  PS_NN_INST_ADDR = 0x123440",
        "         ? no descriptor lies there",
        "? word 8: 0xf8000005 has the unknown opcode 0x1f",
        "    8  f8000005  ?",
        "    9  00000001  ?",
    ]


def test_listing_shows_contents_behind_a_descriptor_and_odd_relocations() -> None:
    original = samples.submission()
    data = original.buffers[TP].data
    assert data is not None
    buffers: list[Buffer] = list(original.buffers)
    buffers[TP] = dataclasses.replace(buffers[TP], size=200, data=np.append(data, [0] * 8 + [7]).astype(np.uint8))
    odd = (*original.relocations, Relocation(TP, 60, 99), Relocation(-1, 0, NN, 6), Relocation(77, 4, NN))
    lines = listing(dataclasses.replace(original, buffers=tuple(buffers), relocations=odd))
    assert any(line.startswith("tp0: 200 bytes, sha256 ") for line in lines)
    assert "    0080  00000000 07" in lines or any(line.startswith("    0080  ") for line in lines)
    assert [line for line in lines if line.startswith("relocation?")] == [
        "relocation? tp0+0x3c -> 99? >> 0",
        "relocation? stream+0x0 -> nn0 >> 6",
        "relocation? 77?+0x4 -> nn0 >> 0",
    ]
