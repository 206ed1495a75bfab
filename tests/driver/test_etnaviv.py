# SPDX-License-Identifier: MIT
"""The driver over the virtual kernel; the jobs are a fake executor's."""

import ctypes
import errno
import gc
import grp
import mmap
import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hornito.driver import Device, EtnavivDevice, Loaded, failures
from hornito.errors import BadInput, DeviceError, Unsupported
from hornito.hardware.chips import CHIPS, Chip, CoefficientFormat, find_chip
from hornito.stream import Buffer, BufferKind, Port, Relocation, Submission, TensorInfo
from hornito.uapi.drm import RENDER_NODE, VERSION, Version
from hornito.uapi.etnaviv import GET_PARAM, GemNew, GemSubmit, GetParam, Param
from hornito.virtual.kernel import VirtualKernel
from tests.fake_executor import BLOCK, COPY, CRASH, FAULT, NOTHING, TOUCH, FakeExecutor, stream

SOURCE, TARGET = 0x1000000, 0x2000000
SHAPE = (1, 4, 4, 3)


@pytest.fixture
def executor() -> FakeExecutor:
    return FakeExecutor()


@pytest.fixture
def kernel(executor: FakeExecutor) -> Iterator[VirtualKernel]:
    kernel = VirtualKernel(find_chip("a311d"), executor)
    yield kernel
    executor.release.set()
    kernel.shutdown()


@pytest.fixture
def device(kernel: VirtualKernel) -> Iterator[EtnavivDevice]:
    with EtnavivDevice(kernel, RENDER_NODE, timeout=20) as device:
        yield device


def descriptors() -> int:
    """How many this process has open, garbage aside (every ``mmap`` object holds one)."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def copying(dtype: str = "uint8", offset: int = 16) -> Submission:
    """Copies its input, at ``offset`` of one buffer, to its output in another."""
    tensors = [TensorInfo(number, f"t{number}", SHAPE, dtype) for number in range(2)]
    size = tensors[0].bytes
    return Submission(
        stream(COPY, SOURCE + offset, TARGET, size),
        (Buffer(BufferKind.TENSOR, SOURCE, 4096), Buffer(BufferKind.TENSOR, TARGET, 4096)),
        (Relocation(-1, 4, 0), Relocation(-1, 8, 1)),
        (Port(tensors[0], 0, offset, size),),
        (Port(tensors[1], 1, 0, size),),
    )


def ordering(*order: int) -> Submission:
    return Submission(stream(*order), (Buffer(BufferKind.TENSOR, SOURCE, 4096),))


def values(dtype: str = "uint8", seed: int = 0) -> NDArray[Any]:
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(info.min, info.max, SHAPE, dtype, endpoint=True)


# Opening.


def test_etnaviv_device_is_a_device(device: EtnavivDevice) -> None:
    seam: Device = device
    loaded: Loaded = seam.load(copying())
    assert (seam.name, seam.chip.name, len(loaded.run([values()]))) == (RENDER_NODE, "vipnano-qi-88-0", 1)


@pytest.mark.parametrize(
    "chip", [chip for chip in CHIPS if chip.coefficient_format is not CoefficientFormat.UNPROVEN], ids=lambda c: c.name
)
def test_chip_is_known_by_its_ids(chip: Chip) -> None:
    kernel = VirtualKernel(chip, FakeExecutor())
    with EtnavivDevice(kernel, RENDER_NODE) as device:
        assert device.chip == chip
    kernel.shutdown()


class Changed(VirtualKernel):
    """A virtual kernel whose answers to some ioctls are changed after the fact."""

    def __init__(self, change: Callable[[ctypes.Structure | int, int], None]) -> None:
        super().__init__(find_chip("a311d"), FakeExecutor())
        self.change = change

    def ioctl(self, fd: int, request: int, arg: ctypes.Structure | int) -> int:
        try:
            return super().ioctl(fd, request, arg)
        finally:
            self.change(arg, request)


def refused(change: Callable[[ctypes.Structure | int, int], None]) -> str:
    kernel = Changed(change)
    before = descriptors()
    with pytest.raises(Unsupported) as caught:
        EtnavivDevice(kernel, RENDER_NODE)
    assert descriptors() == before
    kernel.shutdown()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_older_driver_is_refused() -> None:
    def change(arg: ctypes.Structure | int, request: int) -> None:
        if isinstance(arg, Version):
            arg.version_minor = 3

    assert "etnaviv 1.3 does not tell which NPU it has; 1.4 does" in refused(change)


def test_other_driver_is_refused() -> None:
    def change(arg: ctypes.Structure | int, request: int) -> None:
        if isinstance(arg, Version) and arg.name:
            ctypes.memmove(arg.name, b"vc4", 3)
            arg.name_len = 3

    assert "a node of the driver 'vc4', not of etnaviv" in refused(change)


def test_kernel_without_softpin_is_refused() -> None:
    def change(arg: ctypes.Structure | int, request: int) -> None:
        if isinstance(arg, GetParam) and arg.param == Param.SOFTPIN_START_ADDR:
            arg.value = (1 << 64) - 1

    assert "this kernel has no softpin" in refused(change)


def test_core_that_is_no_npu_is_refused_by_name() -> None:
    def change(arg: ctypes.Structure | int, request: int) -> None:
        if isinstance(arg, GetParam) and arg.param == Param.GPU_MODEL:
            arg.value = 0x880

    assert "no NPU that Hornito knows; cores found: 0x880 revision 0x7120" in refused(change)


def test_npu_behind_a_hole_in_the_pipes_is_found() -> None:
    class Later(VirtualKernel):
        pipes: list[int] = []

        def ioctl(self, fd: int, request: int, arg: ctypes.Structure | int) -> int:
            if isinstance(arg, GetParam) and request == GET_PARAM.number:
                if arg.pipe != 2:
                    raise OSError(errno.ENXIO, "no core")
                arg.pipe = 0
            if isinstance(arg, GemSubmit):
                self.pipes.append(arg.pipe)
                arg.pipe = 0
            return super().ioctl(fd, request, arg)

    kernel = Later(find_chip("a311d"), FakeExecutor())
    device = EtnavivDevice(kernel, RENDER_NODE)
    with pytest.raises(DeviceError):  # the wait for pipe 2 meets a kernel that has none
        device.load(ordering(NOTHING)).run([])
    assert kernel.pipes == [2]
    device.close()
    kernel.shutdown()


def test_missing_node_gives_the_cure(kernel: VirtualKernel) -> None:
    with pytest.raises(DeviceError, match=r"/dev/dri/renderD7: open: .* \[ENOENT\]; is the kernel's etnaviv driver"):
        EtnavivDevice(kernel, "/dev/dri/renderD7")


def test_missing_permission_names_the_group(kernel: VirtualKernel) -> None:
    class Locked(VirtualKernel):
        def open(self, path: str, flags: int) -> int:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    with pytest.raises(DeviceError, match=r"\[EACCES\]; join its group: sudo usermod -aG render \$USER"):
        EtnavivDevice(Locked(find_chip("a311d"), FakeExecutor()), "/no/such/renderD128")


@pytest.mark.parametrize(
    ("mode", "group", "words"),
    [
        (0o660, "daemon", r"\[EACCES\]; join its group: sudo usermod -aG daemon \$USER"),
        (0o660, "root", r'udev rule: KERNEL=="renderD128", GROUP="render", MODE="0660"'),
        (0o600, "daemon", r"no group of users may open it"),
        (0o660, 61234, r"its group, 61234, has no name here"),
    ],
)
def test_cure_for_permission_is_one_that_helps(tmp_path: Path, mode: int, group: str | int, words: str) -> None:
    node = tmp_path / "renderD128"
    node.touch()
    number = grp.getgrnam(group).gr_gid if isinstance(group, str) else group
    status = list(os.stat(node))
    status[stat.ST_MODE], status[stat.ST_GID] = stat.S_IFCHR | mode, number
    assert re.search(words, "[EACCES]; " + failures._permission_cure(str(node), os.stat_result(status)))


# Running.


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_input_reaches_the_output(device: EtnavivDevice, dtype: str) -> None:
    loaded = device.load(copying(dtype))
    for seed in range(3):
        (output,) = loaded.run([values(dtype, seed)])
        assert output.dtype == dtype
        np.testing.assert_array_equal(output, values(dtype, seed))


def test_int8_is_shifted_on_its_way_in_and_back(device: EtnavivDevice) -> None:
    loaded = device.load(copying("int8"))
    given = values("int8")
    (output,) = loaded.run([given])
    np.testing.assert_array_equal(output, given)
    assert output.dtype == np.int8
    seen = np.frombuffer(loaded.read(loaded._buffers[0].address + 16, given.size), np.uint8)
    np.testing.assert_array_equal(seen.astype(int) - 128, given.ravel())


def test_scalar_tensor_keeps_its_shape(device: EtnavivDevice) -> None:
    tensor = TensorInfo(0, "t", (), "int8")
    port = Port(tensor, 0, 0, 1)
    submission = Submission(stream(NOTHING), (Buffer(BufferKind.TENSOR, SOURCE, 4096),), (), (port,), (port,))
    (output,) = device.load(submission).run([np.array(-5, np.int8)])
    assert isinstance(output, np.ndarray) and (output.shape, int(output)) == ((), -5)


def test_input_may_be_strided_and_the_output_is_the_callers_own(device: EtnavivDevice) -> None:
    loaded = device.load(copying())
    given = values().transpose(0, 2, 1, 3)
    (first,) = loaded.run([given])
    loaded.run([values(seed=9)])
    np.testing.assert_array_equal(first, given)
    first[:] = 0


def test_inputs_that_do_not_fit_are_refused(device: EtnavivDevice) -> None:
    loaded = device.load(copying())
    for inputs in ([], [values("int8")], [values()[0]], [values(), values()]):
        with pytest.raises(BadInput):
            loaded.run(inputs)


def test_contents_are_uploaded_and_addresses_moved(device: EtnavivDevice, executor: FakeExecutor) -> None:
    size = 48
    contents = np.arange(size, dtype=np.uint8)
    submission = Submission(
        stream(COPY, SOURCE, TARGET, size),
        (Buffer(BufferKind.COEFFICIENTS, SOURCE, 5000, contents), Buffer(BufferKind.TENSOR, TARGET, 100)),
        (Relocation(-1, 4, 0), Relocation(-1, 8, 1)),
        (),
        (Port(TensorInfo(1, "o", SHAPE, "uint8"), 1, 0, size),),
    )
    for _ in range(2):
        (output,) = device.load(submission).run([])
        np.testing.assert_array_equal(output.ravel(), contents)
    assert executor.orders[0][1:3] == [0xFFFFD000, 0xFFFFF000]
    assert executor.orders[1][1:3] == [0xFFFFA000, 0xFFFFC000]


def test_capture_stays_at_its_own_addresses(device: EtnavivDevice, executor: FakeExecutor) -> None:
    capture = Submission(stream(COPY, SOURCE + 8, TARGET, 4), copying().buffers)
    loaded = device.load(capture, keep_addresses=True)
    loaded.write(SOURCE + 8, b"abcd")
    assert loaded.run([]) == []
    assert loaded.read(TARGET, 5) == b"abcd\0"
    with pytest.raises(BadInput, match="lie in no buffer"):
        loaded.read(TARGET + 4095, 2)
    with pytest.raises(DeviceError, match="ENOSPC"):
        device.load(capture, keep_addresses=True)
    loaded.close()
    device.load(capture, keep_addresses=True)


def test_stream_without_buffers_runs(device: EtnavivDevice) -> None:
    assert device.load(Submission(stream(NOTHING))).run([]) == []


def test_running_allocates_nothing(device: EtnavivDevice, kernel: VirtualKernel) -> None:
    loaded = device.load(copying())
    loaded.run([values()])
    used = kernel.device.memory_free, descriptors()
    for _ in range(20):
        loaded.run([values()])
    assert (kernel.device.memory_free, descriptors()) == used


def test_threads_share_a_device(device: EtnavivDevice) -> None:
    wrong: list[int] = []

    def work(seed: int) -> None:
        loaded = device.load(copying())
        for step in range(30):
            given = values(seed=100 * seed + step)
            if not np.array_equal(loaded.run([given])[0], given):
                wrong.append(seed)
        loaded.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert wrong == [] and not any(thread.is_alive() for thread in threads)


# Failing.


def test_refused_job_reaches_the_caller_with_unit_address_and_job(device: EtnavivDevice) -> None:
    with pytest.raises(DeviceError) as caught:
        device.load(ordering(FAULT, 0xFFFFF010, 3)).run([])
    error = caught.value
    assert (error.unit, error.address, error.job) == ("NN", 0xFFFFF010, 3)
    assert error.line.endswith("NN refused job 3 at 0xfffff010: kernel_z = 9 is never written")
    assert str(error) == (
        "/dev/dri/renderD128: job 3 was killed (Operation canceled); "
        "unit NN at 0xfffff010: kernel_z = 9 is never written"
    )


def test_address_in_no_buffer_reaches_the_caller(device: EtnavivDevice) -> None:
    with pytest.raises(DeviceError) as caught:
        device.load(ordering(TOUCH, 0x80000000)).run([])
    assert (caught.value.unit, caught.value.address, caught.value.job) == ("MMU", 0x80000000, 0)


def test_mistake_in_the_executor_reaches_the_caller(device: EtnavivDevice) -> None:
    with pytest.raises(DeviceError, match="ZeroDivisionError: a mistake of ours"):
        device.load(ordering(CRASH)).run([])


def test_killed_job_is_an_error_though_no_log_can_be_read(executor: FakeExecutor) -> None:
    class Silent(VirtualKernel):
        def messages(self, fd: int) -> list[str]:
            return []

    kernel = Silent(find_chip("a311d"), executor)
    with EtnavivDevice(kernel, RENDER_NODE) as device:
        with pytest.raises(DeviceError) as caught:
            device.load(ordering(CRASH)).run([])
        assert (caught.value.unit, caught.value.address, caught.value.line) == ("unknown", None, "")
    kernel.shutdown()


def test_next_job_runs_after_a_killed_one(device: EtnavivDevice) -> None:
    good, bad = device.load(copying()), device.load(ordering(FAULT, 1, 1))
    for seed in range(3):
        with pytest.raises(DeviceError):
            bad.run([])
        np.testing.assert_array_equal(good.run([values(seed=seed)])[0], values(seed=seed))


def test_job_beyond_its_deadline_keeps_its_memory_until_it_ends(kernel: VirtualKernel, executor: FakeExecutor) -> None:
    device = EtnavivDevice(kernel, RENDER_NODE, timeout=0.05)
    loaded = device.load(ordering(BLOCK))
    with pytest.raises(DeviceError, match=r"WAIT_FENCE: .*\[ETIMEDOUT\]; it did not answer in time"):
        loaded.run([])
    place = loaded._buffers[0].address
    loaded.close()
    other = device.load(ordering(NOTHING))
    assert other._buffers[0].address < place
    executor.release.set()
    kernel.ioctl(device._fd, GET_PARAM.number, GetParam(param=1))
    device._timeout = 20
    other.run([])
    assert device.load(ordering(NOTHING))._buffers[0].address == place
    device.close()


def test_memory_that_ends_is_one_line_and_leaves_nothing_behind(executor: FakeExecutor) -> None:
    kernel = VirtualKernel(find_chip("a311d"), executor, memory=3 * 4096)
    with EtnavivDevice(kernel, RENDER_NODE) as device:
        big = Submission(stream(NOTHING), tuple(Buffer(BufferKind.TENSOR, SOURCE + n * 4096, 4096) for n in range(4)))
        for _ in range(3):
            with pytest.raises(DeviceError, match=r"GEM_NEW: .*size=4096.* \[ENOMEM\]; close other users"):
                device.load(big)
        assert device.load(ordering(NOTHING))._buffers[0].address == 0xFFFFF000
    kernel.shutdown()


def test_address_space_that_ends_is_one_line(device: EtnavivDevice) -> None:
    device._addresses = type(device._addresses)(0x400000, 0x402000)
    device.load(copying())
    with pytest.raises(DeviceError, match=r"\[ENOSPC\]; its address space is full"):
        device.load(ordering(NOTHING))


def test_killed_job_without_a_log_says_where_to_look(executor: FakeExecutor) -> None:
    class Silent(VirtualKernel):
        def messages(self, fd: int) -> list[str]:
            return []

    kernel = Silent(find_chip("a311d"), executor)
    with EtnavivDevice(kernel, RENDER_NODE) as device, pytest.raises(DeviceError, match="sudo dmesg | grep etnaviv"):
        device.load(ordering(CRASH)).run([])
    kernel.shutdown()


def test_device_that_is_lost_is_one_line(executor: FakeExecutor) -> None:
    lost: list[int] = []

    def gone(arg: ctypes.Structure | int, request: int) -> None:
        if lost:
            raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    kernel = Changed(gone)
    device = EtnavivDevice(kernel, RENDER_NODE)
    loaded = device.load(copying())
    lost.append(1)
    with pytest.raises(DeviceError, match=r"renderD128: .*No such device.* \[ENODEV\]; it is gone; open it again"):
        loaded.run([values()])
    device.close()
    kernel.shutdown()


# Forks.


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child_gets_a_clear_error_and_harms_nothing(device: EtnavivDevice) -> None:
    loaded = device.load(copying())
    loaded.run([values()])
    reader, writer = os.pipe()
    with device.lock:  # another thread may hold it at the fork; the child must not wait for it
        child = os.fork()
        if child == 0:
            texts = []
            for use in (lambda: loaded.run([values()]), lambda: device.load(copying()), lambda: loaded.read(SOURCE, 1)):
                try:
                    use()
                except DeviceError as error:
                    texts.append(str(error))
            loaded.close()
            device.close()
            device.close()
            os.write(writer, "\n".join(texts).encode())
            os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    told = os.read(reader, 10_000).decode().splitlines()
    assert told == [f"{RENDER_NODE}: was opened before a fork; open a device of its own in the child process"] * 3
    np.testing.assert_array_equal(loaded.run([values(seed=5)])[0], values(seed=5))
    os.close(reader)
    os.close(writer)


# Closing.


def test_closing_gives_memory_and_addresses_back(device: EtnavivDevice) -> None:
    for _ in range(3):
        loaded = device.load(copying())
        assert loaded._buffers[-1].address == 0xFFFFF000
        loaded.run([values()])
        loaded.close()
        loaded.close()
        with pytest.raises(DeviceError, match="the submission is closed"):
            loaded.run([values()])


def test_closed_device_closes_what_it_holds(kernel: VirtualKernel) -> None:
    before = descriptors()
    device = EtnavivDevice(kernel, RENDER_NODE)
    loaded = device.load(copying())
    loaded.run([values()])
    device.close()
    device.close()
    loaded.close()
    for call in (lambda: loaded.run([values()]), lambda: device.load(copying())):
        with pytest.raises(DeviceError, match="is closed"):
            call()
    assert descriptors() == before
    kernel.shutdown()


def test_forgotten_device_gives_its_descriptors_back(executor: FakeExecutor) -> None:
    before = descriptors()
    device = EtnavivDevice(VirtualKernel(find_chip("a311d"), executor), RENDER_NODE)
    device.load(copying()).run([values()])
    del device
    deadline = time.monotonic() + 20
    while descriptors() != before:  # the worker's thread may be the last to let go
        assert time.monotonic() < deadline


def test_map_that_the_kernel_refuses_is_a_device_error(executor: FakeExecutor) -> None:
    class NoMaps(VirtualKernel):
        def mmap(self, fd: int, length: int, offset: int) -> mmap.mmap:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    kernel = NoMaps(find_chip("a311d"), executor)
    with EtnavivDevice(kernel, RENDER_NODE) as device, pytest.raises(DeviceError, match="ENOMEM"):
        device.load(copying())
    kernel.shutdown()


def test_every_call_of_the_driver_is_in_the_tables(executor: FakeExecutor) -> None:
    seen: list[ctypes.Structure | int] = []
    kernel = Changed(lambda arg, request: seen.append(arg))
    with EtnavivDevice(kernel, RENDER_NODE) as device:
        device.load(copying()).run([values()])
    assert all(isinstance(arg, ctypes.Structure) for arg in seen)
    assert any(isinstance(arg, GemNew) for arg in seen) and VERSION.struct in map(type, seen)
    kernel.shutdown()


def test_two_devices_on_one_kernel_do_not_see_each_others_messages(kernel: VirtualKernel) -> None:
    with EtnavivDevice(kernel, RENDER_NODE, timeout=20) as one, EtnavivDevice(kernel, RENDER_NODE, timeout=20) as two:
        with pytest.raises(DeviceError, match="ZeroDivisionError"):
            one.load(ordering(CRASH)).run([])
        assert two.messages() == []
        with pytest.raises(DeviceError, match="unit NN"):
            two.load(ordering(FAULT, 1, 1)).run([])
        assert not any("NN refused" in line for line in one.messages())
