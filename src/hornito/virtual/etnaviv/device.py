# SPDX-License-Identifier: MIT
"""What does a virtual NPU behind an etnaviv driver answer to its clients' calls? Same ioctls, same checks, same errors.

It keeps the books for all open files of all processes, answers in microseconds and never waits: a call that would have
to raises ``Pending``, and is made again later, as Linux starts system calls again.
"""

import ctypes
import errno
import weakref
from collections.abc import Callable

from hornito.errors import Unsupported
from hornito.hardware.chips import Chip, CoefficientFormat
from hornito.uapi import drm, etnaviv
from hornito.virtual.etnaviv import calls_buffers, calls_info, calls_perfmon, calls_prime, calls_sync, submit, waits
from hornito.virtual.etnaviv.answers import refuse
from hornito.virtual.etnaviv.arguments import by_command
from hornito.virtual.etnaviv.books import Books
from hornito.virtual.etnaviv.buffers import Buffer
from hornito.virtual.etnaviv.caller import Caller, FileIdentity
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.jobs import AddressSpace, Executor
from hornito.virtual.etnaviv.pool import Pool
from hornito.virtual.etnaviv.scheduler import JobWatcher
from hornito.virtual.etnaviv.sync_files import SyncFile
from hornito.virtual.injection import FaultPlan
from hornito.virtual.timeline import Counters

_CALLS = by_command(
    (
        (drm.VERSION, calls_info.version),
        (drm.GEM_CLOSE, calls_buffers.gem_close),
        (drm.GET_CAP, calls_info.get_cap),
        (drm.PRIME_HANDLE_TO_FD, calls_prime.handle_to_fd),
        (drm.PRIME_FD_TO_HANDLE, calls_prime.fd_to_handle),
        (etnaviv.GET_PARAM, calls_info.get_param),
        (etnaviv.GEM_NEW, calls_buffers.gem_new),
        (etnaviv.GEM_INFO, calls_buffers.gem_info),
        (etnaviv.GEM_CPU_PREP, calls_buffers.cpu_prep),
        (etnaviv.GEM_CPU_FINI, calls_buffers.cpu_fini),
        (etnaviv.GEM_SUBMIT, submit.gem_submit),
        (etnaviv.WAIT_FENCE, waits.wait_fence),
        (etnaviv.GEM_USERPTR, calls_buffers.gem_userptr),
        (etnaviv.GEM_WAIT, waits.gem_wait),
        (etnaviv.PM_QUERY_DOM, calls_perfmon.query_domain),
        (etnaviv.PM_QUERY_SIG, calls_perfmon.query_signal),
    )
)
_DRM_LETTER = ord(drm.DRM_TYPE)


class VirtualDevice:
    """One virtual NPU, and the books of all who use it.

    ``executor`` runs the jobs, and is closed at the end (None: the virtual NPU itself, made when the first job comes);
    ``new_space`` makes a client's device memory, ``memory`` is how many bytes of buffers there may be, ``faults`` what
    is to go wrong. Raises Unsupported for a chip whose coefficient format nobody has proven. Threads may share it.
    After ``shutdown``, and in a forked child, every call gives ENODEV.
    """

    def __init__(
        self,
        chip: Chip,
        executor: Executor | None = None,
        *,
        new_space: Callable[[], AddressSpace] | None = None,
        memory: int = 4 << 30,
        faults: FaultPlan | None = None,
    ) -> None:
        if chip.coefficient_format is CoefficientFormat.UNPROVEN:
            raise Unsupported(f"there is no virtual {chip.name}: its coefficient format is unproven; use --device cpu")
        self.chip = chip
        self._books = Books(chip, executor, new_space, memory, faults or FaultPlan())
        self._end = weakref.finalize(self, Books.end, self._books)  # at exit too

    @property
    def pool(self) -> Pool:
        """Where all buffers lie; it knows open files by any process's descriptors."""
        return self._books.pool

    @property
    def memory_free(self) -> int:
        """How many bytes buffers may still take."""
        return self._books.memory_free

    # Open files.

    def open(self) -> OpenFile:
        """A new open file; its ``client_fd`` is the caller's to give to the client, and to close."""
        with self._books.lock:
            self._books.check_alive()
            return self._books.open()

    @property
    def wake_fd(self) -> int:
        """Polls readable when ``sweep`` is worth while. Raises OSError."""
        return self.pool.wake_fd

    def find(self, pid: int, fd: int) -> OpenFile | None:
        """The open file that a descriptor of a process (or thread) shows; None: none of ours, or we may not look."""
        try:
            number = self.pool.identify(pid, fd)
        except OSError:
            return None
        return None if number is None else self.file(number)

    def file(self, number: int) -> OpenFile | None:
        """The open file that the pool knows by that number."""
        file = self._books.files.get(number)
        return None if file is None or file.closed else file

    def release(self, file: OpenFile) -> None:
        """Nobody has a descriptor of it any more. What its jobs need goes when they have ended."""
        with self._books.lock:
            self._books.release(file)

    def sweep(self) -> list[OpenFile]:
        """Release what clients have closed, or left behind when they died: open files (told here), sync files and
        dma-bufs.

        ``wake_fd`` says when it is worth while.
        """
        with self._books.lock:
            return self._books.sweep()

    def check_map(self, file: OpenFile, length: int, offset: int) -> None:
        """Raises OSError with EINVAL for all but the beginning of a buffer of that file."""
        with self._books.lock:
            self._books.check_alive()
            buffers = (buffer for buffer in file.handles.values() if buffer.user is None)
            if not any(b.offset == offset and 0 < length <= b.size for b in buffers):
                raise refuse(errno.EINVAL)

    def messages(self, file: OpenFile) -> list[str]:
        """What was logged about that open file's jobs since the last time."""
        with self._books.lock:
            lines = list(file.log)
            file.log.clear()
        return lines

    def tell(self, logged: Callable[[str], None] | None, dumped: Callable[[bytes], None] | None) -> None:
        """Call ``logged`` with each line that the kernel logs from now on, ``dumped`` with each core dump; in the
        worker's thread, before anybody learns that the job was killed. They must not call the device."""
        with self._books.lock:
            self._books.logged = logged
            self._books.recovery.dumped = dumped

    def watch(self, watcher: JobWatcher) -> None:
        """Tell ``watcher`` of each job from now on. Before the first job."""
        self._books.scheduler.watcher = watcher

    @property
    def coredumps(self) -> list[bytes]:
        """The core dumps that nobody took by ``tell`` (format: hornito.uapi.coredump): of the first job that was
        killed, and of the first after each ``rearm``."""
        return list(self._books.recovery.dumps)

    @property
    def unfinished(self) -> bool:
        """Nothing is left to do when nobody calls."""
        return False

    def rest(self) -> None:
        """Nobody has called for some time."""

    def rearm(self) -> None:
        """Let the next job that is killed leave a core dump too; as writing Linux's module parameter dump_core."""
        self._books.recovery.armed = True

    @property
    def counters(self) -> Counters:
        """What the core's own counters would show, in modelled time, of all jobs that have ended."""
        return self._books.scheduler.counters

    def shutdown(self) -> None:
        """Cancel all jobs that have not begun and stop."""
        self._end()

    # Calls.

    def call(self, file: OpenFile, request: int, arg: ctypes.Structure | int, caller: Caller) -> None:
        """One ioctl on a render node. ``arg``: a pointer of the caller's, or a struct of this process.

        As Linux, with these choices: DRM answers EINVAL to a number that it does not know, and EACCES to one that a
        render node does not offer; another interface's letter gets ENOTTY, as on any file. Raises OSError; Pending.
        """
        request &= 0xFFFFFFFF
        with self._books.lock:
            self._books.check_alive()
            if file.closed:
                raise refuse(errno.EBADF)
            if request >> 8 & 0xFF != _DRM_LETTER:
                raise refuse(errno.ENOTTY)
            answer = _CALLS.get(request & 0xFF)
            if answer is None:
                raise refuse(_refusal(request & 0xFF))
            answer(self._books, file, request, arg, caller)

    def find_other(self, caller: Caller, fd: int) -> FileIdentity | None:
        """The sync file or dma-buf of ours that the caller's ``fd`` shows, if it does."""
        try:
            identity = caller.identify(fd)
        except OSError:
            return None
        return identity if self.is_sync_file(identity) or self.is_dma_buf(identity) else None

    def is_sync_file(self, identity: FileIdentity) -> bool:
        """A descriptor of that identity is a sync file of ours."""
        with self._books.lock:
            return self._books.sync_files.find(identity) is not None

    def is_dma_buf(self, identity: FileIdentity) -> bool:
        """A descriptor of that identity is a dma-buf of ours."""
        with self._books.lock:
            return self._books.dma_bufs.find(identity) is not None

    def sync_call(self, identity: FileIdentity, request: int, arg: ctypes.Structure | int, caller: Caller) -> None:
        """One ioctl on a sync file or a dma-buf. Raises OSError: EBADF for what is neither, ENOTTY; Pending."""
        request &= 0xFFFFFFFF
        with self._books.lock:
            self._books.check_alive()
            file: SyncFile | Buffer | None = self._books.sync_files.find(identity)
            answer = calls_sync.SYNC_FILE_CALLS.get(request)
            if file is None:
                file = self._books.dma_bufs.find(identity)
                answer = calls_sync.DMA_BUF_CALLS.get(request)
            if file is None:
                raise refuse(errno.EBADF)
            if answer is None:
                raise refuse(errno.ENOTTY)
            answer(self._books, file, request, arg, caller)


def _refusal(command: int) -> int:
    """The errno for a DRM command that nobody here answers."""
    if command in drm.DENIED_COMMANDS:
        return errno.EACCES
    return errno.EOPNOTSUPP if command in drm.SYNCOBJ_COMMANDS else errno.EINVAL  # the driver has no sync objects
