# SPDX-License-Identifier: MIT
"""Which system calls are handed to the supervisor? As few as can be: the ioctls of three interfaces and, where it has
something to show in the place of the machine's own files, those that take a path.

Calls that are never handed over cost nothing: the kernel knows from the number alone that they pass.
"""

from hornito.uapi.dma_buf import DMA_BUF_IOCTL_SYNC
from hornito.uapi.drm import DRM_TYPE
from hornito.uapi.seccomp import (
    DATA_ARCH,
    DATA_NR,
    X32_BIT,
    Audit,
    Program,
    Return,
    data_argument,
    give,
    jump_if,
    load,
    mask,
)
from hornito.uapi.sync_file import SYNC_IOC_FILE_INFO
from hornito.uapi.system_calls import Architecture

_LETTERS = (DRM_TYPE, SYNC_IOC_FILE_INFO.letter, DMA_BUF_IOCTL_SYNC.letter)
_NOT_NOTIFIED = ("ioctl", "kcmp", "seccomp")  # ioctl: by its request
_LETTER_BITS = 0xFF00  # of an ioctl's request


def notified(architecture: Architecture) -> list[int]:
    """The calls that are handed over whatever their arguments are."""
    return [number for name, number in architecture.numbers.items() if name not in _NOT_NOTIFIED]


def program(architecture: Architecture, *, paths: bool) -> Program:
    """The filter, with or without the calls that take ``paths``. A call of another architecture, a 32-bit program's
    that is, is handed over too."""
    foreign = [load(DATA_ARCH), jump_if(architecture.audit, 1, 0), give(Return.USER_NOTIF)]
    if architecture.audit is Audit.X86_64:
        foreign += [load(DATA_NR), mask(X32_BIT), jump_if(X32_BIT, 0, 1), give(Return.USER_NOTIF)]
    numbers = notified(architecture) if paths else []
    # Behind the last comparison: two words of ioctl's, its letters, ALLOW, then USER_NOTIF.
    after = 3 + len(_LETTERS) + 1
    compare = [jump_if(number, len(numbers) - index - 1 + after, 0) for index, number in enumerate(numbers)]
    ioctl = [
        jump_if(architecture.numbers["ioctl"], 0, 2 + len(_LETTERS)),
        load(data_argument(1)),
        mask(_LETTER_BITS),
        *(jump_if(ord(letter) << 8, len(_LETTERS) - index, 0) for index, letter in enumerate(_LETTERS)),
    ]
    end = [give(Return.ALLOW), give(Return.USER_NOTIF)]
    return Program(*foreign, load(DATA_NR), *compare, *ioctl, *end)
