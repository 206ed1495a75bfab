# SPDX-License-Identifier: MIT
"""Are core dumps and doctor's reports read as recordings?"""

import io
from pathlib import Path

import numpy as np
import pytest

from hornito.cost import Work
from hornito.doctor.report import JobResult, Patient, Report, Verdict
from hornito.doctor.report_file import pack_failure, pack_report
from hornito.errors import BadInput
from hornito.stream import Submission
from hornito.trace.load import load
from hornito.trace.records import Done, Message, Submit
from hornito.trace.show import Options, Style, show
from hornito.trace.submissions import to_submission
from hornito.trace.view import view
from hornito.uapi.coredump import CoreDump, Section, SectionType, encode, pages, registers
from tests.trace import samples

COMMANDS = 0x3000


@pytest.fixture(scope="module")
def submission() -> Submission:
    return samples.archive().submissions[1]


@pytest.fixture
def dump(tmp_path: Path, submission: Submission) -> Path:
    """Of a hang in the convolution, as the kernel would leave it."""
    stream = [*submission.stream.tolist(), 0x40000007, 0x1040]
    sections = [
        registers([(0x004, 0x7FFDFFFE), (0x664, COMMANDS + 0x50), (0x100, 1)]),
        Section(SectionType.RING, np.array([0x40000001, COMMANDS], "<u4").tobytes().ljust(4096, b"\0"), 0x1000),
        Section(SectionType.COMMANDS, np.array(stream, "<u4").tobytes(), COMMANDS),
        pages(range(0, 1 << 16, 4096)),
    ]
    for buffer in reversed(submission.buffers):
        content = b"" if buffer.data is None else buffer.data.tobytes()
        sections.append(Section(SectionType.BUFFER, content.ljust(buffer.size, b"\0"), buffer.address))
    path = tmp_path / "devcoredump.bin"
    path.write_bytes(encode(CoreDump(tuple(sections))))
    return path


def test_a_core_dump_is_the_stream_that_hung_with_its_buffers(dump: Path, submission: Submission) -> None:
    recording = load(dump)
    hung, ring = recording.submits()
    assert hung.title == "the stream at 0x3000; the front end stood at word 20"
    assert [job.unit for job in view(recording, hung).jobs] == ["TP", "NN", "TP"]
    found = to_submission(recording, hung)
    assert [buffer.kind for buffer in found.buffers] == [buffer.kind for buffer in submission.buffers]
    assert found.stream[:-2].tolist() == submission.stream.tolist()
    assert to_submission(recording, ring).stream.tolist() == [0x40000001, COMMANDS]
    lines = list(show(recording, Options()))
    assert [line.text for line in lines if line.style is Style.STRANGE] == []
    assert any("busy: FE, NN" in line.text for line in lines)
    assert any("FE_DMA_ADDRESS (0x664) = 0x00003050" in line.text for line in lines)


def test_a_core_dump_that_was_cut_is_refused(dump: Path) -> None:
    dump.write_bytes(dump.read_bytes()[:-10])
    with pytest.raises(BadInput, match="devcoredump.bin: core dump: .*cut short"):
        load(dump)


def result(name: str, verdict: Verdict, file: str = "") -> JobResult:
    return JobResult(name, "Conv2D", "nn", "CONV_2D", (), verdict, Work(), file=file)


@pytest.fixture
def report(tmp_path: Path, submission: Submission) -> Path:
    patient = Patient("renderD128", True, "vipnano-qi-88-0", 0, "etnaviv", "1.4", {}, (), "6.12", "aarch64", "", ())
    jobs = (result("Conv2D/a#0", Verdict.PASS), result("Conv2D/b#0", Verdict.DIFFERS, "failures/000.zip"))
    output = np.arange(submission.outputs[0].bytes, dtype=np.uint8)
    failure = pack_failure(submission, (bytes(len(output)),), [output])
    path = tmp_path / "report.zip"
    content = io.BytesIO()
    pack_report(content, Report(patient, jobs, 1.0, messages=("etnaviv: hung",)), {"failures/000.zip": failure})
    path.write_bytes(content.getvalue())
    return path


def test_a_report_is_its_jobs_and_those_that_failed(report: Path, submission: Submission) -> None:
    recording = load(report)
    assert recording.header.chip == "vipnano-qi-88-0"
    events = list(recording.events())
    texts = [event.text for event in events if isinstance(event, Message)]
    assert texts == ["etnaviv: hung", "Conv2D/a#0: NN CONV_2D, pass", "Conv2D/b#0: NN CONV_2D, differs"]
    (submit,) = [event for event in events if isinstance(event, Submit)]
    assert submit.title == "Conv2D/b#0, differs"
    assert samples.listings([to_submission(recording, submit)])[0][:40] == samples.listings([submission])[0][:40]
    (done,) = [event for event in events if isinstance(event, Done)]
    (written,) = done.written
    assert submit.buffers[written.buffer].address == submission.buffers[submission.outputs[0].buffer].address
    assert recording.bytes_of(written.after)[:3] == bytes([0, 1, 2])


@pytest.mark.parametrize("content", [b"", b"no zip", bytes(100)])
def test_a_report_with_a_broken_file_is_refused(report: Path, content: bytes) -> None:
    from zipfile import ZipFile

    with ZipFile(report) as file:
        entries = {name: file.read(name) for name in file.namelist()}
    with ZipFile(report, "w") as file:
        for name, old in entries.items():
            file.writestr(name, content if name.startswith("failures") else old)
    with pytest.raises(BadInput, match="failures/000.zip: can't be read"):
        load(report)
