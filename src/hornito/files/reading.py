# SPDX-License-Identifier: MIT
"""May a file be read? One for which nobody waits: neither a device nor a pipe."""

import os
import stat
from pathlib import Path

from hornito.errors import BadInput


def check_ordinary(path: str | Path, cure: str) -> None:
    """Raises BadInput, which advises ``cure``, for a device or a pipe. Whoever opens the path finds what else is wrong
    with it."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise BadInput(f"{path}: is no ordinary file but a device or a pipe; {cure}")
