# SPDX-License-Identifier: MIT
"""Where no node of an NPU is: what the device tree says, and what the user is told to do."""

from pathlib import Path

import pytest

from hornito.driver.machine import Machine
from hornito.hardware.boards import SOCS
from tests.driver.machines import device_tree, machine

GC = "vivante,gc"
VIM3 = ("Khadas VIM3", "khadas,vim3 amlogic,a311d amlogic,g12b")


def test_nodes_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    made, _ = machine(tmp_path, {"renderD130": "a", "renderD128": "b", "renderD1000": "c"})
    assert [Path(path).name for path in made.render_nodes()] == ["renderD128", "renderD130", "renderD1000"]
    assert Machine(nodes=tmp_path / "none").render_nodes() == []


def test_driver_is_what_sysfs_says(tmp_path: Path) -> None:
    made, _ = machine(tmp_path, {"renderD128": "i915"}, {"renderD128": "i915"})
    assert made.driver(f"{tmp_path}/dri/renderD128") == "i915"
    assert made.driver(f"{tmp_path}/dri/renderD129") is None


def test_machine_without_a_device_tree_gets_the_general_question(tmp_path: Path) -> None:
    made, _ = machine(tmp_path, {})
    assert made.board() is None
    assert made.cure() == "is the kernel's etnaviv driver loaded, and the NPU enabled in the device tree?"


def test_disabled_npu_is_found_and_its_switch_named(tmp_path: Path) -> None:
    device_tree(tmp_path, *VIM3, npu_ff100000={"compatible": GC, "status": "disabled"})
    made, _ = machine(tmp_path, {})
    board = made.board()
    assert board is not None and (board.model, board.npu, board.enabled) == ("Khadas VIM3", "/soc/npu@ff100000", False)
    cure = made.cure()
    assert cure.startswith("Khadas VIM3: the device tree leaves its NPU off")
    assert '&npu { status = "okay"; };' in cure and "npu@ff100000" in cure and "800 MHz" in cure
    assert "\n" not in cure


def test_board_whose_device_tree_lacks_the_node_gets_the_same_cure(tmp_path: Path) -> None:
    device_tree(tmp_path, *VIM3)
    assert '&npu { status = "okay"; };' in machine(tmp_path, {})[0].cure()


@pytest.mark.parametrize("status", [{}, {"status": "okay"}, {"status": "ok"}])
def test_enabled_npu_wants_its_driver(tmp_path: Path, status: dict[str, str]) -> None:
    device_tree(tmp_path, "Any", "any,board", npu_1={"compatible": GC, **status})
    assert machine(tmp_path, {})[0].cure().endswith("load the driver: sudo modprobe etnaviv")


def test_one_enabled_npu_is_enough(tmp_path: Path) -> None:
    nodes = {f"npu_{number}": {"compatible": GC, "status": "disabled"} for number in (1, 3, 4)}
    device_tree(tmp_path, "Any", "any,board", npu_2={"compatible": GC}, **nodes)
    board = machine(tmp_path, {})[0].board()
    assert board is not None and (board.npu, board.enabled) == ("/soc/npu@2", True)


def test_vendor_kernel_is_named(tmp_path: Path) -> None:
    device_tree(tmp_path, *VIM3, galcore={"compatible": "amlogic, galcore", "status": "okay"})
    assert "this kernel is for the vendor's driver galcore" in machine(tmp_path, {})[0].cure()


def test_unknown_board_with_a_disabled_npu(tmp_path: Path) -> None:
    device_tree(tmp_path, "Odd", "odd,board", npu_7={"compatible": GC, "status": "disabled"})
    assert machine(tmp_path, {})[0].cure().endswith('set the status of /soc/npu@7 to "okay"')


def test_graphics_core_of_the_same_driver_is_no_npu(tmp_path: Path) -> None:
    device_tree(tmp_path, "Board", "fsl,imx6q", gpu_1={"compatible": GC})
    assert machine(tmp_path, {})[0].cure().endswith("has no NPU that the etnaviv driver could take")


def test_board_that_enables_its_npu_in_mainline_says_where(tmp_path: Path) -> None:
    device_tree(tmp_path, "EVK", "fsl,imx8mp-evk fsl,imx8mp")
    assert "imx8mp.dtsi enables its NPU (npu@38500000)" in machine(tmp_path, {})[0].cure()


def test_every_soc_says_where_its_facts_come_from() -> None:
    assert all(soc.source.endswith(".dtsi") and soc.node.startswith("npu@") for soc in SOCS)
    assert len({soc.compatible for soc in SOCS}) == len(SOCS)
