# SPDX-License-Identifier: MIT
"""What do the lines of a kernel log say about a killed job? The kernel's own words, and the virtual kernel's.

The real kernel tells of a hang, and of an MMU fault with its address. The virtual one adds a line that names what was
refused: ``virtual NPU: submit 17: NN refused job 3 at 0xf0008000: kernel_z = 9 is never written``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from hornito.uapi.recovery import FAULT_REASONS

DEVICE = "npu"
PREFIX = f"etnaviv-gpu {DEVICE}: "  # the driver's, and the device's name
RECOVERED = "recover hung GPU!"
_REFUSAL = re.compile(
    r"virtual NPU: submit (?P<submit>\d+): (?P<unit>\S+) refused (?:job (?P<job>\d+)|the stream)"
    r"(?: at (?P<address>0x[0-9a-f]+))?: (?P<reason>.*)$"
)
# Older kernels do not give the reason.
_FAULT_ADDRESS = re.compile(r"MMU \d+ fault (?:\([^)]*\) )?addr (?P<address>0x[0-9a-fA-F]+)")


@dataclass(frozen=True)
class Refusal:
    """Why a job was killed. ``submit`` is the fence number (None: the log does not say); ``job`` counts from 0 within
    the submission; ``address`` is a device address; ``reason`` is one line."""

    unit: str
    reason: str
    job: int | None = None
    address: int | None = None
    submit: int | None = None


def refusal_line(submit: int, unit: str, reason: str, job: int | None = None, address: int | None = None) -> str:
    """The virtual kernel's log line for a refusal."""
    what = "the stream" if job is None else f"job {job}"
    where = "" if address is None else f" at {address:#x}"
    return f"virtual NPU: submit {submit}: {_word(unit)} refused {what}{where}: {' '.join(reason.split())}"


def doubt_line(submit: int, reason: str) -> str:
    """The virtual kernel's log line for a submission that ran, but might give something else on silicon."""
    return f"virtual NPU: submit {submit}: {reason}; silicon may give other results"


def fault_lines(code: int, address: int) -> list[str]:
    """The kernel's own words for an MMU fault: the exception's code, what it means, and the device address."""
    reason = FAULT_REASONS.get(code, "unknown")
    return [f"{PREFIX}MMU fault status {code:#010x}", f"{PREFIX}MMU 0 fault ({reason}) addr {address:#010x}"]


def offender_line(name: str, command: str) -> str:
    """The kernel's own words for the process whose job was killed: its name and its command line."""
    return f"{PREFIX}offending task: {_printable(name)} ({_printable(command)})"


def parse_refusal(line: str) -> Refusal | None:
    """What ``refusal_line`` wrote, wherever in the line it begins; None for any other line."""
    found = _REFUSAL.search(line)
    if found is None:
        return None
    job, address = found["job"], found["address"]
    return Refusal(
        found["unit"],
        found["reason"],
        None if job is None else int(job),
        None if address is None else int(address, 16),
        int(found["submit"]),
    )


def explain(lines: Iterable[str], submit: int) -> tuple[Refusal, str] | None:
    """What the log says about that submit, and the line that says it: the virtual kernel's words before the kernel's
    own, an MMU fault before a mere hang. None if no line is about a killed job."""
    fallback: tuple[Refusal, str] | None = None
    for line in lines:
        refusal = parse_refusal(line)
        if refusal is not None:
            if refusal.submit == submit:
                return refusal, line
        elif found := _FAULT_ADDRESS.search(line):
            fallback = Refusal("MMU", "MMU fault", None, int(found["address"], 16)), line
        elif RECOVERED in line and fallback is None:
            fallback = Refusal("unknown", "the NPU hung", None, None), line
    return fallback


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


def _word(unit: str) -> str:
    return "-".join(unit.split()) or "unknown"
