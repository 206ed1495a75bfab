# SPDX-License-Identifier: MIT
"""``hornito trace record`` on the machine's own node, where the virtual kernel stands in for the machine's.

Arguments: the recording's file, what is to go wrong, ``--``, a program. All else is real: notifications, descriptors,
memory of other processes. What Linux would do by itself, opening the node, is done by whoever serves paths; with
"own-node" before the ``--``, programs open /dev/null, and nothing at all is done but by the relay.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

from hornito.supervisor import run_program

OWN_NODE = "own-node"


@contextlib.contextmanager
def device(path: str, command: list[str], faults: list[str], own_node: bool) -> Iterator[Any]:
    from tests.supervisor.relay.standin import relayed  # numpy makes threads: not before the fork

    with relayed(path, command, faults, own_node) as found:
        yield found


def main(path: str, *arguments: str) -> int:
    end = arguments.index("--")
    command = list(arguments[end + 1 :])
    faults = [word for word in arguments[:end] if word != OWN_NODE]
    own_node = OWN_NODE in arguments[:end]
    return run_program(command, lambda: device(path, command, faults, own_node), own_node=own_node)


if __name__ == "__main__":
    logging.basicConfig(format="%(message)s")
    sys.exit(main(*sys.argv[1:]))
