# SPDX-License-Identifier: MIT
"""What does the kernel log about a job that it killed? Its own words, and a line of ours that says why."""

from hornito.errors import BadStream
from hornito.uapi.messages import PREFIX, RECOVERED, fault_lines, refusal_line
from hornito.virtual.faults import Fault
from hornito.virtual.scheduler import Cancelled, Job

_TABLE_MISSING, _PAGE_MISSING = 1, 2  # the MMU's exception codes


def log_lines(job: Job) -> list[str]:
    """The lines about a job that has ended; none for one that was not killed by what it did. The lock is held."""
    error = job.error
    if error is None or isinstance(error, Cancelled):
        return []
    if isinstance(error, Fault):
        unit, number, address, reason = error.unit, error.job, error.address, error.text
    else:
        unit = "FE" if isinstance(error, BadStream) else "executor"
        number, address, reason = None, None, f"{type(error).__name__}: {error}"
    lines = []
    book = job.file.book
    if address is not None and not book.holds(address):
        lines += fault_lines(_PAGE_MISSING if book.has_table(address) else _TABLE_MISSING, address)
    refusal = refusal_line(job.fence.number, unit, reason, number, address)
    return [*lines, PREFIX + RECOVERED, PREFIX + refusal]
