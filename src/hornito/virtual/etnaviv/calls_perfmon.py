# SPDX-License-Identifier: MIT
"""Which counters can a client ask for? PM_QUERY_DOM and PM_QUERY_SIG list them; a submission's requests are checked."""

import errno
from collections.abc import Sequence

from hornito.uapi.etnaviv import ExecState, PmDomain, PmrFlag, PmSignal, SubmitPmr
from hornito.uapi.perfmon import DOMAINS, LAST_DOMAIN, LAST_SIGNAL
from hornito.virtual.etnaviv.answers import check_pipe, refuse
from hornito.virtual.etnaviv.books import Books
from hornito.virtual.etnaviv.buffers import Buffer
from hornito.virtual.etnaviv.caller import Caller
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.counters import CounterRequest

_FLAGS = int(PmrFlag.PROCESS_PRE | PmrFlag.PROCESS_POST)
_WORD = 4
_OFFERED = DOMAINS[ExecState.PIPE_3D]  # an NPU says that it is a 3D core


def query_domain(books: Books, file: OpenFile, arg: PmDomain, caller: Caller) -> None:
    check_pipe(arg.pipe)
    if arg.iter >= len(_OFFERED):
        raise refuse(errno.EINVAL)
    name, signals = _OFFERED[arg.iter]
    arg.id = arg.iter
    arg.nr_signals = len(signals)
    arg.name = name.encode()
    arg.iter = arg.iter + 1 if arg.iter + 1 < len(_OFFERED) else LAST_DOMAIN


def query_signal(books: Books, file: OpenFile, arg: PmSignal, caller: Caller) -> None:
    check_pipe(arg.pipe)
    if arg.domain >= len(_OFFERED):
        raise refuse(errno.EINVAL)
    _, signals = _OFFERED[arg.domain]
    if arg.iter >= len(signals):
        raise refuse(errno.EINVAL)
    arg.id = arg.iter
    arg.name = signals[arg.iter].name.encode()
    arg.iter = arg.iter + 1 if arg.iter + 1 < len(signals) else LAST_SIGNAL


def check_requests(
    requests: Sequence[SubmitPmr], exec_state: ExecState, buffers: Sequence[Buffer]
) -> list[CounterRequest]:
    """What a submission asks of the counters. Raises OSError with EINVAL, by the kernel's checks in its order.

    (It takes the offset, which counts words, for bytes: so one may lie behind the buffer's end.)
    """
    found = []
    for request in requests:
        if request.read_idx >= len(buffers):
            raise refuse(errno.EINVAL)
        buffer = buffers[request.read_idx]
        if not 0 < request.read_offset < buffer.size - _WORD or request.flags & ~_FLAGS:
            raise refuse(errno.EINVAL)
        domains = DOMAINS[exec_state]
        if request.domain >= len(domains) or request.signal >= len(domains[request.domain][1]):
            raise refuse(errno.EINVAL)
        signal = domains[request.domain][1][request.signal]
        found.append(CounterRequest(signal, request.flags, request.sequence, request.read_offset, buffer))
    return found
