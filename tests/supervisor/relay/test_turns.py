# SPDX-License-Identifier: MIT
"""Do submissions get their turns whatever becomes of those before them, and is memory that others write never told as
known?"""

import os
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from hornito.supervisor.relay import jobs as relayed_jobs
from hornito.supervisor.relay.buffers import Buffer, Handle
from hornito.supervisor.relay.files import RelayedFile
from hornito.supervisor.relay.jobs import Jobs, RelayedJob, Use
from hornito.trace.assembly import Begun
from hornito.trace.copies import OwnCopies
from hornito.trace.recorded_relay import RecordedRelay
from hornito.uapi.etnaviv import SubmitBoFlag

BOTH = SubmitBoFlag.READ | SubmitBoFlag.WRITE
SHORT, LONG = 0.05, 60.0


class Nowhere:
    """A ``Kernel`` that closes descriptors; closing one of ``bad`` fails."""

    def __init__(self) -> None:
        self.bad: set[int] = set()

    def close(self, fd: int) -> None:
        if fd in self.bad:
            raise OSError(5, "it is broken")
        os.close(fd)

    def ioctl(self, fd: int, request: int, arg: Any) -> int:
        raise OSError(25, "no sync file")


class Content(Buffer):
    """A buffer that is all here."""

    def __init__(self) -> None:
        super().__init__(Handle(cast(Any, None), -1, 0), 4096, cached=False)

    def content(self) -> bytearray:
        return bytearray(b"seen".ljust(4096, b"\0"))


class NoFile:
    """An open file that can't be closed."""

    fd = -1
    buffers: tuple[Buffer, ...] = ()


class Looker:
    """A ``RelayWatcher`` that keeps which jobs it prepared, and what was busy then."""

    def __init__(self) -> None:
        self.prepared: list[tuple[RelayedJob, frozenset[int]]] = []

    def prepares(self, job: RelayedJob) -> None:
        self.prepared.append((job, job.busy))

    def begins(self, job: RelayedJob) -> None: ...

    def ended(self, job: RelayedJob) -> None: ...

    def dropped(self, job: RelayedJob) -> None: ...

    def forgets(self, buffer: Buffer) -> None: ...


@pytest.fixture
def looker() -> Looker:
    return Looker()


@pytest.fixture
def kernel() -> Nowhere:
    return Nowhere()


@pytest.fixture
def jobs(looker: Looker, kernel: Nowhere, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jobs]:
    monkeypatch.setattr(relayed_jobs, "_GRANT", SHORT)
    monkeypatch.setattr(relayed_jobs, "_HOLD", LONG)
    monkeypatch.setattr(relayed_jobs, "_FAREWELL", 0)
    found = Jobs(cast(Any, kernel), looker)
    yield found
    found.close()


def job_on(buffer: Buffer) -> RelayedJob:
    file = cast(RelayedFile, NoFile())
    return RelayedJob(file, 0, b"", (Use(int(BOTH), 1, 0, buffer),))


def comes(job: RelayedJob, seconds: float = 5) -> bool:
    """Whether it becomes ready in that time."""
    happened = threading.Event()
    job.ready.when_signalled(happened.set)
    return happened.wait(seconds)


def hand_in(jobs: Jobs, job: RelayedJob) -> int:
    """It runs until what is returned is written to."""
    job.sync_fd = os.eventfd(0)
    end = os.dup(job.sync_fd)
    jobs.submitted(job)
    return end


def test_one_that_was_let_go_and_never_comes_keeps_nobody_waiting(jobs: Jobs) -> None:
    first, second = job_on(Content()), job_on(Content())
    jobs.ask(first)
    assert comes(first)
    jobs.ask(second)
    assert comes(second) and jobs.take(second)
    jobs.abandon(second)


def test_one_that_comes_too_late_is_looked_at_again(jobs: Jobs, looker: Looker) -> None:
    shared = Content()
    late, other = job_on(shared), job_on(shared)
    jobs.ask(late)
    assert comes(late)
    jobs.ask(other)
    assert comes(other) and jobs.take(other)
    end = hand_in(jobs, other)
    assert not jobs.take(late)
    assert not comes(late, SHORT)  # what it is to find is still being written
    os.eventfd_write(end, 1)
    os.close(end)
    assert comes(late) and jobs.take(late)
    assert [job for job, _ in looker.prepared] == [late, other, late]
    jobs.abandon(late)


def test_one_that_is_being_made_is_waited_for_however_long_it_takes(jobs: Jobs) -> None:
    slow, other = job_on(Content()), job_on(Content())
    jobs.ask(slow)
    assert comes(slow) and jobs.take(slow)
    jobs.ask(other)
    assert not comes(other, 4 * SHORT)
    jobs.abandon(slow)
    assert comes(other) and jobs.take(other)
    jobs.abandon(other)


def test_a_job_that_waits_for_what_comes_after_it_lets_that_come(
    jobs: Jobs, looker: Looker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relayed_jobs, "_HOLD", SHORT)
    shared = Content()
    waiting, later = job_on(shared), job_on(shared)
    jobs.ask(waiting)
    assert comes(waiting) and jobs.take(waiting)
    end = hand_in(jobs, waiting)
    jobs.ask(later)
    assert comes(later) and jobs.take(later)
    assert looker.prepared[1] == (later, frozenset({shared.identity}))
    jobs.abandon(later)
    os.eventfd_write(end, 1)
    os.close(end)


def test_what_goes_wrong_for_one_job_ends_no_other(jobs: Jobs, looker: Looker, kernel: Nowhere) -> None:
    one, other = job_on(Content()), job_on(Content())

    def fail(job: RelayedJob) -> None:
        raise OSError(12, "no memory")

    looker.dropped = looker.ended = fail  # type: ignore[method-assign]
    jobs.ask(one)
    assert comes(one) and jobs.take(one)
    end = hand_in(jobs, one)
    kernel.bad.add(one.sync_fd)
    gone = cast(RelayedFile, NoFile())
    jobs.release(gone)  # closing it is an error
    jobs.abandon(job_on(Content()))
    os.eventfd_write(end, 1)
    settled = threading.Event()
    one.settled.when_signalled(settled.set)
    assert settled.wait(5)
    jobs.ask(other)
    assert comes(other) and jobs.take(other)
    os.close(end)
    os.close(one.sync_fd)


def test_what_another_job_may_be_writing_is_not_told_as_known() -> None:
    begun: list[Begun] = []
    recorder = SimpleNamespace(copies=OwnCopies(), begun=lambda key, what: begun.append(what))
    device = SimpleNamespace(watch=lambda watcher: None, tell=lambda logged, dumped: None)
    relay = RecordedRelay(cast(Any, device), cast(Any, recorder))
    free, written = Content(), Content()
    job = job_on(free)
    job.uses = (*job.uses, *job_on(written).uses)
    job.busy = frozenset({written.identity})
    relay.prepares(job)
    relay.begins(job)
    assert [placed.before is not None for placed in begun[0].buffers] == [True, False]
