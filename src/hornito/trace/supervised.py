# SPDX-License-Identifier: MIT
"""How does a process that has threads have a program recorded on a virtual NPU? By this program, a process of its own:
a supervisor forks, and no thread may exist then.

``main`` is given TRACE CHIP WRITER COMMAND...; why it failed is all that it prints, in a line.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hornito.errors import HornitoError
from hornito.hardware.chips import find_chip
from hornito.supervisor import run_program

if TYPE_CHECKING:
    from hornito.trace.recorded_device import RecordedDevice

_FAILED = 125


def main(arguments: Sequence[str]) -> int:
    """Record it; its status."""
    trace, chip, writer, *command = arguments

    @contextmanager
    def device() -> "Iterator[RecordedDevice]":
        from hornito.trace.recorded_device import recorded_device  # numpy makes threads: not before the fork

        with recorded_device(find_chip(chip), trace, command, writer) as found:
            yield found

    try:
        return run_program(command, device)
    except HornitoError as error:
        print(error)
    except OSError as error:
        print(f"{error.filename or trace}: {error.strerror or error}")
    return _FAILED
