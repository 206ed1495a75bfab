# SPDX-License-Identifier: MIT
"""How is a command stream put together? Words, and a note of each word that holds a buffer's address."""

import numpy as np
from numpy.typing import NDArray

from hornito.errors import FieldRangeError
from hornito.hardware.commands import OPCODE_SHIFT, Opcode
from hornito.hardware.states import FRONT_END_WAITS, GL_SEMAPHORE_TOKEN, State


class StreamBuilder:
    """Collects LOAD_STATE commands. ``addresses`` lists (byte offset, buffer) of each word that holds an address."""

    def __init__(self) -> None:
        self._words: list[int] = []
        self.addresses: list[tuple[int, int]] = []

    def zeros(self, count: int) -> None:
        """``count`` (even) words of nothing."""
        if count % 2:
            raise FieldRangeError(f"{count} zero words: commands fill whole pairs of words")
        self._words += [0] * count

    def load(self, state: State, value: int) -> None:
        """Set one state register. Raises FieldRangeError for a value that is never written there."""
        if not 0 <= value < 1 << 32 or (state.only is not None and value not in state.only):
            raise FieldRangeError(f"{state.name} = {value:#x}: never written there")
        self._words += [int(Opcode.LOAD_STATE) << OPCODE_SHIFT | 1 << 16 | state.index, value]

    def load_address(self, state: State, buffer: int, value: int) -> None:
        """Set a state register to an address within ``buffer`` (its number), tag included, and note the place."""
        self.addresses.append((4 * (len(self._words) + 1), buffer))
        self.load(state, value)

    def stall(self) -> None:
        """Let the front end wait until the units are done."""
        self.load(GL_SEMAPHORE_TOKEN, FRONT_END_WAITS)
        self._words += [int(Opcode.STALL) << OPCODE_SHIFT, FRONT_END_WAITS]

    @property
    def words(self) -> NDArray[np.uint32]:
        """The stream so far."""
        return np.array(self._words, dtype=np.uint32)
