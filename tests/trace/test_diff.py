# SPDX-License-Identifier: MIT
"""Does the comparison show the fields that differ, and nothing else?"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hornito.bits import diff as words_diff
from hornito.stream import Archive, Buffer, BufferKind, Submission
from hornito.stream.annotate import ADDRESS_FIELDS, DESCRIPTORS
from hornito.trace.cuts import with_jobs
from hornito.trace.diff import Diff, Hunk, Options
from hornito.trace.load import load
from hornito.trace.records import Done, Header, Recording, Store, Written
from hornito.trace.submissions import add_submission, from_archive, to_submission
from hornito.trace.tracks import views_of
from hornito.trace.view import SubmitView
from tests.trace import samples


def recording(*submissions: Submission, chip: str = "vipnano-qi") -> Recording:
    return from_archive("made", Archive(submissions, chip))


def hunks(a: Recording, b: Recording, **options: Any) -> list[Hunk]:
    return list(Diff(a, b, Options(**options)).hunks())


def names(found: list[Hunk]) -> set[str]:
    return {one.name for hunk in found for one in hunk.differences}


def network(**layer: Any) -> Submission:
    """As captured: nothing but the values tells where addresses are."""
    return dataclasses.replace(samples.archive(**layer).submissions[1], relocations=())


def with_words(submission: Submission, kind: BufferKind, changes: dict[int, int], number: int = 0) -> Submission:
    """Other words in the descriptor that is number so and so of its kind."""
    buffers = list(submission.buffers)
    at = [index for index, buffer in enumerate(buffers) if buffer.kind is kind][number]
    data = buffers[at].data
    assert data is not None
    words = data.view("<u4").copy()
    for index, value in changes.items():
        words[index] = value
    buffers[at] = dataclasses.replace(buffers[at], data=words.view(np.uint8))
    return dataclasses.replace(submission, buffers=tuple(buffers))


def test_equal_recordings_have_no_differences() -> None:
    for chip in ("vipnano-qi", "vipnano-si-plus"):
        made = samples.archive(chip)
        found = Diff(from_archive("a", made), from_archive("b", made))
        assert list(found.hunks()) == []
        assert found.same


def test_order_places_and_sizes_of_buffers_do_not_matter() -> None:
    ours = samples.archive(stride=2).submissions[1]
    ends = [-(-buffer.end // 4096) * 4096 for buffer in ours.buffers]
    moved = ours.moved([0x40000000 - end for end in ends])
    buffers = tuple(dataclasses.replace(buffer, size=-(-buffer.size // 4096) * 4096) for buffer in moved.buffers)
    assert hunks(recording(ours), recording(dataclasses.replace(moved, buffers=buffers))) == []


@pytest.mark.parametrize("word,name", [(6, "in_image_address"), (7, "out_image_address")])
def test_an_address_in_another_buffer_is_a_difference(word: int, name: str) -> None:
    ours = network()
    other = next(buffer.address for buffer in ours.buffers if buffer.kind is BufferKind.COEFFICIENTS)
    found = hunks(recording(ours), recording(with_words(ours, BufferKind.NN, {word: other})))
    assert names(found) == {name}


def test_buffers_correspond_one_to_one() -> None:
    """Input and output of a job in one buffer: each address alone looks right."""
    ours = network()
    (number,) = [number for number, buffer in enumerate(ours.buffers) if buffer.kind is BufferKind.NN]
    data = ours.buffers[number].data
    assert data is not None
    source = int(data.view("<u4")[6])
    (hunk,) = hunks(recording(ours), recording(with_words(ours, BufferKind.NN, {7: source})))
    (one,) = hunk.differences
    assert (one.name, one.old, one.new) == ("out_image_address", "tensor2+0x0", "tensor1+0x0")


def test_an_offset_within_the_buffer_is_a_difference() -> None:
    ours = network()
    data = next(buffer.data for buffer in ours.buffers if buffer.kind is BufferKind.NN)
    assert data is not None
    moved = with_words(ours, BufferKind.NN, {6: int(data.view("<u4")[6]) + 4})
    (hunk,) = hunks(recording(ours), recording(moved))
    (one,) = hunk.differences
    assert (one.old, one.new) == ("tensor1+0x0", "tensor1+0x4")
    assert (one.old_value, one.new_value) == (int(data.view("<u4")[6]), int(data.view("<u4")[6]) + 4)


@pytest.mark.parametrize("bit", [0, 5, 26, 31])
@pytest.mark.parametrize("word", [8, 9, 16, 17, 18])
def test_every_bit_of_a_stream_counts(word: int, bit: int) -> None:
    ours = network()
    stream = ours.stream.copy()
    stream[word] ^= np.uint32(1 << bit)
    assert hunks(recording(ours), recording(dataclasses.replace(ours, stream=stream)))


@pytest.mark.parametrize("chip", ["vipnano-qi", "vipnano-si-plus"])
def test_models_of_different_strides_differ_in_what_follows_from_it(chip: str) -> None:
    """Depthwise, so that no job is added: expected is what the words themselves say."""
    layer: dict[str, Any] = {"rows": 8, "inputs": 8, "depthwise": True, "chip": chip}
    ours, theirs = network(**layer), network(**layer, stride=2)
    found = hunks(recording(ours, chip=chip), recording(theirs, chip=chip))
    (convolution,) = [hunk for hunk in found if hunk.unit == "NN"]
    expected = expected_names(ours, theirs)
    assert {"pooling", "pooling_xy_size", "out_image_x_stride", "out_image_y_stride"} <= expected
    assert {one.name for one in convolution.differences if one.place} == expected
    planes = [(one.name, one.old, one.new) for one in convolution.differences if not one.place]
    # Version 8 has no output offsets in its coefficients.
    assert planes == ([("coefficients, bytes of an output plane", "64", "16")] if chip == "vipnano-qi" else [])
    assert [str(hunk.old) for hunk in found] == ["0.1", "0.2"]


STRIDES = [
    *(("conv-i3-k3-c1-o256", "valid"), ("conv-i5-k3-c1-o32", "same"), ("conv-i5-k5-c1-o120", "valid")),
    ("conv-i5-k5-c1-o32", "same"),
]


@pytest.mark.parametrize("layer,padding", STRIDES)
def test_the_reference_driver_s_submissions_of_different_strides(shared: Path, layer: str, padding: str) -> None:
    """A convolution's stride of 2 takes a reshuffle, and no field else differs but those whose words do."""
    folder = shared / "goldens" / "silicon-verdicts" / "vipnano-qi"
    pair = [load(folder / f"{layer}-s{stride}-{padding}.npz") for stride in (1, 2)]
    found = hunks(*pair)
    assert [hunk.unit for hunk in found if hunk.old is None] == ["TP"]
    assert [hunk for hunk in found if hunk.new is None] == []
    whole = [to_submission(side, list(side.submits())[1]) for side in pair]
    (convolution,) = [hunk for hunk in found if hunk.unit == "NN" and hunk.differences]
    assert {one.name for one in convolution.differences if one.place} == expected_names(*whole)


def expected_names(ours: Submission, theirs: Submission) -> set[str]:
    words = []
    for submission in (ours, theirs):
        data = next(buffer.data for buffer in submission.buffers if buffer.kind is BufferKind.NN)
        assert data is not None
        words.append(data[:136].view("<u4").tolist())
    lines = words_diff(DESCRIPTORS["NN"], *words)
    return {line.split(" = ")[0].split()[-1].rstrip("?") for line in lines} - set(ADDRESS_FIELDS)


def test_a_job_on_one_side_only_is_shown_as_such() -> None:
    """Stride 2 of an ordinary convolution needs a reshuffle before it."""
    found = hunks(recording(network()), recording(network(stride=2)))
    (added,) = [hunk for hunk in found if hunk.old is None]
    assert (str(added.new), added.unit, added.differences) == ("0.1", "TP", ())
    pairs = {(str(hunk.old), str(hunk.new)) for hunk in found if hunk.old is not None and hunk.new is not None}
    assert pairs <= {("0.0", "0.0"), ("0.1", "0.2"), ("0.2", "0.3")}
    removed = hunks(recording(network(stride=2)), recording(network()))
    assert [str(hunk.old) for hunk in removed if hunk.new is None] == ["0.1"]


def test_initialisation_of_its_own_or_with_the_first_jobs_is_told_as_that() -> None:
    first, second = samples.archive().submissions[0], network()
    together = dataclasses.replace(second, stream=np.concatenate([first.stream, second.stream]))
    (hunk,) = hunks(recording(first, second), recording(together))
    assert (str(hunk.old), hunk.new, hunk.title) == ("1", None, "a submit begins")


def changed_coefficients(submission: Submission, at: int) -> Submission:
    (number,) = [n for n, buffer in enumerate(submission.buffers) if buffer.kind is BufferKind.COEFFICIENTS]
    buffers = list(submission.buffers)
    data = buffers[number].data
    assert data is not None
    data = data.copy()
    data[at] ^= 1
    buffers[number] = dataclasses.replace(buffers[number], data=data)
    return dataclasses.replace(submission, buffers=tuple(buffers))


@pytest.mark.parametrize(
    "at,text",
    [(0, "coefficients"), (67, "weight of output 0, input 0, row 0, column 0"), (68, "bias of output 0")],
)
def test_coefficients_are_told_by_value(at: int, text: str) -> None:
    ours = network(kernel=1, inputs=3, outputs=9)
    (hunk,) = hunks(recording(ours), recording(changed_coefficients(ours, at)))
    assert [one.name for one in hunk.differences] == [text]


def test_padding_kernels_count_when_asked_for() -> None:
    """Nine outputs on eight cores: kernel 1 of core 7 is padding. Its first weight lies behind those of kernel 0."""
    ours = network(kernel=1, inputs=3, outputs=9)
    view = SubmitView(next(recording(ours).submits()), ours, "vipnano-qi")
    made = view.coefficients(view.job(1).descriptors[0])
    stream = made.streams[7]
    assert made.padding_kernels == 7
    theirs = changed_coefficients(ours, stream.begin + 3 + 3 + 4 + 4)
    passed = Diff(recording(ours), recording(theirs))
    assert list(passed.hunks()) == []
    assert (passed.same, passed.padding_kernels) == (True, 7)
    (hunk,) = hunks(recording(ours), recording(theirs), padding_kernels=True)
    assert [one.name.split(",")[0] for one in hunk.differences] == ["padding kernels"]


def test_bits_behind_the_end_of_the_coefficients_do_not_count() -> None:
    ours = network()
    buffers = [
        dataclasses.replace(buffer, size=4096, data=np.append(buffer.data, [7, 7]).astype(np.uint8))
        if buffer.kind is BufferKind.COEFFICIENTS and buffer.data is not None
        else buffer
        for buffer in ours.buffers
    ]
    assert hunks(recording(ours), recording(dataclasses.replace(ours, buffers=tuple(buffers)))) == []


def test_descriptors_that_are_not_there_are_no_hindrance() -> None:
    ours = network()
    none: list[Buffer] = [dataclasses.replace(buffer, data=None) for buffer in ours.buffers]
    assert hunks(recording(ours), recording(dataclasses.replace(ours, buffers=tuple(none))))
    bare = dataclasses.replace(ours, buffers=tuple(none))
    assert hunks(recording(bare), recording(bare)) == []


def test_broken_streams_are_compared_word_by_word() -> None:
    ours = Submission(np.array([0xF8000000, 1, 2], np.uint32))
    theirs = Submission(np.array([0xF8000000, 1, 3], np.uint32))
    assert hunks(recording(ours), recording(ours)) == []
    (hunk,) = hunks(recording(ours), recording(theirs))
    (one,) = hunk.differences
    assert (one.place, one.old, one.new) == ("2", "0x2", "0x3")


def test_our_submissions_are_the_reference_driver_s(shared: Path) -> None:
    from tests.compiler import goldens

    for folder in goldens.FOLDERS:
        ours = from_archive("ours", goldens.compiled(shared, goldens.WHOLE, folder).archive)
        theirs = load(shared / "goldens" / folder / f"{goldens.WHOLE}.npz")
        found = Diff(ours, theirs)
        assert list(found.hunks()) == []
        assert found.padding_kernels == (7 if folder == "vipnano-qi" else 0)


# What one submit leaves to another.


def chain(wrong: int | None = None, untouched: bool = True) -> Recording:
    """A network whose jobs are a submit each, as some clients do it. Job number ``wrong`` reads what the first one left
    in place of what the one before it left. ``untouched``: nobody else writes to the buffers."""
    seen = next(view for view in views_of(from_archive("made", samples.archive(stride=2))))
    buffers = list(seen.submission.buffers)
    tensors = [n for n, buffer in enumerate(buffers) if buffer.kind is BufferKind.TENSOR]
    for number in tensors:
        buffers[number] = dataclasses.replace(buffers[number], data=np.zeros(buffers[number].size, np.uint8))
    first = seen.jobs[0].descriptors[0].fields["out_image_base_address"]
    store = Store()
    for job in seen.jobs:
        one = dataclasses.replace(with_jobs(seen, job.number, job.number), buffers=tuple(buffers), relocations=())
        if job.number == wrong:
            at = [n for n, buffer in enumerate(buffers) if buffer.kind is BufferKind.NN][0]
            data = buffers[at].data
            assert data is not None
            words = data.view("<u4").copy()
            words[6] = first
            changed = [*buffers]
            changed[at] = dataclasses.replace(buffers[at], data=words.view(np.uint8))
            one = dataclasses.replace(one, buffers=tuple(changed))
        submit = add_submission(store, one)
        written = seen.submission.buffer_at(job.descriptors[0].footprint.written.start)
        assert written is not None
        left = np.full(buffers[written].size, 10 + job.number, np.uint8)
        store.events.append(Done(submit.number, 0, 1, (Written(written, store.keep(left.tobytes())),)))
        buffers[written] = dataclasses.replace(buffers[written], data=left if untouched else left + 100)
    return store.recording("made", Header("test", "vipnano-qi"))


def test_a_job_that_reads_what_another_submit_left_is_followed_to_it() -> None:
    """Each address alone looks right: every submit has buffers of its own numbers."""
    assert hunks(chain(), chain()) == []
    (hunk,) = hunks(chain(), chain(wrong=2))
    (one,) = hunk.differences
    assert (one.place, one.name) == ("w6[31:0]", "in_image_address")
    assert (one.old, one.new) == ("what job 1.0 left", "what job 0.0 left")
    batched = from_archive("batched", Archive(samples.archive(stride=2).submissions[1:], "vipnano-qi"))
    assert hunks(batched, chain(), jobs_only=True) == []
    found = hunks(batched, chain(wrong=2), jobs_only=True)
    assert [(one.old, one.new) for hunk in found for one in hunk.differences] == [
        ("what job 0.1 left", "what job 0.0 left")
    ]


def test_memory_that_the_client_wrote_to_in_between_leads_to_no_job() -> None:
    assert hunks(chain(untouched=False), chain(wrong=2, untouched=False)) == []
