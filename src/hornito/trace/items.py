# SPDX-License-Identifier: MIT
"""Of what is a submit made, and how alike are two such parts? Its jobs, and the commands outside of all jobs: what is
laid side by side wherever submissions are compared."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hornito.stream.annotate import ADDRESS_FIELDS, TRIGGERS, Line, LineKind
from hornito.trace.view import SubmitView

SUBMIT, JOB, COMMAND = "submit", "job", "command"


@dataclass(frozen=True)
class Item:
    """A job, a command outside of all jobs, or the beginning of a submit. ``key``: all of it but addresses and
    coefficients; ``sort``: items of other sorts are never partners; ``values``: what makes two of them similar."""

    kind: str
    submit: int  # its index among the recording's submits
    key: tuple[Any, ...]
    sort: str
    values: tuple[int, ...] = ()
    job: int = -1
    lines: tuple[Line, ...] = ()


def items_of(index: int, seen: SubmitView) -> Iterator[Item]:
    yield Item(SUBMIT, index, (SUBMIT,), SUBMIT)
    gathered: list[Line] = []
    for line in seen.lines:
        if gathered and (line.job is None or gathered[-1].job is None or line.job.number != gathered[-1].job.number):
            yield _item(index, gathered)
            gathered = []
        gathered.append(line)
    if gathered:
        yield _item(index, gathered)


def _item(index: int, lines: Sequence[Line]) -> Item:
    first = lines[0]
    key = tuple((line.name, _core(line), _plain(line)) for line in lines)
    if first.job is None:
        return Item(COMMAND, index, key, f"{first.kind.value} {first.name}", lines=tuple(lines))
    fields = tuple(_plain(line) for line in lines if line.kind is LineKind.FIELD)
    unit = first.job.unit
    return Item(JOB, index, (unit, key), unit, fields, first.job.number, tuple(lines))


def _core(line: Line) -> int | None:
    return None if line.job is None else line.job.core


def _plain(line: Line) -> int:
    """A line's value without what depends on where buffers lie."""
    if line.name in ADDRESS_FIELDS:
        return -1 if line.pointer is None else line.pointer.offset
    if line.state is not None and line.state.index in TRIGGERS:
        return -1
    return line.value


def similarity(old: Item, new: Item) -> float:
    """0 for what can't be partners; between 1 and 2 otherwise, the more values are the same the more."""
    if old.sort != new.sort:
        return 0.0
    # A job of other cores has other many descriptors; the first ones are compared.
    length = min(len(old.values), len(new.values))
    if not length:
        return 1.0
    return 1.0 + sum(map(int.__eq__, old.values, new.values)) / length
