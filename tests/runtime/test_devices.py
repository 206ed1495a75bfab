# SPDX-License-Identifier: MIT
"""Which device a name stands for, on machines with render nodes of any kind; the NPU behind them is a virtual one."""

import ctypes
import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hornito.driver import EtnavivDevice
from hornito.errors import BadInput, DeviceError, HornitoError, Unsupported
from hornito.examples import builtin_model
from hornito.hardware.chips import find_chip
from hornito.runtime import Interpreter
from hornito.runtime import interpreter as interpreter_module
from hornito.runtime.devices import find_device, open_device, resolve
from hornito.runtime.inventory import list_devices, missing_npu
from hornito.uapi.etnaviv import GetParam, Param
from hornito.uapi.kernel import Kernel
from hornito.virtual.kernel import VirtualKernel
from tests.driver.machines import Nodes, device_tree, machine
from tests.driver.test_etnaviv import Changed
from tests.fake_executor import FakeExecutor

Npu = Callable[..., VirtualKernel]


@pytest.fixture
def npu() -> Iterator[Npu]:
    """Makes kernels with an NPU of a chip."""
    made: list[VirtualKernel] = []

    def make(chip: str = "a311d") -> VirtualKernel:
        made.append(VirtualKernel(find_chip(chip), FakeExecutor()))
        return made[-1]

    yield make
    for kernel in made:
        kernel.shutdown()


def names(kernel: Nodes) -> list[str]:
    return [Path(path).name for path in kernel.opened]


def test_auto_is_virtual_where_there_is_no_node(tmp_path: Path) -> None:
    made, _ = machine(tmp_path, {})
    assert resolve("auto", made) == "virtual"
    assert find_device("auto", "imx8mp", machine=made) == find_chip("imx8mp")


def test_auto_is_the_first_npu_and_nodes_of_other_drivers_are_left_alone(tmp_path: Path, npu: Npu) -> None:
    nodes: dict[str, Kernel | str | int] = {
        "renderD128": "panfrost",
        "renderD129": "i915",
        "renderD130": npu("imx8mp"),
        "renderD131": npu(),
    }
    made, kernel = machine(tmp_path, nodes, {"renderD128": "panfrost"})
    assert resolve("auto", made) == f"{tmp_path}/dri/renderD130"
    assert names(kernel) == ["renderD129", "renderD130"]  # of 128 sysfs tells; of 129 only the node itself
    with open_device("auto", machine=made) or pytest.fail("no device") as device:
        assert (device.name, device.chip) == (f"{tmp_path}/dri/renderD130", find_chip("imx8mp"))
    assert kernel.open_now == {}


def test_auto_is_virtual_where_all_nodes_are_other_drivers(tmp_path: Path) -> None:
    made, kernel = machine(tmp_path, {"renderD128": errno.EACCES, "renderD129": "vc4"}, {"renderD128": "i915"})
    assert resolve("auto", made) == "virtual"
    assert (names(kernel), kernel.open_now) == (["renderD129"], {})


def test_node_without_permission_is_an_error_though_a_virtual_one_would_do(tmp_path: Path) -> None:
    made, _ = machine(tmp_path, {"renderD128": errno.EACCES}, {"renderD128": "etnaviv"})
    with pytest.raises(DeviceError, match=r"renderD128: open: .*\[EACCES\]; .*group"):
        find_device("auto", machine=made)


def test_node_that_works_comes_before_the_errors_of_others(tmp_path: Path, npu: Npu) -> None:
    made, _ = machine(tmp_path, {"renderD128": errno.EACCES, "renderD129": npu()}, {"renderD128": "etnaviv"})
    assert resolve("auto", made) == f"{tmp_path}/dri/renderD129"


def test_of_several_nodes_that_cannot_be_used_the_first_is_named(tmp_path: Path) -> None:
    nodes: dict[str, Kernel | str | int] = {"renderD128": errno.EACCES, "renderD129": errno.EMFILE}
    made, _ = machine(tmp_path, nodes, dict.fromkeys(nodes, "etnaviv"))
    with pytest.raises(DeviceError, match="renderD128"):
        resolve("auto", made)


def older(arg: object, request: int) -> None:
    if hasattr(arg, "version_minor"):
        arg.version_minor = 3


def graphics(arg: object, request: int) -> None:
    if getattr(arg, "param", 0) == 1:
        arg.value = 0x880  # type: ignore[attr-defined]


def without_softpin(arg: object, request: int) -> None:
    if getattr(arg, "param", 0) == 0x1B:
        arg.value = (1 << 64) - 1  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (older, "use a newer kernel"),
        (without_softpin, "use a newer kernel"),
        (graphics, "no NPU that Hornito knows; cores found: 0x880 revision 0x7120; use --device virtual"),
    ],
)
def test_node_that_cannot_be_used_is_an_error_with_its_cure(
    tmp_path: Path, change: Callable[[object, int], None], words: str
) -> None:
    inner = Changed(change)
    made, kernel = machine(tmp_path, {"renderD128": inner})
    with pytest.raises(Unsupported, match=words) as caught:
        find_device("auto", machine=made)
    assert "renderD128" in str(caught.value)
    [listed] = [entry for entry in list_devices(made) if entry.name.startswith("/")]
    assert not listed.usable and words in listed.description
    assert kernel.open_now == {}
    inner.shutdown()


def test_lost_device_is_no_missing_npu(tmp_path: Path) -> None:
    def gone(arg: object, request: int) -> None:
        if hasattr(arg, "param"):
            raise OSError(errno.ENODEV, "No such device")

    inner = Changed(gone)
    made, _ = machine(tmp_path, {"renderD128": inner})
    with pytest.raises(DeviceError, match=r"\[ENODEV\]; it is gone; open it again"):
        find_device("auto", machine=made)
    inner.shutdown()


def test_real_device_tells_its_chip_and_another_is_refused(tmp_path: Path, npu: Npu) -> None:
    made, kernel = machine(tmp_path, {"renderD128": npu()})
    path = f"{tmp_path}/dri/renderD128"
    assert find_device(path, machine=made) == find_device(path, "vipnano-qi", machine=made) == find_chip("a311d")
    for use in (find_device, open_device):
        with pytest.raises(BadInput, match="is a vipnano-qi-88-0, not a vipnano-si-plus-9f-6000000; leave --chip out"):
            use(path, "imx8mp", machine=made)
    assert kernel.open_now == {}


def test_missing_node_says_what_the_board_needs(tmp_path: Path) -> None:
    made, _ = machine(tmp_path, {})
    with pytest.raises(DeviceError, match=r"renderD9: open: No such file or directory \[ENOENT\]; is the kernel's"):
        open_device(f"{tmp_path}/dri/renderD9", machine=made)


def test_names_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    made, _ = machine(tmp_path, {})
    for name in ("gpu", "", "Virtual"):
        with pytest.raises(HornitoError, match="known are auto, virtual, cpu"):
            find_device(name, machine=made)


def test_file_that_is_no_render_node_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (str(tmp_path / "file"), "/dev/null"):
        words = rf"^{path}: not a DRM device \[ENOTTY\]; it is no render node; 'hornito devices' lists those of an NPU$"
        for look in (open_device, find_device):
            with pytest.raises(DeviceError, match=words):
                look(path)


# The list.


def test_list_tells_ids_cores_and_driver_of_every_node(tmp_path: Path, npu: Npu) -> None:
    made, kernel = machine(tmp_path, {"renderD128": npu(), "renderD129": "vc4"})
    real, *others = list_devices(made)
    assert real.usable and real.chip == find_chip("a311d")
    assert real.description.startswith("8 NN cores and 4 TP cores, ")
    assert real.description.endswith("etnaviv 1.4: runs models")
    assert real.details == [
        "pipe 0: model 0x8000, revision 0x7120, product 0x45080009, customer 0x88, eco 0x0: vipnano-qi-88-0"
    ]
    listed = real.as_json()
    assert (listed["driver_version"], listed["cores"][0]["customer_id"]) == ("1.4", 0x88)
    assert not any(entry.name.startswith("/") for entry in others)
    pico = next(entry for entry in others if entry.chip == find_chip("vippico-v3-99-2000000"))
    assert pico.description.startswith("2 NN cores and 1 TP core, ")
    assert kernel.open_now == {}


def test_list_shows_a_node_that_may_not_be_opened_and_why(tmp_path: Path) -> None:
    made, _ = machine(tmp_path, {"renderD128": errno.EACCES}, {"renderD128": "etnaviv"})
    first = list_devices(made)[0]
    assert (first.chip, first.usable) == (None, False)
    assert "EACCES" in first.description and "group" in first.description


def test_board_with_its_npu_off_is_told_how_to_switch_it_on(tmp_path: Path, npu: Npu) -> None:
    device_tree(tmp_path, "Khadas VIM3", "khadas,vim3 amlogic,a311d amlogic,g12b")
    made, _ = machine(tmp_path, {"renderD128": "panfrost"})
    assert '&npu { status = "okay"; };' in (missing_npu(made) or "")


def test_board_with_its_npu_on_needs_no_hint(tmp_path: Path, npu: Npu) -> None:
    device_tree(tmp_path, "Khadas VIM3", "khadas,vim3 amlogic,a311d amlogic,g12b")
    made, _ = machine(tmp_path, {"renderD128": npu()})
    assert missing_npu(made) is None


def test_machine_that_is_no_board_gets_no_hint(tmp_path: Path) -> None:
    assert missing_npu(machine(tmp_path, {})[0]) is None


def test_two_devices_of_one_process_keep_apart(tmp_path: Path, npu: Npu) -> None:
    made, kernel = machine(tmp_path, {"renderD128": npu()})
    path = f"{tmp_path}/dri/renderD128"
    devices = [open_device(path, machine=made) for _ in range(2)]
    assert all(isinstance(device, EtnavivDevice) for device in devices)
    assert len(kernel.open_now) == 2
    for device in devices:
        assert device is not None
        device.close()
    assert kernel.open_now == {}


def test_virtual_npu_that_stands_in_for_a_board_s_own_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    device_tree(tmp_path, "Khadas VIM3", "khadas,vim3 amlogic,a311d amlogic,g12b")
    made, _ = machine(tmp_path, {"renderD128": "panfrost"})
    monkeypatch.setattr(interpreter_module, "missing_npu", lambda: missing_npu(made))
    monkeypatch.setattr(interpreter_module, "resolve", lambda name: resolve(name, made))
    with Interpreter(builtin_model()) as automatic, Interpreter(builtin_model(), device="virtual") as chosen:
        [remark] = automatic.remarks
        assert remark.startswith("the virtual NPU stands in for this board's own: Khadas VIM3: the device tree leaves")
        assert chosen.remarks == []
    assert caplog.messages == [remark]


class BesideGraphics(VirtualKernel):
    """A node as the i.MX8M Plus has it: graphics cores as pipes 0 and 1, the NPU as pipe 2."""

    def ioctl(self, fd: int, request: int, arg: ctypes.Structure | int) -> int:
        if not isinstance(arg, GetParam) or arg.pipe == 3:
            return super().ioctl(fd, request, arg)
        pipe, arg.pipe = arg.pipe, 0
        try:
            result = super().ioctl(fd, request, arg)
        finally:
            arg.pipe = pipe
        if pipe < 2 and arg.param in (Param.GPU_MODEL, Param.GPU_CUSTOMER_ID):
            arg.value = 0x7000 if arg.param == Param.GPU_MODEL else 0
        return result


def test_npu_beside_graphics_cores_is_found_and_all_cores_are_listed(tmp_path: Path) -> None:
    inner = BesideGraphics(find_chip("imx8mp"), FakeExecutor())
    made, _ = machine(tmp_path, {"renderD128": inner})
    with open_device("auto", machine=made) or pytest.fail("no device") as device:
        assert isinstance(device, EtnavivDevice)
        assert (device.pipe, device.chip) == (2, find_chip("imx8mp"))
    real = list_devices(made)[0]
    assert [line.split(":")[0] for line in real.details] == ["pipe 0", "pipe 1", "pipe 2"]
    assert real.details[0].endswith("no NPU that Hornito knows") and real.details[2].endswith(find_chip("imx8mp").name)
    inner.shutdown()
