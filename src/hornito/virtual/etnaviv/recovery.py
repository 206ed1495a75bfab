# SPDX-License-Identifier: MIT
"""What does the kernel do about a job that hangs or faults? It logs, keeps a core dump, and lets the others go on.

As Linux from 6.4: an MMU fault ends the job at once; the log names the process; of the jobs that the core already had,
those of the killed job's client go too. A line of our own says why.
"""

import contextlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from hornito.errors import BadStream
from hornito.hardware.chips import Chip
from hornito.uapi.messages import PREFIX, RECOVERED, doubt_line, fault_lines, offender_line, refusal_line
from hornito.uapi.recovery import RING_JOBS
from hornito.virtual.etnaviv.core_dump import core_dump
from hornito.virtual.etnaviv.scheduler import Cancelled, Job
from hornito.virtual.faults import Fault, MMUFault

_log = logging.getLogger(__name__)
Dumped = Callable[[bytes], None]


class Recovery:
    """Deals with killed jobs of one device. ``armed``: the next one leaves a core dump, as once after the driver was
    loaded. ``dumped`` is called with it, in the worker's thread, and must not call the device; where nobody takes
    it so, ``dumps`` keeps it."""

    def __init__(self, chip: Chip, pool_fd: int) -> None:
        self.armed = True
        self.dumped: Dumped | None = None
        self.dumps: list[bytes] = []
        self._chip = chip
        self._fd = pool_fd

    def recover(self, job: Job) -> bool:
        """The worker calls it before anybody learns that the job has ended; sets the job's lines. Was it killed?"""
        if job.timeline is not None and job.timeline.doubt is not None:
            job.lines = [PREFIX + doubt_line(job.fence.number, job.timeline.doubt)]
        if job.error is None or isinstance(job.error, Cancelled):
            return False
        job.lines += _log_lines(job)
        if not self.armed or job.timeline is None:
            return True
        self.armed = False
        try:
            dump = core_dump(job, self._chip, self._fd)
            if self.dumped is None:
                self.dumps.append(dump)
            else:
                self.dumped(dump)
        except Exception:  # a dump is a help; the job's end must not depend on it
            _log.exception("the core dump could not be kept")
        return True


def doom(killed: Job, waiting: Iterable[Job]) -> None:
    """Of the jobs that the core had behind ``killed`` (the first of all that wait), let those of its client not run.

    The scheduler resubmits the others, and they lose nothing."""
    for job, _ in zip(waiting, range(RING_JOBS - 1), strict=False):
        if job.file is killed.file:
            job.doomed = True


def _log_lines(job: Job) -> list[str]:
    error = job.error
    lines: list[str] = []
    if isinstance(error, Fault):
        unit, number, address, reason = error.unit, error.job, error.address, error.text
    else:
        unit = "FE" if isinstance(error, BadStream) else "executor"
        number, address, reason = None, None, f"{type(error).__name__}: {error}"
    if isinstance(error, MMUFault) and error.address is not None:
        code = job.file.tables.exception(error.address, error.write)
        if code is not None:
            lines += fault_lines(code, error.address)
    lines.append(PREFIX + RECOVERED)
    lines += _offender(job.pid)
    return [*lines, PREFIX + refusal_line(job.fence.number, unit, reason, number, address)]


def _offender(pid: int) -> list[str]:
    """Who submitted it, if that process still lives."""
    with contextlib.suppress(OSError):
        folder = Path(f"/proc/{pid}")
        name = (folder / "comm").read_text(errors="replace").strip()
        arguments = (folder / "cmdline").read_bytes().rstrip(b"\0").split(b"\0")
        return [offender_line(name, b" ".join(arguments).decode(errors="replace"))]
    return []
