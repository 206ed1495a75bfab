# SPDX-License-Identifier: MIT
"""How is a submission run on the NPU behind an etnaviv render node?

The same calls for the real kernel and the virtual one. Every buffer of a submission is a buffer object at a device
address of our choice; running costs two calls per input and output, and three for the job.
"""

import contextlib
import ctypes
import dataclasses
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hornito.driver.addresses import Addresses
from hornito.driver.buffers import BufferObject, wait_for
from hornito.driver.device import check_inputs
from hornito.driver.failures import device_errors
from hornito.driver.node import Node, ask_node, open_node
from hornito.errors import BadInput, DeviceError
from hornito.hardware.chips import Chip
from hornito.stream import BufferKind, Port, Submission
from hornito.uapi import etnaviv
from hornito.uapi.etnaviv import GemSubmit, Param, Prep, SubmitBo, SubmitBoFlag, SubmitFlag
from hornito.uapi.kernel import Kernel
from hornito.uapi.messages import Refusal, explain
from hornito.uapi.sync_file import SYNC_IOC_FILE_INFO

_LOG_HINT = "the kernel log, which can't be read here, says why: sudo dmesg | grep etnaviv"
_TOLD_KEPT = 1000  # lines of the kernel's log that nobody has asked for yet
_SIGN = np.uint8(0x80)  # int8 + 128, as bytes


class EtnavivDevice:
    """A ``Device``: the first NPU behind the render node ``path`` of ``kernel``.

    ``name``: what users call it, if not by its path. ``timeout``: how many seconds a job, and waiting for a buffer, may
    take; None: as long as it takes, since a kernel ends hung jobs itself. Threads may share a device; its jobs take
    turns. Raises Unsupported for a node of another driver, an older driver, no known NPU, or no softpin; DeviceError.
    """

    def __init__(self, kernel: Kernel, path: str, *, name: str | None = None, timeout: float | None = None) -> None:
        self._kernel = kernel
        self._name = name or path
        self._timeout = timeout
        self._lock = threading.RLock()
        self._loaded: list[EtnavivLoaded] = []
        self._parked: list[BufferObject] = []  # closed by their users, but the device may not be done with them
        self._process = os.getpid()
        self._told: list[str] = []
        self._fd = open_node(kernel, path, self._name)
        try:
            with device_errors(self._name):
                self._node = dataclasses.replace(ask_node(kernel, self._fd, path), path=self._name)
            core, self._chip = self._node.npu()
            self._pipe = core.pipe
            start = core.parameters[Param.SOFTPIN_START_ADDR]
            self._addresses = Addresses(start, etnaviv.ADDRESS_END)
        except BaseException:
            kernel.close(self._fd)
            raise
        self._end = weakref.finalize(self, _close, kernel, self._fd)  # for those who forget to close

    @property
    def name(self) -> str:
        return self._name

    @property
    def chip(self) -> Chip:
        return self._chip

    @property
    def node(self) -> Node:
        """What the driver and the cores behind the node say of themselves."""
        return self._node

    @property
    def pipe(self) -> int:
        """The NPU's number among the node's cores."""
        return self._pipe

    def messages(self) -> list[str]:
        """The kernel's log lines since the last call, where they can be read; those that errors told of too."""
        with self.using():
            lines = [*self._told, *self._kernel.messages(self._fd)]
            self._told = []
            return lines

    def load(self, submission: Submission, *, keep_addresses: bool = False) -> "EtnavivLoaded":
        """Place, upload and keep ``submission``. ``keep_addresses``: its buffers stay where they are, as a capture's
        must, which has no relocations; those addresses must be free."""
        with self.using():
            self._free_parked()
            loaded = EtnavivLoaded(self, self._kernel, self._fd, submission, keep_addresses)
            self._loaded.append(loaded)
            return loaded

    def close(self) -> None:
        if self.foreign:
            self._end()  # the descriptor is our copy; what is loaded is the parent's
            return
        with self._lock:
            if self._fd < 0:
                return
            for loaded in list(self._loaded):
                loaded.close()
            for buffer in self._parked:
                buffer.close()
            self._fd = -1
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # For what is loaded; the lock is held.

    @property
    def foreign(self) -> bool:
        """This is a forked child: handles, addresses and jobs are the parent's, and so is the lock's owner."""
        return os.getpid() != self._process

    @contextlib.contextmanager
    def using(self) -> Iterator[None]:
        """The device is this thread's for the block. Raises DeviceError: it is closed, a child's, or a call failed."""
        if self.foreign:
            raise DeviceError(f"{self._name}: was opened before a fork; open a device of its own in the child process")
        with self._lock, device_errors(self._name):
            if self._fd < 0:
                raise DeviceError(f"{self._name}: the device is closed; open it again")
            yield

    def allocate(self, size: int, address: int | None) -> BufferObject:
        """A buffer object at that address, or at one of our choice. Raises OSError."""
        size = -(-max(size, 1) // etnaviv.GRANULE) * etnaviv.GRANULE
        place = self._addresses.take(size) if address is None else self._addresses.take_at(address, size)
        try:
            return BufferObject(self._kernel, self._fd, place, size, self._timeout)
        except BaseException:
            self._addresses.free(place, size)
            raise

    def give_back(self, buffers: Sequence[BufferObject], loaded: "EtnavivLoaded | None" = None) -> None:
        """Their addresses are free again once the device is done with them."""
        if loaded is not None and loaded in self._loaded:
            self._loaded.remove(loaded)
        self._parked += buffers
        self._free_parked()

    def _free_parked(self) -> None:
        parked, self._parked = self._parked, []
        for buffer in parked:
            if buffer.idle():
                buffer.close()
                self._addresses.free(buffer.address, buffer.size)
            else:
                self._parked.append(buffer)

    def execute(self, submit: GemSubmit) -> None:
        """Hand a job to the device and wait for its end. Raises DeviceError if it was killed, OSError."""
        submit.pipe = self._pipe
        etnaviv.GEM_SUBMIT(self._kernel, self._fd, submit)
        try:
            wait_for(
                lambda until: etnaviv.WAIT_FENCE(
                    self._kernel, self._fd, pipe=self._pipe, fence=submit.fence, timeout=until
                ),
                self._timeout,
            )
            status = SYNC_IOC_FILE_INFO(self._kernel, submit.fence_fd).status
        finally:
            self._kernel.close(submit.fence_fd)
        if status < 0:
            raise self._killed(submit.fence, -status)

    def _killed(self, fence: int, code: int) -> DeviceError:
        lines = self._kernel.messages(self._fd)
        self._told = [*self._told, *lines][-_TOLD_KEPT:]
        why, line = explain(lines, fence) or (Refusal("unknown", _LOG_HINT), "")
        job = "the job" if why.job is None else f"job {why.job}"
        where = "" if why.address is None else f" at {why.address:#010x}"
        text = f"{self._name}: {job} was killed ({os.strerror(code)}); unit {why.unit}{where}: {why.reason}"
        return DeviceError(text, unit=why.unit, address=why.address, job=why.job, line=line)

    @property
    def lock(self) -> threading.RLock:
        """Held by whoever uses the device."""
        return self._lock


def _close(kernel: Kernel, fd: int) -> None:
    with contextlib.suppress(OSError):  # nothing can be done about it, and the descriptor is gone in any case
        kernel.close(fd)


class EtnavivLoaded:
    """A ``Loaded``; made by ``EtnavivDevice.load``. ``read`` and ``write`` reach its memory by device address."""

    def __init__(
        self, device: EtnavivDevice, kernel: Kernel, fd: int, submission: Submission, keep_addresses: bool
    ) -> None:
        self._device = device
        self._closed = False
        self._buffers: list[BufferObject] = []
        try:
            # The last buffer first: addresses are handed out downwards, and so stay in the submission's order.
            for buffer in reversed(submission.buffers):
                place = buffer.address if keep_addresses else None
                self._buffers.insert(0, device.allocate(buffer.size, place))
            placed = submission if keep_addresses else submission.moved([b.address for b in self._buffers])
            self._buffers.sort(key=lambda buffer: buffer.address)  # as moved() numbers them
            for buffer, place_of in zip(placed.buffers, self._buffers, strict=True):
                if buffer.data is not None and len(buffer.data):
                    with place_of.access(Prep.WRITE):
                        place_of.bytes()[: len(buffer.data)] = buffer.data
                    place_of.unmap()
            self._ports = placed.inputs
            self._inputs = [_Edge(port, self._buffers[port.buffer]) for port in placed.inputs]
            self._outputs = [_Edge(port, self._buffers[port.buffer]) for port in placed.outputs]
        except BaseException:
            device.give_back(self._buffers)
            raise
        self._stream = np.ascontiguousarray(placed.stream, dtype="<u4")
        self._table = (SubmitBo * max(1, len(self._buffers)))(
            *(
                SubmitBo(flags=_use(buffer.kind), handle=held.handle, presumed=held.address)
                for buffer, held in zip(placed.buffers, self._buffers, strict=True)
            )
        )
        self._submit = GemSubmit(
            exec_state=etnaviv.ExecState.PIPE_3D,
            nr_bos=len(self._buffers),
            bos=ctypes.addressof(self._table),
            stream_size=self._stream.nbytes,
            stream=self._stream.ctypes.data,
            flags=SubmitFlag.SOFTPIN | SubmitFlag.FENCE_FD_OUT,
        )

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        with self._device.using():
            self._check_open()
            check_inputs(self._ports, inputs)
            for edge, array in zip(self._inputs, inputs, strict=True):
                edge.write(array)
            self._device.execute(self._submit)
            return [edge.read() for edge in self._outputs]

    def close(self) -> None:
        if self._device.foreign:
            return
        with self._device.lock:
            if self._closed:
                return
            self._closed = True
            self._inputs, self._outputs = [], []  # they show the maps
            self._device.give_back(self._buffers, self)
            self._buffers = []

    def write(self, address: int, content: bytes) -> None:
        """Put bytes at a device address. Raises BadInput where they do not lie in one buffer."""
        with self._device.using():
            self._check_open()
            buffer, offset = self._at(address, len(content))
            with buffer.access(Prep.WRITE):
                buffer.bytes()[offset : offset + len(content)] = np.frombuffer(content, np.uint8)

    def read(self, address: int, length: int) -> bytes:
        """``length`` bytes from a device address. Raises BadInput where they do not lie in one buffer."""
        with self._device.using():
            self._check_open()
            buffer, offset = self._at(address, length)
            with buffer.access(Prep.READ):
                return buffer.bytes()[offset : offset + length].tobytes()

    def _at(self, address: int, length: int) -> tuple[BufferObject, int]:
        for buffer in self._buffers:
            if buffer.address <= address <= address + length <= buffer.address + buffer.size:
                return buffer, address - buffer.address
        raise BadInput(f"{length} bytes at {address:#x} lie in no buffer of the submission")

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceError(f"{self._device.name}: the submission is closed; load it again")


class _Edge:
    """Where an input or output meets the CPU: an array that shows the device's memory."""

    def __init__(self, port: Port, buffer: BufferObject) -> None:
        dtype = np.dtype(port.tensor.dtype)
        self._buffer = buffer
        self._shifted = dtype == np.int8
        place = buffer.bytes()[port.offset : port.offset + port.bytes]
        self._memory: NDArray[Any] = place.view(np.uint8 if self._shifted else dtype).reshape(port.tensor.shape)

    def write(self, array: NDArray[Any]) -> None:
        with self._buffer.access(Prep.WRITE):
            if self._shifted:
                np.bitwise_xor(array.view(np.uint8), _SIGN, out=self._memory)
            else:
                np.copyto(self._memory, array)

    def read(self) -> NDArray[Any]:
        with self._buffer.access(Prep.READ):
            if not self._shifted:
                return self._memory.copy()
            copy = np.empty_like(self._memory)
            np.bitwise_xor(self._memory, _SIGN, out=copy)
            return copy.view(np.int8)


def _use(kind: BufferKind) -> SubmitBoFlag:
    return SubmitBoFlag.READ | SubmitBoFlag.WRITE if kind is BufferKind.TENSOR else SubmitBoFlag.READ
