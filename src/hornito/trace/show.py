# SPDX-License-Identifier: MIT
"""How is a recording shown? Line by line while it is read: calls, and under each submit every word by name.

What submits say is in ``show_submit``, imported with the first one: the first lines appear at once.
"""

import enum
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hornito.trace.calls import arguments, changes, name_of, text_of, texts
from hornito.trace.records import WHOLE_SUBMIT, Call, Done, Event, JobTime, Message, Recording, Submit
from hornito.trace.selection import Selection
from hornito.words import counted


class Style(enum.Enum):
    """How a line may be set off."""

    PLAIN = enum.auto()
    HEADING = enum.auto()
    JOB = enum.auto()
    CALL = enum.auto()
    STRANGE = enum.auto()  # what no fact explains
    GUESS = enum.auto()  # what is inferred, or only known to be written
    NOTE = enum.auto()
    REMOVED = enum.auto()
    ADDED = enum.auto()


@dataclass(frozen=True)
class Shown:
    """A line of text."""

    text: str
    style: Style = Style.PLAIN


@dataclass(frozen=True)
class Options:
    """What is shown, and how much of it. ``chip`` overrides what the recording says."""

    selection: Selection = Selection()
    calls: bool = True
    streams: bool = True
    chip: str = ""


def show(recording: Recording, options: Options) -> Iterator[Shown]:
    """A recording as text, lazily. A submit that can't be understood is a line that says why."""
    header = recording.header
    told = [f"chip {header.chip}" if header.chip else "", " ".join(header.program)]
    yield Shown(f"{recording.path}: {', '.join([header.source, *filter(None, told)])}", Style.HEADING)
    for event in recording.events():
        if isinstance(event, Submit):
            if options.selection.has_submit(event.number):
                yield from _submit(recording, event, options)
        elif options.selection.everything and options.calls:
            yield _event(recording, event)


def _event(recording: Recording, event: Event) -> Shown:
    if isinstance(event, Call):
        return Shown(text_of(event, texts(event, recording.more)), Style.CALL)
    if isinstance(event, Done):
        what = "done" if event.status > 0 else f"killed ({event.status})"
        written = counted(sum(extent.length for one in event.written for extent in one.after), "byte")
        return Shown(f"{event.time / 1e9:12.6f} submit {event.submit} {what}, {written} written", Style.CALL)
    if isinstance(event, JobTime) and event.job == WHOLE_SUBMIT:
        return Shown(f"submit {event.submit}: {event.duration / 1e6:.3f} ms until its fence", Style.NOTE)
    if isinstance(event, JobTime):
        span = f"{event.start / 1e6:.3f} + {event.duration / 1e6:.3f} ms"
        return Shown(f"submit {event.submit}, job {event.job}: {event.unit} {span}", Style.NOTE)
    assert isinstance(event, Message)
    return Shown(f"{event.time / 1e9:12.6f} {event.origin}: {event.text}", Style.NOTE)


def _submit(recording: Recording, submit: Submit, options: Options) -> Iterator[Shown]:
    call = "" if submit.call is None else f", call {submit.call}, fence {submit.fence}"
    title = f"; {submit.title}" if submit.title else ""
    size = f"{counted(submit.stream_bytes // 4, 'word')}, {counted(len(submit.buffers), 'buffer')}"
    yield Shown(f"submit {submit.number}: {size}{call}{title}", Style.HEADING)
    if options.streams:
        from hornito.trace.show_submit import submit_lines

        yield from submit_lines(recording, submit, options)


def as_json(recording: Recording, options: Options) -> Iterator[dict[str, Any]]:
    """The events for programs, one by one, with the same selection."""
    for event in recording.events():
        if isinstance(event, Submit):
            if options.selection.has_submit(event.number):
                yield _submit_json(recording, event, options)
        elif options.selection.everything and options.calls:
            yield _event_json(recording, event)


def _event_json(recording: Recording, event: Event) -> dict[str, Any]:
    if isinstance(event, Call):
        return {
            **{"event": "call", "number": event.number, "name": name_of(event), "time": event.time},
            **{"duration": event.duration, "process": event.process, "thread": event.thread},
            **{"descriptor": event.descriptor, "arguments": arguments(event, event.sent)},
            **{"changed": changes(event) | texts(event, recording.more), "result": event.result, "errno": event.errno},
            "unseen": event.unseen,
        }
    if isinstance(event, Done):
        sizes = {str(one.buffer): sum(extent.length for extent in one.after) for one in event.written}
        return {"event": "done", "submit": event.submit, "time": event.time, "status": event.status, "written": sizes}
    if isinstance(event, JobTime):
        return {"event": "job time", **vars(event)}
    return {"event": "message", **vars(event)}


def _submit_json(recording: Recording, submit: Submit, options: Options) -> dict[str, Any]:
    found: dict[str, Any] = {"event": "submit", "number": submit.number, "title": submit.title}
    found |= {"call": submit.call, "fence": submit.fence, "words": submit.stream_bytes // 4}
    if options.streams:
        from hornito.trace.show_submit import submit_json

        found |= submit_json(recording, submit, options)
    return found
