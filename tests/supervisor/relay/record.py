# SPDX-License-Identifier: MIT
"""``hornito trace record`` on the machine's own node, where the virtual kernel stands in for the machine's.

Arguments: the recording's file, what is to go wrong, ``--``, a program. All else is real: notifications, descriptors,
memory of other processes. What Linux would do by itself, opening the node, is done by whoever serves paths.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

from hornito.supervisor import run_program


@contextlib.contextmanager
def device(path: str, command: list[str], faults: list[str]) -> Iterator[Any]:
    from tests.supervisor.relay.standin import relayed  # numpy makes threads: not before the fork

    with relayed(path, command, faults) as found:
        yield found


def main(path: str, *arguments: str) -> int:
    end = arguments.index("--")
    command = list(arguments[end + 1 :])
    return run_program(command, lambda: device(path, command, list(arguments[:end])))


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    sys.exit(main(*sys.argv[1:]))
