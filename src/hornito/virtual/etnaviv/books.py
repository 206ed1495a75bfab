# SPDX-License-Identifier: MIT
"""What does the virtual kernel know of its clients? Open files, buffers, fences, sync files, memory that is left.

Whoever calls holds ``lock``, but for what says otherwise.
"""

import contextlib
import errno
import logging
import os
import threading
from collections.abc import Callable, Iterable

from hornito.hardware.chips import Chip
from hornito.uapi.etnaviv import GRANULE
from hornito.uapi.sync_file import SIGNALLED
from hornito.virtual.etnaviv.answers import refuse
from hornito.virtual.etnaviv.buffers import Buffer
from hornito.virtual.etnaviv.client import Change, OpenFile
from hornito.virtual.etnaviv.command_memory import CommandMemory
from hornito.virtual.etnaviv.dma_bufs import DmaBufs
from hornito.virtual.etnaviv.fences import Fence, Pending, Signal
from hornito.virtual.etnaviv.jobs import AddressSpace, Executor
from hornito.virtual.etnaviv.params import parameters
from hornito.virtual.etnaviv.pool import Pool
from hornito.virtual.etnaviv.recovery import Recovery, doom
from hornito.virtual.etnaviv.scheduler import Job, Scheduler
from hornito.virtual.etnaviv.sync_files import SyncFiles
from hornito.virtual.etnaviv.user_pages import UserPages
from hornito.virtual.injection import FaultPlan, Kind

_log = logging.getLogger(__name__)
_FENCE_WRAP = 1 << 32


class Books:
    """The state of one virtual device. ``memory``: how many bytes of buffers there may be; ``plan``: what is to go
    wrong; ``logged`` is called for each line of the kernel's log."""

    def __init__(
        self,
        chip: Chip,
        executor: Executor | None,
        new_space: Callable[[], AddressSpace] | None,
        memory: int,
        plan: FaultPlan,
    ) -> None:
        self.lock = threading.Lock()
        self.parameters = parameters(chip)
        self.pool = Pool("hornito-renderD128")
        self.files: dict[int, OpenFile] = {}  # by number; those that were released too, until their last job has ended
        self.sync_files = SyncFiles()
        self.dma_bufs = DmaBufs(self.pool)
        self.scheduler = Scheduler(chip, executor, self.pool.fd)
        self.memory_free = memory
        self._new_space = new_space or _address_space
        self._process = os.getpid()
        self._fences: dict[int, Fence] = {}  # those that have not signalled
        self._jobs: dict[int, Job] = {}  # that have not ended, by fence, in the order of their turns
        self._last_fence = 0
        self._submits = 0
        self._allocations = 0
        self._plan = plan
        self._lost = False
        self.recovery = Recovery(chip, self.pool.fd)
        self.logged: Callable[[str], None] | None = None
        self._commands = CommandMemory()
        self._command_memory = Signal()  # the next time that some becomes free

    def check_alive(self) -> None:
        """Raises OSError with ENODEV after the end, once the device is lost, and in a forked child."""
        if self._lost or self.scheduler.worker.stopped or os.getpid() != self._process:
            raise refuse(errno.ENODEV)

    # Open files.

    def open(self) -> OpenFile:
        """A new open file. Raises OSError."""
        number, fd = self.pool.open_file()
        file = self.files[number] = OpenFile(number, fd, self._new_space)
        return file

    def release(self, file: OpenFile) -> None:
        """Nobody has it any more: it ends when the device is done with it. Once is enough."""
        if file.closed:
            return
        file.closed = True
        self.pool.forget(file.number)
        for handle in list(file.handles):
            self.drop(file, handle)
        self.scheduler.in_turn(lambda: self._end(file))

    def sweep(self) -> list[OpenFile]:
        """Release what nobody has any more: open files (told here), sync files, dma-bufs."""
        self.sync_files.sweep()
        ended = [self.files[number] for number in self.pool.gone()]
        for file in ended:
            self.release(file)
        for buffer in self.dma_bufs.sweep():
            self.dropped(buffer)
        return ended

    def _end(self, file: OpenFile) -> None:
        file.end()
        self.files.pop(file.number, None)

    # Buffers.

    def new_buffer(self, size: int, user: UserPages | None = None) -> Buffer:
        """A buffer of at least that many bytes, all zero, or of a client's own. Raises OSError with ENOMEM."""
        self._allocations += 1
        if self._plan.allocation_fails(self._allocations):
            raise refuse(errno.ENOMEM)
        size = -(-size // GRANULE) * GRANULE
        if size > self.memory_free:
            raise refuse(errno.ENOMEM)
        buffer = Buffer(size, self.pool.allocate(size), user)
        self.memory_free -= size
        return buffer

    def drop(self, file: OpenFile, handle: int) -> None:
        """Take a handle back. Raises KeyError for one that is not in use."""
        self.dropped(file.drop(handle))

    def dropped(self, buffer: Buffer) -> None:
        """A reference to it is gone. A buffer that nobody can name goes when the device is done with it."""
        if not buffer.references:
            self.scheduler.in_turn(lambda: self._free(buffer))

    def _free(self, buffer: Buffer) -> None:
        """``buffer`` is dead and no job is left that uses it."""
        inside = self.scheduler.worker.inside
        gone: list[tuple[OpenFile, Change]] = []
        with self.lock if inside else contextlib.nullcontext():  # else the caller has it
            for file in list(self.files.values()):
                va = file.forget(buffer)
                if va is not None:
                    gone.append((file, Change(va, None)))
            self.memory_free += buffer.size
        if self.scheduler.watcher is not None:
            self.scheduler.watcher.freed(buffer)
        for file, change in gone:
            file.apply([change], self.pool.fd)
        with contextlib.suppress(OSError):  # no holes on this system: the pages go when the pool does
            self.pool.free(buffer.offset, buffer.size)
        if buffer.user is not None:
            buffer.user.close()

    # Jobs.

    def find_fence(self, number: int) -> Fence | None:
        """The fence of that number, if it has yet to signal."""
        return self._fences.get(number)

    def check_command_memory(self, pages: int) -> None:
        """Raises Pending while there is less: without a deadline, since slow is not hung."""
        self._place(pages)

    def _place(self, pages: int) -> int:
        address = self._commands.find(pages)
        if address is None:
            raise Pending(self._command_memory)
        return address

    def new_fence(self, file: OpenFile) -> Fence:
        """The fence of the job that is submitted next; nothing is taken before ``submit``. Raises OSError with ENODEV
        where the device is to be lost then."""
        number = self._last_fence % (_FENCE_WRAP - 1) + 1
        injection = self._plan.at(number)
        if injection is not None and injection.kind is Kind.LOST:
            self._lost = True
            self._wake_all()
            self.check_alive()
        return Fence(number, file.number, self._submits + 1)

    def submit(self, job: Job) -> None:
        """Let a job run that has passed all checks."""
        self._last_fence = job.fence.number
        self._submits += 1
        self._fences[job.fence.number] = job.fence
        job.address = self._place(job.pages)
        job.injection = self._plan.at(job.fence.number)
        self._commands.take(job.address, job.pages)
        self._jobs[job.fence.number] = job
        self.scheduler.submit(job, self.end_job)

    def end_job(self, job: Job) -> None:
        """The log says how it ended before anybody learns that it has. The worker calls it, without the lock."""
        killed = self.recovery.recover(job)
        with self.lock:
            job.file.log.extend(job.lines)
            self._tell_log(job.lines)
            del self._jobs[job.fence.number]
            if killed:
                doom(job, self._jobs.values())
            for change, _ in job.unmapped:  # let the books say so, and a later submit tries again
                mapping = None if change.buffer is None else job.file.book.find(change.buffer)
                if mapping is not None and mapping.va == change.va:
                    job.file.book.remove(mapping)
            self._fences.pop(job.fence.number, None)
            self._commands.give_back(job.address, job.pages)
            job.fence.signal(SIGNALLED if job.error is None else -errno.ECANCELED)
            self._tell_of_command_memory()

    def _tell_log(self, lines: Iterable[str]) -> None:
        if self.logged is None:
            return
        try:
            for line in lines:
                self.logged(line)
        except Exception:  # a log is a help; the job's end must not depend on it
            _log.exception("the kernel's log could not be told")

    def _wake_all(self) -> None:
        """Who waits asks again, and learns that the device is gone."""
        for fence in list(self._fences.values()):
            fence.happen()
        self._tell_of_command_memory()

    def _tell_of_command_memory(self) -> None:
        signal, self._command_memory = self._command_memory, Signal()
        signal.happen()

    # The end.

    def end(self) -> None:
        """No job runs any more, nothing stays mapped. The clients' descriptors stay theirs. Called without the lock."""
        worker = self.scheduler.worker
        if worker.foreign:
            return  # a forked child: all of this is its parent's
        self.scheduler.stop()
        self._wake_all()
        if worker.inside or not worker.running:
            for file in list(self.files.values()):
                file.end()
                for buffer in file.handles.values():
                    if buffer.user is not None:
                        buffer.user.close()
            self.sync_files.close()
            self.dma_bufs.close()
            self.pool.close()


def _address_space() -> AddressSpace:
    from hornito.virtual.memory import AddressSpace as Space

    return Space()
