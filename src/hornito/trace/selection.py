# SPDX-License-Identifier: MIT
"""Which part of a recording does the user want to see? Jobs, units and fields by number, name and pattern."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from hornito.errors import BadInput

if TYPE_CHECKING:
    from hornito.stream.annotate import Line

UNITS = {"nn": "NN", "tp": "TP"}


@dataclass(frozen=True)
class JobNumber:
    """A job by its number in its submission, from 0; of all submits, or of one."""

    job: int
    submit: int | None = None

    def matches(self, submit: int, job: int) -> bool:
        return self.job == job and self.submit in (None, submit)

    def __str__(self) -> str:
        return str(self.job) if self.submit is None else f"{self.submit}.{self.job}"


def job_number(text: str) -> JobNumber:
    """``12``, or ``3.12`` for job 12 of submit 3. Raises BadInput."""
    parts = text.split(".")
    if len(parts) > 2 or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise BadInput(f"{text!r} is no job; write 12, or 3.12 for job 12 of submit 3")
    numbers = [int(part) for part in parts]
    return JobNumber(numbers[-1], numbers[0] if len(numbers) == 2 else None)


def job_numbers(text: str) -> list[JobNumber]:
    """Jobs separated by commas, ranges as in ``3-7`` or ``1.3-1.7``. Raises BadInput."""
    found: list[JobNumber] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        begin = job_number(first)
        end = job_number(last) if dash else begin
        if end.submit not in (None, begin.submit) or not 0 <= end.job - begin.job < 100_000:
            raise BadInput(f"{part!r} is no range of jobs; write 3-7, or 1.3-7 for those of submit 1")
        found += [JobNumber(number, begin.submit) for number in range(begin.job, end.job + 1)]
    return found


@dataclass(frozen=True)
class Selection:
    """What to show; an empty tuple selects everything. ``fields`` are patterns as the shell has them, of names of
    fields and states; upper and lower case are the same."""

    submits: tuple[int, ...] = ()
    jobs: tuple[JobNumber, ...] = ()
    units: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Nothing is left out."""
        return not (self.submits or self.jobs or self.units or self.fields)

    def has_submit(self, submit: int) -> bool:
        """May anything of that submit be shown?"""
        named = {number.submit for number in self.jobs}
        return (not self.submits or submit in self.submits) and (not named or None in named or submit in named)

    def has_job(self, submit: int, job: int, unit: str) -> bool:
        """Is that job to be shown?"""
        wanted = not self.jobs or any(number.matches(submit, job) for number in self.jobs)
        return wanted and (not self.units or unit in self.units)

    def has(self, submit: int, line: "Line") -> bool:
        """Is that line to be shown?"""
        if self.everything:
            return True
        if line.job is None:
            if self.jobs or self.units:
                return False
        elif not self.has_job(submit, line.job.number, line.job.unit):
            return False
        return not self.fields or (line.kind.value != "command" and self._named(line.name))

    def _named(self, name: str) -> bool:
        return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in self.fields)
