# SPDX-License-Identifier: MIT
"""May what a folder keeps be executed? Only where nobody but this user, or root, can have put it there."""

import os
import stat
from pathlib import Path

from hornito.errors import BadInput

_WRITE, _ANYTHING = 0o022, 0o077  # permission bits of group and others


def may_trust(status: os.stat_result, user: int, others: int = _WRITE) -> bool:
    """Is a file or folder the ``user``'s or root's, and has it none of the permission bits ``others``?"""
    return status.st_uid in (user, 0) and not status.st_mode & others


def private_folder(folder: Path, top: Path, *, alone: bool = False) -> None:
    """Make ``folder``, in ``top``, for its owner alone, or see that nobody else can change what is in an existing one.

    ``alone``: nobody else may even get into it, so that what is in it needs no look. No symbolic link below ``top`` is
    followed. Raises OSError where the folder can't be made; BadInput, which names what others could have changed.
    """
    make_folder(folder, 0o700)
    user = os.geteuid()
    if not may_trust(folder.lstat(), user, _ANYTHING if alone else _WRITE):
        raise BadInput(f"{folder}: other users could have changed what is in it; delete it")
    for place in folder.parents:
        status = place.stat() if place == top else place.lstat()
        # Where names stay their owners' (the sticky bit), others may add some of their own.
        if not may_trust(status, user, 0 if status.st_mode & stat.S_ISVTX else _WRITE):
            raise BadInput(f"{place}: other users can change what is in it; make it yours, with mode 0755 or 0700")
        if place == top:
            return


def make_folder(folder: Path, mode: int = 0o755) -> None:
    """Make a folder where there is none, and those above it, which nobody else may write to, whatever the umask is."""
    try:
        folder.mkdir(mode=mode, exist_ok=True)
    except FileNotFoundError:
        if folder.parent == folder:
            raise
        make_folder(folder.parent)
        folder.mkdir(mode=mode, exist_ok=True)
