# SPDX-License-Identifier: MIT
"""Whatever two clients do, mostly right or wrong in one field only: errnos of the kernel's, and nothing left behind."""

import ctypes
import errno
import mmap
import os
import random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.hardware.chips import find_chip
from hornito.uapi import dma_buf, drm, etnaviv
from hornito.uapi.drm import RENDER_NODE
from hornito.uapi.etnaviv import SubmitBo, SubmitPmr, SubmitReloc, Timespec
from hornito.uapi.ioctl import Struct
from hornito.uapi.sync_file import SYNC_IOC_FILE_INFO, SYNC_IOC_MERGE, SyncFenceInfo
from hornito.virtual.kernel import VirtualKernel
from tests.fake_executor import NOTHING, TOUCH, FakeExecutor, stream

# What the databook's tables say, and what Linux answers where they are silent (EPERM: user memory of another process).
_ERRNOS = {
    *(errno.EINVAL, errno.ENXIO, errno.ENOENT, errno.EBADF, errno.EFAULT, errno.ENOSPC, errno.ENOMEM, errno.EALREADY),
    *(errno.EBUSY, errno.ETIMEDOUT, errno.EACCES, errno.ENOTTY, errno.EOPNOTSUPP, errno.EPERM),
}
_MEMORY = 1 << 22
_PAGE = mmap.PAGESIZE
_ODD = [0, 1, 2, 3, 4, 5, 8, 4093, 4095, 4096, 0x81000, 0x400000, 0xFFFFF000, (1 << 31) - 1, 1 << 31, (1 << 32) - 1]
_ODD += [(1 << 64) - 1, 7, 33, 70]
_PLACES = [0x400000, 0x401000, 0x402000, 0xF0000000, 0xFFFFE000]
_MEMORY_OF_OURS = mmap.mmap(-1, 4 * _PAGE)
_ADDRESS = ctypes.addressof(ctypes.c_char.from_buffer(_MEMORY_OF_OURS))


class Clients:
    """Two open files, and all that they were given: handles, sync files, dma-bufs."""

    def __init__(self) -> None:
        self.random = random.Random(0)
        self.kernel = VirtualKernel(find_chip("a311d"), FakeExecutor(), memory=_MEMORY)
        self.files = [self.kernel.open(RENDER_NODE, os.O_RDWR) for _ in range(2)]
        self.handles = [[etnaviv.GEM_NEW(self.kernel, fd, size=8192, flags=0x20000).handle] for fd in self.files]
        self.sync_files: list[int] = []
        shared = drm.PRIME_HANDLE_TO_FD(self.kernel, self.files[0], handle=self.handles[0][0], flags=os.O_CLOEXEC)
        self.dma_bufs: list[int] = [shared.fd]
        self.kept: list[Any] = []  # what pointers of ours point to

    def any(self, values: list[int], otherwise: int) -> int:
        """One of these, mostly."""
        return self.random.choice(values) if values else otherwise

    def call(self, spec: Any, fd: int, /, **values: Any) -> Any:
        """The ioctl, with perhaps one field spoilt. None if it is refused."""
        arg: Struct = spec.struct(**values)
        spoilable = [name for name in arg.names() if name in arg.ranges]
        if spoilable and self.random.random() < 0.5:
            name = self.random.choice(spoilable)
            low, high = arg.ranges[name]
            setattr(arg, name, min(max(self.random.choice(_ODD), low), high))
        try:
            return spec(self.kernel, fd, arg)
        except OSError as error:
            assert error.errno in _ERRNOS, error
            return None

    def step(self, seed: int) -> None:
        """One or two calls. What they are hangs on the seed alone, and on what is there to use."""
        self.random.seed(seed)
        which = self.random.randint(0, 1)
        fd, handles = self.files[which], self.handles[which]
        handle = self.any(handles, 1)
        timeout = Timespec(tv_sec=1 << 40)
        match self.random.randint(0, 17):
            case 0 | 1 | 2:
                size = self.random.choice([1, 4096, 5000, 1 << 20])
                if made := self.call(etnaviv.GEM_NEW, fd, size=size, flags=0x20000):
                    handles.append(made.handle)
            case 3:
                flags = self.random.choice([1, 2, 3])
                place = _ADDRESS + self.random.randint(0, 3) * _PAGE
                if made := self.call(etnaviv.GEM_USERPTR, fd, user_ptr=place, user_size=_PAGE, flags=flags):
                    handles.append(made.handle)
            case 4:
                if (closed := self.call(drm.GEM_CLOSE, fd, handle=handle)) and closed.handle in handles:
                    handles.remove(closed.handle)
            case 5:
                self.call(etnaviv.GEM_INFO, fd, handle=handle)
            case 6:
                self.call(etnaviv.GEM_CPU_PREP, fd, handle=handle, op=3, timeout=timeout)
                self.call(etnaviv.GEM_CPU_FINI, fd, handle=handle)
            case 7:
                self.call(etnaviv.GEM_WAIT, fd, handle=handle, timeout=timeout)
                self.call(etnaviv.WAIT_FENCE, fd, fence=1, timeout=timeout)
            case 8 | 9 | 10 | 11:
                self.submit(fd, handles)
            case 12:
                if given_out := self.call(drm.PRIME_HANDLE_TO_FD, fd, handle=handle, flags=os.O_CLOEXEC):
                    self.dma_bufs.append(given_out.fd)
            case 13:
                taken = self.call(drm.PRIME_FD_TO_HANDLE, fd, fd=self.any(self.dma_bufs, 0))
                if taken and taken.handle not in handles:
                    handles.append(taken.handle)
            case 14:
                self.sync()
            case 15:
                self.call(etnaviv.PM_QUERY_DOM, fd)
                self.call(etnaviv.PM_QUERY_SIG, fd, domain=7)
                self.call(drm.GET_CAP, fd, capability=5)
            case 16:
                descriptor = self.any(self.dma_bufs, -1)
                self.call(dma_buf.DMA_BUF_IOCTL_SYNC, descriptor, flags=3)
                if exported := self.call(dma_buf.DMA_BUF_IOCTL_EXPORT_SYNC_FILE, descriptor, flags=2):
                    self.sync_files.append(exported.fd)
                self.call(dma_buf.DMA_BUF_IOCTL_IMPORT_SYNC_FILE, descriptor, flags=2, fd=self.any(self.sync_files, 0))
            case 17:
                self.close(fd)
                self.files[which] = self.kernel.open(RENDER_NODE, os.O_RDWR)
                handles.clear()

    def submit(self, fd: int, handles: list[int]) -> None:
        chosen = self.random.sample(handles, min(len(handles), self.random.randint(0, 4)))
        softpin = self.random.random() < 0.5
        bos = [SubmitBo(handle=handle, flags=3, presumed=self.random.choice(_PLACES)) for handle in chosen]
        words = stream(*self.random.choice([(NOTHING,), (TOUCH, 0x400000)]))
        relocs = [SubmitReloc(submit_offset=4, reloc_idx=0)] if chosen and not softpin and len(words) == 2 else []
        pmrs = [SubmitPmr(read_offset=1, flags=1)] if chosen and (self.random.random() < 0.5) else []
        tables = [self.table(SubmitBo, bos), self.table(SubmitReloc, relocs), self.table(SubmitPmr, pmrs)]
        in_fence = self.any(self.sync_files, -1)
        flags = 8 * softpin | 4 * (self.random.random() < 0.5) | 2 * (in_fence >= 0)
        done = self.call(
            etnaviv.GEM_SUBMIT,
            fd,
            flags=flags,
            fence_fd=in_fence,
            stream=words.ctypes.data,
            stream_size=words.nbytes,
            **{"bos": tables[0], "nr_bos": len(bos), "relocs": tables[1], "nr_relocs": len(relocs)},
            **{"pmrs": tables[2], "nr_pmrs": len(pmrs)},
        )
        self.kept.append(words)
        if done and done.flags & 4:
            self.sync_files.append(done.fence_fd)

    def table(self, kind: type[Struct], entries: list[Any]) -> int:
        """Where it is; one field of one entry may be spoilt."""
        table = (kind * max(1, len(entries)))(*entries)
        self.kept.append(table)
        if entries and self.random.randint(0, 3) == 0:
            entry = table[self.random.randint(0, len(entries) - 1)]
            name = self.random.choice(entry.names())
            low, high = entry.ranges[name]
            setattr(entry, name, min(max(self.random.choice(_ODD), low), high))
        return ctypes.addressof(table)

    def sync(self) -> None:
        one, two = self.any(self.sync_files, -1), self.any(self.sync_files, -1)
        room = (SyncFenceInfo * 8)()
        self.kept.append(room)
        self.call(SYNC_IOC_FILE_INFO, one, num_fences=8, sync_fence_info=ctypes.addressof(room))
        if merged := self.call(SYNC_IOC_MERGE, one, fd2=two):
            self.sync_files.append(merged.fence)
        if len(self.sync_files) > 5:
            self.kernel.close(self.sync_files.pop(0))

    def close(self, fd: int) -> None:
        """Close a node. Its jobs may have failed by what their streams say, but not by what the kernel did."""
        end = etnaviv.GEM_SUBMIT(self.kernel, fd, flags=8)
        etnaviv.WAIT_FENCE(self.kernel, fd, fence=end.fence, timeout=Timespec(tv_sec=1 << 40))
        lines = self.kernel.messages(fd)
        refusals = [line for line in lines if "executor refused" in line and "unknown order" not in line]
        assert refusals == []
        self.kernel.close(fd)

    def leave(self) -> None:
        """Close everything; a last job sees to it that those before have ended."""
        for fd in self.files:
            self.close(fd)
        for descriptor in (*self.sync_files, *self.dma_bufs):
            self.kernel.close(descriptor)
        fd = self.kernel.open(RENDER_NODE, os.O_RDWR)
        for _ in range(2):  # what the first leaves to do is done before the second
            end = etnaviv.GEM_SUBMIT(self.kernel, fd, flags=8)
            etnaviv.WAIT_FENCE(self.kernel, fd, fence=end.fence, timeout=Timespec(tv_sec=1 << 40))
        self.kernel.close(fd)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, (1 << 32) - 1), min_size=1, max_size=40))
def test_sequences_give_errnos_and_leave_nothing(seeds: list[int]) -> None:
    before = len(os.listdir("/proc/self/fd"))
    clients = Clients()
    for seed in seeds:
        clients.step(seed)
    clients.leave()
    assert clients.kernel.device.memory_free == _MEMORY
    clients.kernel.shutdown()
    assert len(os.listdir("/proc/self/fd")) == before
