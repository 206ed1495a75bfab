# SPDX-License-Identifier: MIT
"""What would a sandbox forbid? Arguments: names of system calls, ``--``, a command. They fail with EPERM in it."""

import ctypes
import os
import sys

from hornito.uapi.prctl import PR_SET_NO_NEW_PRIVS
from hornito.uapi.seccomp import DATA_NR, SET_MODE_FILTER, Program, Return, give, jump_if, load
from hornito.uapi.system_calls import native

NUMBERS = {
    "x86_64": {"process_vm_readv": 310, "process_vm_writev": 311, "seccomp": 317, "pidfd_getfd": 438, "kcmp": 312},
    "aarch64": {"process_vm_readv": 270, "process_vm_writev": 271, "seccomp": 277, "pidfd_getfd": 438, "kcmp": 272},
}
EPERM = 0x00050001  # SECCOMP_RET_ERRNO with it


def main(*arguments: str) -> None:
    split = arguments.index("--")
    numbers = [NUMBERS[os.uname().machine][name] for name in arguments[:split]]
    libc = ctypes.CDLL(None, use_errno=True)
    compare = [jump_if(number, len(numbers) - index, 0) for index, number in enumerate(numbers)]
    refuse = load(0)[:0] + give(Return.ALLOW)[:4] + EPERM.to_bytes(4, "little")
    filter_ = Program(load(DATA_NR), *compare, give(Return.ALLOW), refuse)
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.syscall(native().numbers["seccomp"], SET_MODE_FILTER, 0, ctypes.byref(filter_)) == 0
    os.execvp(arguments[split + 1], arguments[split + 1 :])


if __name__ == "__main__":
    main(*sys.argv[1:])
