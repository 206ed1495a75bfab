# SPDX-License-Identifier: MIT
"""Which jobs does a command stream start? What the front end does with each command, and what it refuses."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadStream
from hornito.hardware.chips import Chip
from hornito.hardware.commands import Opcode
from hornito.hardware.states import (
    FRONT_END_WAITS,
    GL_NN_CONFIG,
    GL_OCB_REMAP_END,
    GL_OCB_REMAP_START,
    GL_SEMAPHORE_TOKEN,
    GL_TP_CONFIG,
    GL_UNK03950,
    PS_NN_INST_ADDR,
    PS_TP_INST_ADDR,
    PS_UNK10A4,
    SMALL_BATCH,
    STATES,
    TAG_ALIGNMENT,
    TAG_NOT_LAST_CORE,
    TAG_NOT_LAST_CORE_PARALLEL,
    State,
)
from hornito.stream import LoadState, walk
from hornito.virtual.faults import Fault

_TRIGGERS = {PS_NN_INST_ADDR.index: "NN", PS_TP_INST_ADDR.index: "TP"}
_NEEDED = {
    "NN": (GL_OCB_REMAP_START, GL_OCB_REMAP_END, GL_NN_CONFIG),
    "TP": (GL_OCB_REMAP_START, GL_OCB_REMAP_END, GL_TP_CONFIG, GL_UNK03950),
}
_SKIPPED = frozenset({Opcode.ZERO, Opcode.NOP, Opcode.WAIT})


@dataclass(frozen=True)
class Job:
    """Work for one unit: its number in the stream, and its descriptors' addresses (several for TP cores). ``end``: the
    stream's first word behind it. ``wave``: in parallel mode, how often the front end has waited for the units before;
    None in the default mode, where no two jobs run at the same time."""

    number: int
    unit: str
    descriptors: tuple[int, ...]
    end: int = field(compare=False, default=0)
    wave: int | None = field(compare=False, default=None)


@dataclass(frozen=True)
class _Trigger:
    """A write that starts a unit, until the tag that follows it says to which job it belongs."""

    index: int
    unit: str
    address: int
    tag: int


class FrontEnd:
    """Executes one stream: holds its state registers, and gathers triggers into jobs. ``position``: the word at which
    the command begins that it is at."""

    def __init__(self, chip: Chip) -> None:
        self.position = 0
        self._chip = chip
        self._states: dict[int, int] = {}  # by index
        self._triggers: list[_Trigger] = []
        self._parallel: bool | None = None  # nobody knows before the first tag
        self._next = 0
        self._armed = False  # a semaphore is set that a stall has to wait for
        self._waits = 0
        self._first = 0  # job since the last wait

    def jobs(self, stream: NDArray[np.uint32]) -> Iterator[Job]:
        """The jobs in order, each as soon as the stream has said all about it. Raises Fault at the first bad word."""
        packets = walk(stream.tolist())
        after = 0  # where the next command begins
        while True:
            try:
                packet = next(packets, None)
            except BadStream as error:
                self.position = after
                raise self._fault(str(error)) from error
            if packet is None or packet.opcode is Opcode.END:
                break
            self.position, after = packet.index, packet.index + len(packet.words)
            if isinstance(packet, LoadState):
                if packet.fixed_point:
                    raise self._fault(f"word {packet.index}: converts from fixed point, never done for NPU work")
                for number, value in enumerate(packet.values):
                    job = self._load(packet.index + 1 + number, packet.first + number, value)
                    if job is not None:
                        yield job
            elif packet.opcode is Opcode.STALL:
                self._stall(packet.index, packet.words[1])
            elif packet.opcode not in _SKIPPED:
                raise self._fault(f"word {packet.index}: {packet.opcode.name} is not modelled in a client's stream")
        if self._triggers:
            raise self._fault(f"the stream ends before {PS_UNK10A4.name} completes the job that it started")
        if self._armed:
            raise self._fault(f"the stream ends with {GL_SEMAPHORE_TOKEN.name} set and no stall for it")

    def _fault(self, text: str) -> Fault:
        return Fault(text, unit="FE", job=self._next)

    def _load(self, index: int, register: int, value: int) -> Job | None:
        state = STATES.get(register)
        if state is None:
            raise self._fault(f"word {index}: unknown state {register << 2:#07x} = {value:#x}")
        if state.only is not None and value not in state.only:
            known = " or ".join(f"{known:#x}" for known in state.only)
            raise self._fault(f"word {index}: {state.name} = {value:#x}; only {known} is known")
        self._states[register] = value
        if state is GL_SEMAPHORE_TOKEN:
            if self._triggers:
                raise self._fault(
                    f"word {index}: {state.name} = {value:#x} while a job still lacks its {PS_UNK10A4.name}"
                )
            self._armed = True
        elif register in _TRIGGERS:
            self._start(index, _TRIGGERS[register], state, value)
        elif state is PS_UNK10A4:
            return self._complete(index, value)
        return None

    def _stall(self, index: int, token: int) -> None:
        """Wait until the units are done, if a semaphore says for what; tags begin anew then, as behind a submission."""
        if not self._armed:
            return
        if token != FRONT_END_WAITS:
            raise self._fault(f"word {index}: STALL {token:#x} where {GL_SEMAPHORE_TOKEN.name} is {FRONT_END_WAITS:#x}")
        self._armed = False
        self._waits += 1
        self._first = self._next

    def _start(self, index: int, unit: str, state: State, value: int) -> None:
        for needed in _NEEDED[unit]:
            if needed.index not in self._states:
                raise self._fault(f"word {index}: {state.name} = {value:#x} before {needed.name} was ever set")
        if self._triggers and (unit == "NN" or self._triggers[0].unit == "NN"):
            raise self._fault(f"word {index}: {state.name} = {value:#x} while a job still lacks its {PS_UNK10A4.name}")
        if len(self._triggers) == (self._chip.tp_cores if unit == "TP" else 1):
            raise self._fault(f"word {index}: {state.name} = {value:#x}: the chip has {len(self._triggers)} TP cores")
        tag = value % TAG_ALIGNMENT
        self._triggers.append(_Trigger(index, unit, value - tag, tag))

    def _complete(self, index: int, tag: int) -> Job:
        name = PS_UNK10A4.name
        if not self._triggers:
            raise self._fault(f"word {index}: {name} = {tag:#x}, but no job was started")
        triggers, self._triggers = self._triggers, []
        parallel = tag != 0
        mode = "parallel" if parallel else "default"
        if self._parallel not in (None, parallel):
            raise self._fault(f"word {index}: {name} = {tag:#x}: tag of the {mode} mode, unlike those before")
        self._parallel = parallel
        expected = self._next - self._first + 1 if parallel else 0
        if expected >= TAG_NOT_LAST_CORE_PARALLEL:
            raise self._fault(f"word {index}: {name} = {tag:#x}: parallel mode has no tag for job {self._next}")
        others = TAG_NOT_LAST_CORE_PARALLEL if parallel else TAG_NOT_LAST_CORE
        if tag != expected:
            raise self._fault(f"word {index}: {name} = {tag:#x}; job {self._next} has tag {expected:#x}")
        for trigger in triggers:
            right = expected if trigger is triggers[-1] else others
            if trigger.tag != right:
                raise self._fault(
                    f"word {trigger.index}: {trigger.unit} descriptor {trigger.address:#010x} has tag {trigger.tag:#x} "
                    f"where the {mode} mode has {right:#x}"
                )
        if triggers[0].unit == "NN":
            config = self._states[GL_NN_CONFIG.index]
            if config != (0 if parallel else SMALL_BATCH):
                raise self._fault(f"word {triggers[0].index}: {GL_NN_CONFIG.name} = {config:#x} in {mode} mode")
        addresses = tuple(trigger.address for trigger in triggers)
        job = Job(self._next, triggers[0].unit, addresses, index + 1, self._waits if parallel else None)
        self._next += 1
        return job
