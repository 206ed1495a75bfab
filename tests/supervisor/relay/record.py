# SPDX-License-Identifier: MIT
"""``hornito trace record`` on the machine's own node, where the virtual kernel stands in for the machine's.

Arguments: the recording's file, options, ``--``, a program. All else is real: notifications, descriptors, memory of
other processes. What Linux would do by itself, opening the node, is done by whoever serves paths; with "own-node",
programs open /dev/null, and nothing at all is done but by the relay.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

from hornito.supervisor import run_program

OWN_NODE, NO_JOBS = "own-node", "no-jobs"


@contextlib.contextmanager
def device(path: str, command: list[str], options: list[str]) -> Iterator[Any]:
    from tests.supervisor.relay.standin import relayed  # numpy makes threads: not before the fork

    with relayed(path, command, options) as found:
        yield found


def main(path: str, *arguments: str) -> int:
    end = arguments.index("--")
    options, command = list(arguments[:end]), list(arguments[end + 1 :])
    return run_program(command, lambda: device(path, command, options), own_node=OWN_NODE in options)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    sys.exit(main(*sys.argv[1:]))
