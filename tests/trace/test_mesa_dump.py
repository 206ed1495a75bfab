# SPDX-License-Identifier: MIT
"""Are the files of ``ETNA_MESA_DEBUG=dump_shaders`` read as what they are: jobs, with or without their streams?"""

import os
from pathlib import Path

import numpy as np
import pytest

from hornito.errors import BadInput
from hornito.stream import Submission
from hornito.stream.annotate import LineKind, annotate
from hornito.trace.load import load, load_all
from hornito.trace.records import Submit
from hornito.trace.show import Options, Style, show
from hornito.trace.submissions import to_submission
from hornito.trace.view import SubmitView, view
from tests.trace import samples

PAGE = 4096


def dump(folder: Path, submission: Submission, batched: bool = True) -> Path:
    """What Mesa's driver would write for it."""
    folder.mkdir(parents=True)
    seen = SubmitView(Submit(0, 0, ()), submission)
    for job in seen.jobs:
        for core, one in enumerate(job.descriptors):
            data = submission.buffers[one.buffer].data
            assert data is not None
            name = f"mesa-{job.unit.lower()}-{job.number:03}-{core:03}.bin"
            (folder / name).write_bytes(data.tobytes().ljust(PAGE, b"\0"))
            if job.unit == "NN":
                number = submission.buffer_at(one.fields["kernel_address"] << 6)
                assert number is not None
                blob = submission.buffers[number].data
                assert blob is not None
                (folder / f"mesa-compressed-{job.number:03}-000.bin").write_bytes(blob.tobytes().ljust(PAGE, b"\0"))
        if not batched:
            lines = [line for line in annotate(submission) if line.job is not None and line.job.number == job.number]
            states = [line for line in lines if line.kind is LineKind.STATE]
            words = [0] * 8 + [word for line in states for word in (line.words[0], line.value)] + [0, 0]
            (folder / f"mesa-cmd-{job.number:03}-000.bin").write_bytes(np.array(words, "<u4").tobytes())
            read = job.descriptors[0].footprint.read
            content = bytes(range(1, 1 + min(250, read.end - read.start)))
            (folder / f"mesa-input-{job.number:03}-000.bin").write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def submission() -> Submission:
    return samples.archive(stride=2).submissions[1]


def fields(seen: SubmitView) -> list[tuple[str, int]]:
    return [(line.name, line.value) for line in seen.lines if line.kind is LineKind.FIELD]


def test_a_folder_is_one_submit_of_all_jobs(tmp_path: Path, submission: Submission) -> None:
    recording = load(dump(tmp_path / "dump", submission))
    (submit,) = recording.submits()
    seen = view(recording, submit)
    assert [job.unit for job in seen.jobs] == ["TP", "TP", "NN", "TP"]
    expected = [(line.name, line.value) for line in annotate(submission) if line.kind is LineKind.FIELD]
    assert fields(seen) == expected
    assert seen.coefficients(seen.jobs[2].descriptors[0]).count == 512
    assert "made up" in submit.title
    found = to_submission(recording, submit)
    assert (found.stream == submission.stream)[[8, 10, 12, 14]].all()
    assert [line.text for line in show(recording, Options()) if line.style is Style.STRANGE] == []


def test_streams_that_were_dumped_make_a_submit_each(tmp_path: Path, submission: Submission) -> None:
    recording = load(dump(tmp_path / "dump", submission, batched=False))
    submits = list(recording.submits())
    assert [submit.title for submit in submits] == [f"job {number}" for number in range(4)]
    seen = [view(recording, submit) for submit in submits]
    expected = [(line.name, line.value) for line in annotate(submission) if line.kind is LineKind.FIELD]
    assert [pair for one in seen for pair in fields(one)] == expected
    read = seen[0].jobs[0].descriptors[0].footprint.read
    number = seen[0].submission.buffer_at(read.start)
    assert number is not None
    data = seen[0].submission.buffers[number].data
    assert data is not None
    assert data[read.start - seen[0].submission.buffers[number].address] == 1


def test_files_named_one_by_one_make_one_recording(tmp_path: Path, submission: Submission) -> None:
    folder = dump(tmp_path / "dump", submission)
    paths = sorted(folder.glob("mesa-nn-*")) + sorted(folder.glob("mesa-compressed-*"))
    (recording,) = load_all(paths)
    (submit,) = recording.submits()
    assert [job.unit for job in view(recording, submit).jobs] == ["NN"]
    alone = load(paths[0])
    lines = list(show(alone, Options()))
    address = next(line.value << 6 for line in annotate(submission) if line.name == "kernel_address")
    (strange,) = [line.text.strip() for line in lines if line.style is Style.STRANGE]
    assert strange == f"? no coefficients were recorded at {address:#x}"


@pytest.mark.parametrize(
    "name,content,text",
    [
        ("mesa-tp-000-000.bin", bytes(100), "a descriptor has 124"),
        ("mesa-cmd-000-000.bin", bytes(7), "whole words"),
        ("mesa-tp-002-000.bin", bytes(4096), "runs on NN; keep the files of one partition alone"),
    ],
)
def test_files_that_do_not_fit_are_refused(
    tmp_path: Path, submission: Submission, name: str, content: bytes, text: str
) -> None:
    folder = dump(tmp_path / "dump", submission)
    (folder / name).write_bytes(content)
    for path in folder.iterdir():
        os.utime(path, ns=(1, 1))
    with pytest.raises(BadInput, match=text):
        load(folder)


def test_partitions_are_told_apart_by_the_files_times(tmp_path: Path, submission: Submission) -> None:
    """The second partition has three jobs, of other units than the first one's."""
    folder = dump(tmp_path / "dump", submission)
    for path in folder.iterdir():
        os.utime(path, ns=(1000, 1000))
    second = dump(tmp_path / "second", samples.archive().submissions[1])
    for path in second.iterdir():
        path = path.rename(folder / path.name)
        os.utime(path, ns=(5000, 5000 + int(path.name[-11:-8])))
    first, last = load(folder).submits()
    assert "jobs 1-3 alone, others were written over" in first.title
    assert [job.unit for job in view(load(folder), last).jobs] == ["TP", "NN", "TP"]
    assert [job.unit for job in view(load(folder), first).jobs] == ["TP", "NN", "TP"]


@pytest.mark.parametrize("seed", range(5))
def test_descriptors_of_random_words_are_shown(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    folder = tmp_path / "dump"
    folder.mkdir()
    for number in range(4):
        kind = "nn" if number % 2 else "tp"
        (folder / f"mesa-{kind}-{number:03}-000.bin").write_bytes(rng.integers(0, 256, 4096, np.uint8).tobytes())
        (folder / f"mesa-cmd-{number:03}-000.bin").write_bytes(rng.integers(0, 256, 400, np.uint8).tobytes())
    assert len(list(show(load(folder), Options()))) > 100
