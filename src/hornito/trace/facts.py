# SPDX-License-Identifier: MIT
"""What is known of the words that recordings hold, how far is it to be trusted, and who says so?"""

from collections.abc import Iterator
from dataclasses import dataclass

from hornito.bits import Confidence, Packed
from hornito.hardware.commands import COMMANDS
from hornito.hardware.states import STATES
from hornito.stream.annotate import DESCRIPTORS


@dataclass(frozen=True)
class Fact:
    """One name: of what it is a part, its place there, and the values that are ever seen (None: any)."""

    structure: str
    place: str
    name: str
    confidence: Confidence
    source: str
    only: tuple[int, ...] | None = None


def facts() -> Iterator[Fact]:
    """Commands, states with their fields, descriptors' fields."""
    for command in COMMANDS.values():
        yield Fact("command", f"{command.opcode:#04x}", command.opcode.name, command.confidence, command.source)
    for state in STATES.values():
        yield Fact("state", f"{state.address:#07x}", state.name, state.confidence, state.source, state.only)
        if state.fields is not None:
            yield from _fields(state.name, state.fields)
    for unit, kind in DESCRIPTORS.items():
        yield from _fields(unit, kind)


def _fields(structure: str, kind: type[Packed]) -> Iterator[Fact]:
    for field in kind.layout().values():
        yield Fact(structure, field.place, field.name, field.confidence, field.source, field.only)
