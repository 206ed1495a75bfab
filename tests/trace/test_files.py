# SPDX-License-Identifier: MIT
"""Does a recording come back as it was written, whole or cut or damaged; and what does writing it survive?"""

import dataclasses
import functools
import os
import signal
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.errors import BadInput
from hornito.trace import frames
from hornito.trace.load import load
from hornito.trace.reader import open_trace
from hornito.trace.records import (
    CHUNK,
    BufferEntry,
    Call,
    Done,
    Event,
    Extent,
    Header,
    JobTime,
    Message,
    Recording,
    Store,
    Submit,
    TensorPlace,
    Written,
    digest,
)
from hornito.trace.submissions import from_archive, to_submission
from hornito.trace.writer import Keeper, TraceWriter
from tests.trace import samples

MUTANTS = 5000


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return samples.recorded(tmp_path_factory.mktemp("recordings") / "layer.trace")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a single job."""
    return samples.recorded(tmp_path_factory.mktemp("recordings") / "small.trace", rows=4, inputs=1, outputs=1)


def everything(recording: Recording) -> list[Event]:
    """Walk all of it: events, and the contents that they name."""
    events = list(recording.events())
    for event in events:
        if isinstance(event, Submit):
            to_submission(recording, event)
    return events


def test_what_was_written_is_read(path: Path) -> None:
    recording = open_trace(path)
    made = samples.store(samples.archive())
    assert list(recording.events()) == made.events
    assert recording.problem == ""
    header = recording.header
    assert (header.source, header.chip, header.program, header.started) == (
        "test",
        "vipnano-qi-88-0",
        ("program", "argument"),
        17,
    )


def test_submissions_come_back_whole(path: Path) -> None:
    recording = open_trace(path)
    found = samples.listings(to_submission(recording, submit) for submit in recording.submits())
    assert found == samples.listings(samples.archive().submissions)


def test_contents_are_kept_once(tmp_path: Path) -> None:
    content = np.random.default_rng(2).integers(0, 256, 100_000, np.uint8).tobytes()
    sizes = []
    for count in (1, 50):
        with TraceWriter(tmp_path / f"{count}.trace", Header("test")) as writer:
            for number in range(count):
                writer.defer(functools.partial(_with_content, number, content))
        sizes.append((tmp_path / f"{count}.trace").stat().st_size)
    assert sizes[0] > len(content)
    assert sizes[1] - sizes[0] < 50 * 400


def _with_content(number: int, content: bytes, keeper: Keeper) -> Event:
    return _submit(number, keeper.extents(content))


def _submit(number: int, extents: tuple[Extent, ...]) -> Submit:
    return Submit(number, 0, (), (BufferEntry(1, 1, 0x10000, 1 << 22, extents),))


def test_large_contents_are_kept_in_pieces_and_zeros_left_out() -> None:
    store = Store()
    content = bytes(CHUNK) + b"\1" + bytes(CHUNK) + b"\2\0\0"
    extents = store.keep(content)
    assert [(extent.offset, extent.length) for extent in extents] == [(CHUNK, 1), (2 * CHUNK, 2)]
    recording = store.recording("", Header(""))
    assert recording.bytes_of(extents) == content.rstrip(b"\0")


def test_a_recording_cut_at_any_byte_opens_up_to_the_cut(small: Path, tmp_path: Path) -> None:
    whole = small.read_bytes()
    all_events = list(open_trace(small).events())
    counts = set()
    for size in range(len(whole)):
        cut = tmp_path / "cut.trace"
        cut.write_bytes(whole[:size])
        try:
            recording = load(cut)
        except BadInput as error:
            assert size < 200, error
            continue
        events = everything(recording)
        assert events == all_events[: len(events)]
        assert recording.problem
        counts.add(len(events))
    assert counts == set(range(len(all_events) + 1))


@pytest.mark.parametrize("repaired", [False, True])
def test_mutated_recordings_give_errors_or_open_in_part(small: Path, tmp_path: Path, repaired: bool) -> None:
    """With checksums as they were, and made right again: whoever means harm can compute them too."""
    whole = small.read_bytes()
    rng = np.random.default_rng(3)
    outcomes = {"error": 0, "whole": 0, "part": 0}
    for _ in range(MUTANTS // 2):
        data = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            _mutate(data, rng)
        if repaired:
            _repair(data)
        mutant = tmp_path / "mutant.trace"
        mutant.write_bytes(data)
        try:
            recording = load(mutant)
            everything(recording)
        except BadInput as error:
            assert "\n" not in str(error)
            outcomes["error"] += 1
        else:
            outcomes["part" if recording.problem else "whole"] += 1
    assert outcomes["part"] > 100
    assert outcomes["error"] > 10


def _mutate(data: bytearray, rng: np.random.Generator) -> None:
    at = int(rng.integers(len(data)))
    match int(rng.integers(5)):
        case 0:
            data[at] ^= 1 << int(rng.integers(8))
        case 1:
            data[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, 0xDD, 0xDF, 0xC6]))
        case 2:
            del data[at : at + int(rng.integers(1, 40))]
        case 3:
            data[at:at] = data[at : at + int(rng.integers(1, 60))]
        case _:
            data[at : at + 4] = struct.pack("<I", int(rng.integers(1 << 32)))


def _repair(data: bytearray) -> None:
    """Make the checksums right, as far as frames can be found."""
    at = len(frames.MAGIC)
    while at + frames.FRAME.size + 4 <= len(data):
        stored = frames.FRAME.unpack_from(data, at)[3]
        end = at + frames.FRAME.size + stored
        if end + 4 > len(data):
            return
        struct.pack_into("<I", data, end, zlib.crc32(data[at:end]))
        at = end + 4


def test_a_record_that_unpacks_to_more_than_it_says_is_refused() -> None:
    bomb = frames.frame(frames.Kind.MESSAGE, bytes(1 << 21))[frames.FRAME.size : -4]
    head = frames.FRAME.pack(frames.Kind.MESSAGE, 1, 0, len(bomb), len(bomb))
    with pytest.raises(BadInput, match="unpacks to other than"):
        frames.unpack(head, bomb, frames.CHECKSUM.pack(zlib.crc32(bomb, zlib.crc32(head))))


@pytest.mark.parametrize(
    "entry,text",
    [
        (BufferEntry(1, 1, 0x10000, 1 << 33), "lies outside"),
        (BufferEntry(1, 1, 0x10000, 0), "lies outside"),
        (BufferEntry(1, 1, 0x11000, 0x1000), "overlap"),
        (BufferEntry(1, 1, 0x20000, 0x1000, (Extent(0xFFF, 5, bytes(16)),)), "reach beyond"),
        (BufferEntry(1, 1, 0x20000, 0x1000, (Extent(0, 5, bytes(16)),)), "no content"),
        (BufferEntry(1, 1, 0x20000, 0x1000, (Extent(0, 6, digest(b"12345")),)), "has 5 bytes, not 6"),
        (BufferEntry(1, 1, 0x20000, 1 << 31, (Extent((1 << 31) - 5, 5, digest(b"12345")),)), "reach beyond"),
    ],
)
def test_a_submit_that_can_t_be_is_refused(entry: BufferEntry, text: str) -> None:
    store = Store()
    store.keep(b"12345")
    store.events.append(Submit(0, 0, (), (BufferEntry(2, 1, 0x10000, 0x2000), entry)))
    recording = store.recording("made", Header(""))
    with pytest.raises(BadInput, match=f"submit 0.*{text}"):
        to_submission(recording, next(recording.submits()))


def test_a_later_format_is_refused_by_its_number(tmp_path: Path) -> None:
    payload = frames._packed({"format": 3, "source": "tomorrow"})
    (tmp_path / "f.trace").write_bytes(frames.MAGIC + frames.frame(frames.Kind.HEADER, payload))
    with pytest.raises(BadInput, match="of format 3; this Hornito reads 2"):
        open_trace(tmp_path / "f.trace")


def test_records_and_fields_of_a_later_version_are_passed_over(tmp_path: Path) -> None:
    message = frames._packed({"time": 1, "text": "known", "colour": "red"})
    unknown = frames.FRAME.pack(77, 0, 0, 3, 3) + b"abc"
    parts = [frames.header_frame(Header("test")), unknown + frames.CHECKSUM.pack(zlib.crc32(unknown))]
    parts += [frames.frame(frames.Kind.MESSAGE, message), frames.frame(frames.Kind.END, b"")]
    (tmp_path / "f.trace").write_bytes(frames.MAGIC + b"".join(parts))
    recording = open_trace(tmp_path / "f.trace")
    assert list(recording.events()) == [Message(1, "known")]
    assert recording.problem == ""


@settings(max_examples=50, deadline=None)
@given(
    st.builds(
        Call,
        *(st.integers(0, 2**63 - 1) for _ in range(7)),
        st.binary(max_size=80),
        st.binary(max_size=80),
        st.integers(-(2**31), 2**31 - 1),
        st.integers(0, 200),
        st.dictionaries(st.text(max_size=8), st.binary(min_size=16, max_size=16), max_size=3),
    )
)
def test_any_call_survives(call: Call) -> None:
    packed = frames.event_frame(call)
    size = frames.FRAME.size
    kind, payload = frames.unpack(packed[:size], packed[size:-4], packed[-4:])
    assert frames.read_event(kind, payload) == call


def test_a_file_that_still_grows_is_read_as_far_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "f.trace"
    writer = samples.written(path, 3)
    recording = open_trace(path)
    assert len(list(recording.events())) == 3
    assert "still runs" in recording.problem
    writer.put(Message(9, "more"))
    writer.close()
    assert len(list(recording.events())) == 4
    assert recording.problem == ""


def test_a_recorder_that_is_killed_loses_nothing_that_was_written(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom tests.trace.samples import written\n"
        "writer = written(Path(sys.argv[1]), 200)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parent.parent.parent
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])}
    path = tmp_path / "f.trace"
    result = subprocess.run([sys.executable, "-c", script, path], env=environment, timeout=60, cwd=root)
    assert result.returncode == -signal.SIGKILL
    assert len(list(open_trace(path).events())) == 200


def test_a_full_disk_is_an_error_of_the_writer(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="can't be written"):
        TraceWriter("/dev/full", Header("test"))
    with pytest.raises(BadInput, match="can't be written"):
        TraceWriter(tmp_path / "no" / "f.trace", Header("test"))


def test_what_fails_while_an_event_is_made_is_reported_and_ends_the_recording(tmp_path: Path) -> None:
    writer = samples.written(tmp_path / "f.trace", 1)

    def broken(keeper: object) -> Event:
        raise KeyError("lost")

    with pytest.raises(BadInput, match="recording stopped"):
        writer.defer(broken)
    with pytest.raises(BadInput):
        writer.put(Message(1, "late"))
    with pytest.raises(BadInput):
        writer.close()
    assert len(list(open_trace(tmp_path / "f.trace").events())) == 1


def test_an_event_too_large_for_a_record_is_named_in_its_place(tmp_path: Path) -> None:
    entries = tuple(BufferEntry(number, 3, number << 12, 4096) for number in range(100_000))
    with TraceWriter(tmp_path / "f.trace", Header("test")) as writer:
        writer.put(Submit(7, 0, (), entries))
    (event,) = open_trace(tmp_path / "f.trace").events()
    assert isinstance(event, Message)
    assert "Submit 7 is not recorded" in event.text


def test_a_submit_of_very_many_buffers_is_read_again(tmp_path: Path) -> None:
    entries = tuple(BufferEntry(number, 3, number << 12, 4096) for number in range(20_000))
    with TraceWriter(tmp_path / "f.trace", Header("test")) as writer:
        writer.put(Submit(7, 0, (), entries))
    assert list(open_trace(tmp_path / "f.trace").events()) == [Submit(7, 0, (), entries)]


def test_submission_files_are_recordings_too() -> None:
    recording = from_archive("f.npz", samples.archive())
    found = samples.listings(to_submission(recording, submit) for submit in recording.submits())
    assert found == samples.listings(samples.archive().submissions)


@pytest.mark.parametrize(
    "name,content,text",
    [
        ("a.trace", b"no trace at all, only text", "is no recording"),
        ("a.npz", b"PK\3\4 broken", "a.npz"),
        ("empty", b"", "is no recording"),
        ("cut.trace", frames.MAGIC, "cut before its header"),
        ("zero.trace", frames.MAGIC + bytes(200), "damaged|no header|checksum"),
        ("mesa-nn-000-000.bin", bytes(100), "a descriptor has 136"),
    ],
)
def test_files_that_are_no_recordings_are_refused(tmp_path: Path, name: str, content: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=text) as caught:
        load(tmp_path / name)
    assert str(tmp_path / name) in str(caught.value)


def test_missing_files_and_empty_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        load(tmp_path / "none.trace")
    with pytest.raises(BadInput, match="folder without files"):
        load(tmp_path)


@pytest.mark.parametrize(
    "cls", [Header, Call, Submit, BufferEntry, Extent, Done, Written, JobTime, TensorPlace, Message]
)
def test_every_field_stands_in_the_format_s_page(cls: type[Any]) -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "trace-files.md").read_text(encoding="utf-8")
    assert [entry.name for entry in dataclasses.fields(cls) if f"`{entry.name}`" not in page] == []
