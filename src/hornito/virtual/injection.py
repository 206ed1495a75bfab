# SPDX-License-Identifier: MIT
"""What is to go wrong, and when? Faults that a user asks for (``--fault KIND@N``), to see how programs recover.

docs/faults.md has the table of kinds.
"""

import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass

from hornito.errors import BadInput

UNMAPPED_ADDRESS = 0x00200000  # in the kernel's own 4 MiB, where nothing ever lies
_FORM = re.compile(r"(?P<kind>[a-z]+)@(?P<number>[0-9]{1,9})(?:\.(?P<job>[0-9]{1,6}))?")


class Kind(enum.StrEnum):
    """What goes wrong."""

    HANG = "hang"
    MMU = "mmu"
    IRQ = "irq"
    LOST = "lost"
    ALLOC = "alloc"


_IN_JOBS = (Kind.HANG, Kind.MMU)


@dataclass(frozen=True)
class Injection:
    """One fault. ``number``: of the submission, or of the GEM_NEW, from 1. ``job``: within the submission, or None."""

    kind: Kind
    number: int
    job: int | None = None

    def __str__(self) -> str:
        return f"{self.kind}@{self.number}" + ("" if self.job is None else f".{self.job}")


@dataclass(frozen=True)
class FaultPlan:
    """All that is to go wrong with a device."""

    injections: tuple[Injection, ...] = ()

    @classmethod
    def parse(cls, texts: Iterable[str]) -> "FaultPlan":
        """From ``KIND@N`` texts, each of which may hold several, separated by commas. Raises BadInput."""
        return cls(tuple(_parse(part.strip()) for text in texts for part in text.split(",")))

    def at(self, number: int) -> Injection | None:
        """What happens to submission ``number``, or None."""
        return self._find(number, False)

    def allocation_fails(self, number: int) -> bool:
        """GEM_NEW number ``number`` gets ENOMEM."""
        return self._find(number, True) is not None

    def _find(self, number: int, allocation: bool) -> Injection | None:
        return next(
            (one for one in self.injections if one.number == number and (one.kind is Kind.ALLOC) == allocation), None
        )


def _parse(text: str) -> Injection:
    found = _FORM.fullmatch(text)
    kinds = ", ".join(Kind)
    if found is None or found["kind"] not in set(Kind):
        raise BadInput(f"--fault {text!r}: not of the form KIND@N with one of {kinds}, such as hang@3 or mmu@5.2")
    kind, number = Kind(found["kind"]), int(found["number"])
    if number == 0:
        raise BadInput(f"--fault {text!r}: N counts from 1")
    if found["job"] is not None and kind not in _IN_JOBS:
        raise BadInput(f"--fault {text!r}: only {' and '.join(_IN_JOBS)} take a job")
    return Injection(kind, number, None if found["job"] is None else int(found["job"]))
