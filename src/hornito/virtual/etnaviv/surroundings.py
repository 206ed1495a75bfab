# SPDX-License-Identifier: MIT
"""What does the kernel do to memory around a job? Copies of user memory come in and go out; counters are written.

``fd`` is the file that the buffers lie in, at their offsets.
"""

import os
import struct
from collections.abc import Iterable, Sequence

from hornito.uapi.etnaviv import PmrFlag
from hornito.virtual.etnaviv.buffers import Mapping
from hornito.virtual.etnaviv.counters import CounterRequest, shown
from hornito.virtual.timeline import Counters

_WORD = struct.Struct("<I")


def before(uses: Iterable[Mapping], requests: Sequence[CounterRequest], counters: Counters, fd: int) -> None:
    """A job's turn has come; it uses those buffers."""
    for mapping in uses:
        if mapping.buffer.user is not None:
            mapping.buffer.user.copy_in(fd, mapping.buffer.offset)
    _sample(requests, PmrFlag.PROCESS_PRE, counters, fd)


def after(uses: Iterable[Mapping], requests: Sequence[CounterRequest], counters: Counters, fd: int) -> None:
    """It has ended. ``requests``: none for one that was killed, which reads no counters any more."""
    _sample(requests, PmrFlag.PROCESS_POST, counters, fd)
    for request in requests:
        _put(request, 0, request.sequence, fd)
    for mapping in uses:
        if mapping.buffer.user is not None:
            mapping.buffer.user.copy_out(fd, mapping.buffer.offset)


def _sample(requests: Sequence[CounterRequest], when: PmrFlag, counters: Counters, fd: int) -> None:
    for request in requests:
        if request.flags == when:  # one that asks for both gets neither: so Linux has it
            _put(request, request.word, shown(counters, request.signal), fd)


def _put(request: CounterRequest, word: int, value: int, fd: int) -> None:
    at = word * _WORD.size
    if at + _WORD.size <= request.buffer.size:  # Linux would write into whatever is there
        os.pwrite(fd, _WORD.pack(value), request.buffer.offset + at)
