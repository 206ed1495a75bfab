# SPDX-License-Identifier: MIT
"""How is a submission made in its caller's place? Once memory has been looked at, with copies of its tables, and with a
sync file for us that tells how its job ends."""

import contextlib
import ctypes
import errno
import os
import time

from hornito.supervisor.relay.calls import Call
from hornito.supervisor.relay.exchange import NO_DESCRIPTOR
from hornito.supervisor.relay.jobs import RelayedJob, Use
from hornito.supervisor.served import PassOn
from hornito.uapi.etnaviv import GemSubmit, SubmitBo, SubmitFlag, SubmitPmr, SubmitReloc
from hornito.virtual.etnaviv.fences import Pending

# The kernel refuses far less than this, before it looks at any of it. Beyond it, the kernel is left to say so.
_MOST_BYTES = 16 << 20
_TABLES = (("bos", "nr_bos", SubmitBo), ("relocs", "nr_relocs", SubmitReloc), ("pmrs", "nr_pmrs", SubmitPmr))


class Submits:
    """Submissions that wait until memory has been looked at, by their threads."""

    def __init__(self) -> None:
        self._asked: dict[int, tuple[int, Call, RelayedJob]] = {}

    def submit(self, call: Call) -> None:
        """Make it. Raises OSError; Pending until its turn has come; PassOn."""
        exchange = call.exchange
        with exchange.of(GemSubmit) as arg:
            ours = self._make(call, arg)
            wanted = arg.flags & SubmitFlag.FENCE_FD_OUT
            arg.fence_fd = exchange.caller.install(ours) if wanted else NO_DESCRIPTOR
            if not wanted:
                os.close(ours)

    def forget(self, thread: int, but: int = 0) -> None:
        """That thread waits for none of them any more, ``but`` for the one with that ticket."""
        known = self._asked.get(thread)
        if known is not None and known[0] != but:
            del self._asked[thread]
            known[1].jobs.abandon(known[2])

    def _make(self, call: Call, arg: GemSubmit) -> int:
        """Make the call; a sync file of its job."""
        exchange = call.exchange
        lengths = {name: getattr(arg, count) * ctypes.sizeof(kind) for name, count, kind in _TABLES}
        lengths["stream"] = arg.stream_size
        if max(lengths.values()) > _MOST_BYTES:
            raise PassOn
        with contextlib.ExitStack() as ours:
            copies = {name: ours.enter_context(exchange.table(arg, name, size)) for name, size in lengths.items()}
            whole = all(len(copies[name]) == size for name, size in lengths.items())
            job = self._turn(call, arg, copies["bos"], copies["stream"]) if whole else None
            spare = -1  # for us to see its fence by: what has been handed in must not fail for want of a descriptor
            try:
                spare = os.dup(exchange.fd)
                if arg.flags & SubmitFlag.FENCE_FD_IN:
                    ours.enter_context(exchange.descriptor(arg, "fence_fd"))
                ours.enter_context(exchange.exchanged(arg, "flags", arg.flags | SubmitFlag.FENCE_FD_OUT))
                started = time.monotonic_ns()
                exchange.make()
            except BaseException as error:
                if spare >= 0:
                    os.close(spare)
                if job is not None:
                    call.jobs.abandon(job)
                if isinstance(error, OSError) and error.errno == errno.EPERM and call.file.has_client_memory:
                    raise PassOn from None  # its own process must be the one that pins it
                raise
            sync_fd: int = arg.fence_fd
        if job is None:  # somebody made its tables readable while we looked: it runs unrecorded
            os.close(spare)
        else:
            job.started, job.fence, job.sync_fd = started, arg.fence, os.dup2(sync_fd, spare, inheritable=False)
            call.jobs.submitted(job)
        return sync_fd

    def _turn(self, call: Call, arg: GemSubmit, bos: bytes, stream: bytes) -> RelayedJob:
        """The job, once it may be handed in. Raises Pending."""
        caller = call.exchange.caller
        known = self._asked.get(caller.pid)
        if known is None:
            size = ctypes.sizeof(SubmitBo)
            table = [SubmitBo.from_buffer_copy(bos, at) for at in range(0, len(bos), size)]
            uses = tuple(Use(bo.flags, bo.handle, bo.presumed, call.file.find(bo.handle)) for bo in table)
            job = RelayedJob(call.file, arg.pipe, stream, uses)
            self._asked[caller.pid] = caller.ticket, call, job
            call.jobs.ask(job)
        else:
            job = known[2]
        if not call.jobs.take(job):
            raise Pending(job.ready)
        del self._asked[caller.pid]
        return job
