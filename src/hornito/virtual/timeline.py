# SPDX-License-Identifier: MIT
"""How long would a submission take on the chip, and when would the kernel take it for hung? In modelled time only.

The kernel looks at a job every half second of its time. It lives on if meanwhile another fence completed, or the front
end's address went backwards or forwards by more than a few bytes; so a submission of many jobs may take long, and one
whose single job is too long is killed. The host's speed has no say in it.
"""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

from hornito.cost import Overlap, Work, rates_of
from hornito.hardware.chips import Chip
from hornito.hardware.timing import timing_of
from hornito.uapi.recovery import COMMAND_ADDRESS, STANDSTILL, TIMEOUT
from hornito.virtual.faults import Hang, MMUFault, Stopped
from hornito.virtual.injection import UNMAPPED_ADDRESS, Injection, Kind

_WORD = 4
_WRAP = 1 << 32


@dataclass(frozen=True)
class Look:
    """What the kernel saw when it last looked: the front end's address, and the newest completed fence."""

    address: int = 0
    fence: int = 0


@dataclass(frozen=True)
class Start:
    """Where a submission begins: its stream's device address, the newest completed fence, the kernel's last look, and
    what is to go wrong."""

    address: int = COMMAND_ADDRESS
    completed: int = 0
    look: Look = Look()
    injection: Injection | None = None

    def encode(self) -> dict[str, Any]:
        """As plain values, for another process."""
        return dataclasses.asdict(self)

    @classmethod
    def decode(cls, values: dict[str, Any]) -> "Start":
        """What ``encode`` gave."""
        injection = values["injection"]
        if injection is not None:
            injection = Injection(Kind(injection["kind"]), injection["number"], injection["job"])
        return cls(**values | {"look": Look(**values["look"]), "injection": injection})


@dataclass(frozen=True)
class Counters:
    """What a core has done since it was reset, in modelled time: cycles of its clock, bytes read and written."""

    cycles: int = 0
    read: int = 0
    written: int = 0

    def later(self, progress: "Progress", chip: Chip) -> "Counters":
        """After a submission that came as far as that."""
        work = progress.work
        passed = rates_of(chip).cycles(progress.seconds)
        return Counters(self.cycles + passed, self.read + work.read, self.written + work.written)


@dataclass(frozen=True)
class Progress:
    """How far a submission is: the kernel's last look, the front end's address, what works at the moment and for which
    job; jobs completed, seconds of modelled time, and the work that was done."""

    look: Look
    address: int
    unit: str = "FE"
    job: int | None = None
    jobs: int = 0
    seconds: float = 0.0
    work: Work = Work()

    def encode(self) -> dict[str, Any]:
        """As plain values, for another process."""
        return dataclasses.asdict(self)

    @classmethod
    def decode(cls, values: dict[str, Any]) -> "Progress":
        """What ``encode`` gave."""
        return cls(**values | {"look": Look(**values["look"]), "work": Work(**values["work"])})


class Span(NamedTuple):
    """When a job runs: seconds of modelled time from its submission's start on, and for how long."""

    job: int
    unit: str
    start: float
    seconds: float


class Timeline:
    """One submission's course. Whoever runs it calls ``begin`` before each job and ``finish`` behind the last; both
    raise what ends the submission. ``stop`` may come from another thread: the next call raises. ``spans``: the jobs
    that have run; ``doubt``: the first reason, if any, why silicon might give something else."""

    def __init__(self, chip: Chip, start: Start | None = None) -> None:
        self.start = start or Start()
        self.progress = Progress(self.start.look, self.start.address)
        self._rates = rates_of(chip)
        self._stall = timing_of(chip).stall.value
        self._wave, self._overlap = 0, Overlap()
        self._next_look = TIMEOUT
        self._stopped = False
        self.spans: list[Span] = []
        self.doubt: str | None = None

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return Progress(self._look, self._address, self._unit, self._job, self._jobs, self._seconds, self._work)

    @progress.setter
    def progress(self, progress: Progress) -> None:
        # Apart, because each job changes most of them.
        self._look, self._address = progress.look, progress.address
        self._unit, self._job, self._jobs = progress.unit, progress.job, progress.jobs
        self._seconds, self._work = progress.seconds, progress.work

    def stop(self) -> None:
        """Let the submission end at its next job."""
        self._stopped = True

    def begin(self, number: int, unit: str, end: int, work: Work, wave: int | None = None) -> None:
        """Job ``number`` begins; the stream's word ``end`` is the first that is not part of it; jobs of one ``wave``
        run at the same time, None with no other. Raises Hang, MMUFault: then the job has not run and must not."""
        self._job, self._unit = number, unit
        self._address = self.start.address + end * _WORD
        self._check_stop()
        injection = self.start.injection
        if injection is not None and injection.kind is not Kind.IRQ and number == (injection.job or 0):
            self._strike(injection)
        self._pass(self._duration(unit, work, wave))
        alone = self._rates.duration(work)  # beside others of its wave it ends when they let it
        self.spans.append(Span(number, unit, self._seconds - alone, alone))
        self._jobs += 1
        self._work += work

    def remark(self, doubt: str | None) -> None:
        """Silicon might give something else, for this reason. The first one of a submission is kept."""
        self.doubt = self.doubt or doubt

    def _duration(self, unit: str, work: Work, wave: int | None) -> float:
        """By how many seconds the job makes the submission longer."""
        if wave is None:
            return self._rates.duration(work)
        waited = 0.0
        if wave != self._wave:
            waited = self._stall if wave else 0.0
            self._wave, self._overlap = wave, Overlap()
        return waited + self._overlap.add(unit, self._rates.parts(work))

    def stand(self, word: int) -> None:
        """The front end stands at that word of the stream, which it can't obey."""
        self._unit = "FE"
        self._address = self.start.address + word * _WORD

    def finish(self) -> None:
        """The stream has ended. Raises Hang, MMUFault if something was to go wrong and has not yet."""
        self._check_stop()
        self._unit = "FE"
        if self.start.injection is not None:
            self._strike(self.start.injection)

    def _strike(self, injection: Injection) -> None:
        if injection.kind is Kind.MMU:
            raise MMUFault("a fault that --fault asked for", address=UNMAPPED_ADDRESS, job=self._job)
        if injection.kind is Kind.IRQ:  # the front end is done, and turns round in the ring
            self._address = COMMAND_ADDRESS
        self._pass(math.inf)

    def _check_stop(self) -> None:
        if self._stopped:
            raise Stopped

    def _pass(self, seconds: float) -> None:
        """Let time go by, with the front end where it is. Raises Hang once the kernel sees it stand still."""
        end = self._seconds + seconds
        while self._next_look < end:
            now = Look(self._address, self.start.completed)
            moved = (now.address - self._look.address) % _WRAP
            if now.fence == self._look.fence and moved <= STANDSTILL:
                self._seconds = self._next_look
                raise Hang(self._reason(seconds), unit=self._unit, job=self._job)
            self._look = now
            self._next_look += TIMEOUT
        self._seconds = end

    def _reason(self, seconds: float) -> str:
        if math.isfinite(seconds):
            return (
                f"the job takes {seconds:.2f} s of modelled time, and the kernel kills what makes no progress "
                f"for {TIMEOUT:g} s"
            )
        lost = self.start.injection is not None and self.start.injection.kind is Kind.IRQ
        return f"{'its interrupt was lost' if lost else 'it never ends'}, as --fault asked for"
