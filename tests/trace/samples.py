# SPDX-License-Identifier: MIT
"""Small recordings to test with: compiled from models of our own, with calls and results beside them."""

import dataclasses
import functools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from hornito.compiler import Options, compile_graph
from hornito.hardware.chips import find_chip
from hornito.stream import Archive, Submission, listing
from hornito.trace.records import Call, Done, Header, JobTime, Message, Store, Submit, Written
from hornito.trace.submissions import add_submission
from hornito.trace.writer import TraceWriter, save
from hornito.uapi import etnaviv
from tests.compiler.networks import Layer


@functools.cache
def archive(chip: str = "vipnano-qi", **layer: Any) -> Archive:
    """A compiled layer: transpose, convolution, detranspose (and a reshuffle for a stride of 2)."""
    return compile_graph(Layer(**layer).graph(), Options(find_chip(chip))).archive


def listings(submissions: Iterable[Submission]) -> list[list[str]]:
    """Submissions as text, without the zeros that end their buffers: a file may leave them out or not."""
    found = []
    for submission in submissions:
        buffers = tuple(
            buffer if buffer.data is None else dataclasses.replace(buffer, data=np.trim_zeros(buffer.data, "b"))
            for buffer in submission.buffers
        )
        found.append(listing(dataclasses.replace(submission, buffers=buffers)))
    return found


def store(made: Archive) -> Store:
    """Its submissions, with calls around each submit, and what it wrote."""
    found = Store()
    names = np.random.default_rng(1)
    for number, submission in enumerate(made.submissions):
        request = etnaviv.GemNew(size=4096, flags=etnaviv.BoFlag.WC)
        answer = etnaviv.GemNew(size=4096, flags=etnaviv.BoFlag.WC, handle=number + 1)
        found.events.append(
            Call(2 * number, 1000 * number, 70, 11, 12, 3, etnaviv.GEM_NEW.number, bytes(request), bytes(answer))
        )
        submit = add_submission(found, submission)
        assert isinstance(submit, Submit)
        after = found.keep(names.integers(0, 256, 300, np.uint8).tobytes())
        written = (Written(0, after),) if submission.buffers else ()
        found.events.append(JobTime(number, 0, "TP", 100, 2000))
        found.events.append(Done(number, 1000 * number + 500, 1, written))
    found.events.append(Message(5000, "all is well", "recorder"))
    return found


def recorded(path: Path, chip: str = "vipnano-qi", **layer: Any) -> Path:
    """A recording of it, as a file."""
    made = archive(chip, **layer)
    save(store(made).recording("made", Header("test", made.chip, ("program", "argument"), 17)), path)
    return path


def written(path: Path, count: int) -> TraceWriter:
    """A writer that was given so many messages."""
    writer = TraceWriter(path, Header("test"))
    for number in range(count):
        writer.put(Message(number, f"message {number}"))
    return writer
