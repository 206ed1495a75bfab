# SPDX-License-Identifier: MIT
"""Does ``show`` name every word, leave nothing out, and select what was asked for?"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hornito.errors import BadInput
from hornito.stream import Archive, Submission, listing
from hornito.trace.calls import text_of
from hornito.trace.load import load
from hornito.trace.records import BufferEntry, Call, Header, Recording, Store
from hornito.trace.selection import JobNumber, Selection, job_numbers
from hornito.trace.show import Options, Style, as_json, show
from hornito.trace.submissions import from_archive, to_submission
from hornito.uapi import etnaviv
from hornito.uapi.ioctl import Ioctl, Struct
from tests.trace import samples


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return load(samples.recorded(tmp_path_factory.mktemp("recordings") / "layer.trace", stride=2))


def texts(recording: Recording, **options: object) -> list[str]:
    return [line.text for line in show(recording, Options(**options))]  # type: ignore[arg-type]


def test_every_line_of_the_listing_is_shown(recording: Recording) -> None:
    found = texts(recording)
    for submit in recording.submits():
        lines = listing(to_submission(recording, submit))
        values = [line for line in lines if " = " in line or "ZERO" in line]
        assert len(values) >= 7
        assert [line for line in values if not any(shown.startswith(line) for shown in found)] == []


def test_calls_results_and_messages_are_shown_around_submits(recording: Recording) -> None:
    found = texts(recording)
    (call,) = [line for line in found if "GEM_NEW" in line and "0.000001" in line]
    assert call.split("] ")[1] == "ETNAVIV_GEM_NEW(size=4096, flags=WC, handle=0) = 0 {handle=2} <0.000000>"
    assert found[-1].endswith("recorder: all is well")
    assert any("submit 1 done, 300 bytes written" in line for line in found)
    assert any(line == "submit 1, job 0: TP 0.000 + 0.002 ms" for line in found)


@pytest.mark.parametrize(
    "argument,ioctl,text",
    [
        (etnaviv.GetParam(param=0x1B), etnaviv.GET_PARAM, "param=SOFTPIN_START_ADDR"),
        (etnaviv.GetParam(param=0x99), etnaviv.GET_PARAM, "param=0x99"),
        (etnaviv.GemCpuPrep(op=7), etnaviv.GEM_CPU_PREP, "op=READ|WRITE|NOSYNC"),
        (etnaviv.GemSubmit(flags=0x88), etnaviv.GEM_SUBMIT, "exec_state=PIPE_3D"),
        (etnaviv.GemSubmit(flags=0x88), etnaviv.GEM_SUBMIT, "flags=SOFTPIN|0x80"),
        (etnaviv.GemWait(), etnaviv.GEM_WAIT, "flags=0,"),
    ],
)
def test_numbers_that_have_names_show_them(argument: Struct, ioctl: Ioctl[Any], text: str) -> None:
    content = bytes(argument)
    assert text in text_of(Call(0, 0, 0, 1, 1, 3, ioctl.number, content, content))


def test_an_unknown_call_shows_its_number_and_bytes() -> None:
    call = Call(0, 0, 0, 1, 1, 3, 0xC0106499, b"ab", b"ac", -1, 22)
    assert text_of(call).endswith("ioctl(READ_WRITE, 'd', 0x99, 16)(bytes='6162') = -1 EINVAL <0.000000>")


def test_jobs_coefficients_and_tensors_are_explained(recording: Recording) -> None:
    found = texts(recording)
    assert "  job 2: NN: convolution 2x2, 5x5x16 -> 4x4x8 (x by y by z)" in found
    (coefficients,) = [line for line in found if "coefficients:" in line]
    assert "512 weights and 8 biases" in coefficients
    assert "8 cores" in coefficients
    source = next(line for line in found if "in_image_address" in line)
    assert source.endswith("(from job 1)")
    first = next(line for line in found if "in_image_base_address" in line)
    assert "input T#" in first
    assert any("GL_FLUSH_CACHE? = 0xc23  (depth, colour, shader_l1, unknown_10, unknown_11)" in line for line in found)


@pytest.mark.parametrize(
    "selection,jobs",
    [
        (Selection(jobs=(JobNumber(2),)), {2}),
        (Selection(jobs=(JobNumber(1), JobNumber(3, 1))), {1, 3}),
        (Selection(jobs=(JobNumber(1, 0),)), set()),
        (Selection(units=("NN",)), {2}),
        (Selection(units=("TP",)), {0, 1, 3}),
        (Selection(fields=("KERNEL_*",)), {2}),
        (Selection(units=("TP",), jobs=(JobNumber(2),)), set()),
        (Selection(submits=(0,)), set()),
    ],
)
def test_selections_choose_jobs(recording: Recording, selection: Selection, jobs: set[int]) -> None:
    found = texts(recording, selection=selection)
    assert {int(line.split()[1][:-1]) for line in found if line.startswith("  job ")} == jobs
    assert not any("GEM_NEW" in line for line in found)
    events = [event for event in as_json(recording, Options(selection=selection)) if event["event"] == "submit"]
    assert {line["job"] for event in events for line in event["lines"] if "job" in line} == jobs


def test_fields_are_chosen_by_pattern(recording: Recording) -> None:
    found = texts(recording, selection=Selection(fields=("out_zp", "gl_nn_*")))
    names = {line.split(" = ")[0].split()[-1] for line in found if " = " in line}
    assert names == {"out_zp", "GL_NN_CONFIG"}


def test_json_says_what_the_text_says(recording: Recording) -> None:
    events = list(as_json(recording, Options()))
    assert json.loads(json.dumps(events)) == events
    kinds = [event["event"] for event in events]
    assert kinds == ["call", "submit", "job time", "done"] * 2 + ["message"]
    submit = events[5]
    assert [job["unit"] for job in submit["jobs"]] == ["TP", "TP", "NN", "TP"]
    coefficients = submit["jobs"][2]["coefficients"]
    assert coefficients["weights"] == 512
    assert sum(stream["kernels"] for stream in coefficients["streams"]) == 8
    address = next(line for line in submit["lines"] if line["name"] == "kernel_address")
    assert address["pointer"] == {"buffer": "coef0", "offset": 0}
    assert address["confidence"] == "replayed"


def test_unknown_words_are_shown_and_set_off() -> None:
    stream = np.array([0x08010ABC, 0x1234, 0x08010E4F, 7, 0xF8000000, 5], np.uint32)
    lines = list(show(from_archive("odd", Archive((Submission(stream),))), Options()))
    strange = [line.text for line in lines if line.style is Style.STRANGE]
    assert strange[0] == "    0  08010abc  state 0x02af0? = 0x1234"
    assert strange[1].startswith("    2  08010e4f  GL_OCB_REMAP_START = 0x7?")
    assert strange[2].startswith("? word 4: 0xf8000000 has the unknown opcode")
    assert strange[3:] == ["    4  f8000000  ?", "    5  00000005  ?"]


def changed(made: Store, change: Callable[[BufferEntry, bytes], tuple[int, bytes]]) -> Recording:
    """The last submit alone, each of its buffers of another size and contents."""
    recording = made.recording("made", Header("test", "vipnano-qi"))
    *_, submit = recording.submits()
    buffers = []
    for entry in submit.buffers:
        size, content = change(entry, recording.bytes_of(entry.before))
        buffers.append(dataclasses.replace(entry, size=size, before=made.keep(content)))
    made.events[:] = [dataclasses.replace(submit, buffers=tuple(buffers))]
    return recording


def test_bytes_behind_a_descriptor_are_shown() -> None:
    def with_rest(entry: BufferEntry, content: bytes) -> tuple[int, bytes]:
        return (4096, content.ljust(200, b"\0") + b"old") if entry.size in (124, 136) else (entry.size, content)

    recording = changed(samples.store(samples.archive()), with_rest)
    found = [line.text for line in show(recording, Options()) if line.style is Style.STRANGE]
    assert [line.split()[:2] for line in found] == [["00c0", "00000000"]] * 3
    assert all("6f6c64" in line for line in found)


def test_coefficients_that_can_t_be_read_are_a_line_that_says_why() -> None:
    def broken(entry: BufferEntry, content: bytes) -> tuple[int, bytes]:
        is_coefficients = entry.size > 136 and content
        return entry.size, bytes([content[0] ^ 1]) + content[1:] if is_coefficients else content

    recording = changed(samples.store(samples.archive()), broken)
    (line,) = [line for line in show(recording, Options()) if line.style is Style.STRANGE]
    assert "coefficients: core 0: a stream of" in line.text


@pytest.mark.parametrize("text", ["x", "1.2.3", "-1", "5-2", "1.4-2.5", "", "1..2", "0-999999999"])
def test_jobs_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        job_numbers(text)


def test_ranges_of_jobs() -> None:
    assert job_numbers("3,5-6") == [JobNumber(3), JobNumber(5), JobNumber(6)]
    assert job_numbers("1.3-4,2.0-2.1") == [JobNumber(3, 1), JobNumber(4, 1), JobNumber(0, 2), JobNumber(1, 2)]


def test_whole_goldens_decode(shared: Path) -> None:
    """Of both generations, nothing strange in them but what the reference driver left behind."""
    for folder in ("vipnano-qi", "vipnano-si-plus"):
        recording = load(shared / "goldens" / folder / "mobilenet_v1_1.0_224_quant.npz")
        lines = list(show(recording, Options()))
        assert [line.text for line in lines if line.style is Style.STRANGE] == []
        assert sum("coefficients:" in line.text for line in lines) == 28
