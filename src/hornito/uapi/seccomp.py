# SPDX-License-Identifier: MIT
"""How are system calls handed to a supervisor? Seccomp user notification: its numbers, structs and filter programs.

Source: the Linux UAPI headers seccomp.h, filter.h and audit.h, and the manual page seccomp_unotify(2).
"""

import ctypes
import enum
import struct

SET_MODE_FILTER = 1  # operation of seccomp(2)
LETTER = "!"


class FilterFlag(enum.IntFlag):
    """How a filter is installed."""

    NEW_LISTENER = 1 << 3
    WAIT_KILLABLE_RECV = 1 << 5  # Linux 5.19: only death interrupts a call that the supervisor has seen


class Return(enum.IntEnum):
    """What a filter program decides."""

    ALLOW = 0x7FFF0000
    USER_NOTIF = 0x7FC00000


class Audit(enum.IntEnum):
    """A call's architecture, as filters and notifications name it."""

    X86_64 = 0xC000003E
    AARCH64 = 0xC00000B7


X32_BIT = 0x40000000  # set in the number of a call by x86-64's 32-bit pointers ABI

CONTINUE = 1  # flag of a response: let the kernel do the call
ADDFD_SEND = 1 << 1  # Linux 5.14: install a descriptor and answer with its number, in one step
SYNC_WAKE_UP = 1  # flag of a listener, Linux 6.6: the supervisor runs where the caller ran
# What a call gives inside the kernel when a signal ends it; user space sees EINTR, or never knows. linux/errno.h.
ERESTARTSYS = 512

# seccomp_notif: id, pid, flags, then seccomp_data: nr, arch, instruction pointer, six arguments.
NOTIFICATION = struct.Struct("=QIIiIQ6Q")
RESPONSE = struct.Struct("=QqiI")  # seccomp_notif_resp: id, value, error (below zero), flags
ADDFD = struct.Struct("=QIIII")  # seccomp_notif_addfd: id, flags, our descriptor, its number there, its O_ flags

NOTIF_RECV = (3 << 30) | (NOTIFICATION.size << 16) | (ord(LETTER) << 8)
NOTIF_SEND = (3 << 30) | (RESPONSE.size << 16) | (ord(LETTER) << 8) | 1
NOTIF_ID_VALID = (1 << 30) | (8 << 16) | (ord(LETTER) << 8) | 2
NOTIF_ADDFD = (1 << 30) | (ADDFD.size << 16) | (ord(LETTER) << 8) | 3
NOTIF_SET_FLAGS = (1 << 30) | (8 << 16) | (ord(LETTER) << 8) | 4

# Offsets in seccomp_data, which a filter program reads.
DATA_NR = 0
DATA_ARCH = 4


def data_argument(index: int) -> int:
    """The offset of the low half of an argument; both architectures are little-endian."""
    return 16 + 8 * index


_INSTRUCTION = struct.Struct("=HBBI")
_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K


def load(offset: int) -> bytes:
    """Instruction: the word at ``offset`` of seccomp_data becomes the accumulator."""
    return _INSTRUCTION.pack(_LOAD, 0, 0, offset)


def mask(bits: int) -> bytes:
    """Instruction: only these bits of the accumulator stay."""
    return _INSTRUCTION.pack(_AND, 0, 0, bits)


def jump_if(value: int, then: int, otherwise: int) -> bytes:
    """Instruction: skip ``then`` instructions if the accumulator has that value, else ``otherwise``; 255 at most."""
    return _INSTRUCTION.pack(_EQUAL, then, otherwise, value)


def give(decision: Return) -> bytes:
    """Instruction: that is the decision."""
    return _INSTRUCTION.pack(_RETURN, 0, 0, decision)


class Program(ctypes.Structure):
    """``struct sock_fprog`` for a program of these instructions. It keeps them alive."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]

    def __init__(self, *instructions: bytes) -> None:
        super().__init__(len(instructions), b"".join(instructions))
