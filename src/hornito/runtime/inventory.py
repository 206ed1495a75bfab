# SPDX-License-Identifier: MIT
"""What is there to run models on? Every render node of an NPU with its cores, the virtual devices, the CPU."""

from dataclasses import dataclass
from typing import Any

from hornito.driver.machine import Machine
from hornito.driver.node import Core, Node, look_at
from hornito.errors import DeviceError, Unsupported
from hornito.hardware.chips import CHIPS, Chip, CoefficientFormat
from hornito.remote import RemoteDevice
from hornito.runtime.devices import CPU, HERE, VIRTUAL
from hornito.uapi.etnaviv import DRIVER_NAME
from hornito.words import counted

PLAN_ONLY = "its coefficient format is unproven, so models can be planned for it, but not run"


@dataclass(frozen=True)
class Found:
    """A device that ``hornito devices`` lists: its name for --device ("none" if it has none), its chip, what Hornito
    can do on it, and for a render node what the kernel says of it."""

    name: str
    chip: Chip | None
    description: str
    usable: bool
    node: Node | None = None

    @property
    def details(self) -> list[str]:
        """The cores of a render node, a line each."""
        return [_core_line(core) for core in self.node.cores] if self.node else []

    def as_json(self) -> dict[str, Any]:
        chip = self.chip
        found: dict[str, Any] = {
            "device": self.name,
            "chip": chip.name if chip else None,
            "soc": chip.soc if chip else None,
            "nn_cores": chip.nn_cores if chip else None,
            "tp_cores": chip.tp_cores if chip else None,
            "description": self.description,
            "usable": self.usable,
        }
        if self.node is not None:
            found["driver"] = self.node.driver
            found["driver_version"] = f"{self.node.version[0]}.{self.node.version[1]}"
            found["cores"] = [core.as_json() for core in self.node.cores]
        return found


def list_devices(machine: Machine = HERE) -> list[Found]:
    """Render nodes that are, or may be, the etnaviv driver's, then the virtual devices, then the CPU."""
    found = [entry for path in machine.render_nodes() if (entry := _real(machine, path)) is not None]
    for chip in CHIPS:
        text = _chip_text(chip)
        if chip.coefficient_format is CoefficientFormat.UNPROVEN:
            found.append(Found("none", chip, f"{text}: {PLAN_ONLY}", usable=False))
        else:
            found.append(Found(VIRTUAL, chip, f"virtual NPU, {text}", usable=True))
    return [*found, Found(CPU, None, "LiteRT on the CPU", usable=True)]


def remote_device(name: str) -> Found:
    """What ``hornito serve`` lends at that address. Raises BadInput, Unsupported, DeviceError."""
    with RemoteDevice(name) as device:
        status = device.status()
        chip = device.chip
    clients = int(status["clients"]) - 1  # we are one
    memory = f"{int(status['memory_used']) >> 20} of {int(status['memory_limit']) >> 20} MiB in use"
    text = f"{status['device']}, lent by 'hornito serve', {_chip_text(chip)}; other clients: {clients}, {memory}"
    return Found(name, chip, text, usable=True)


def missing_npu(machine: Machine = HERE) -> str | None:
    """Why a board that should have an NPU shows none, and what to do; None for machines that are no such board, and
    where there is one."""
    board = machine.board()
    if board is None or not (board.npu or board.is_known or board.vendor):
        return None
    for path in machine.render_nodes():
        entry = _real(machine, path)
        if entry is not None and (entry.usable or entry.chip or entry.node is None):
            return None
    return machine.cure()


def _real(machine: Machine, path: str) -> Found | None:
    """What is behind a render node; None for another driver's."""
    driver = machine.driver(path)
    if driver not in (DRIVER_NAME, None):
        return None
    try:
        node = look_at(machine.kernel(), path)
    except DeviceError as error:
        what = "etnaviv render node" if driver else "render node of an unknown driver"
        return Found(path, None, f"{what}, can't be used: {error}", usable=False)
    if not node.is_etnaviv:
        return None
    version = f"etnaviv {node.version[0]}.{node.version[1]}"
    try:
        chip = node.npu()[1]
    except Unsupported as error:
        known = next((core.chip for core in node.cores if core.chip), None)
        return Found(path, known, f"{version}, can't be used: {error}", usable=False, node=node)
    runs = chip.coefficient_format is not CoefficientFormat.UNPROVEN
    return Found(path, chip, f"{_chip_text(chip)}, {version}: {'runs models' if runs else PLAN_ONLY}", runs, node)


def _chip_text(chip: Chip) -> str:
    return f"{counted(chip.nn_cores, 'NN core')} and {counted(chip.tp_cores, 'TP core')}, {chip.soc}"


def _core_line(core: Core) -> str:
    one = core.identity
    what = core.chip.name if core.chip else "no NPU that Hornito knows"
    return (
        f"pipe {core.pipe}: model {one.model:#x}, revision {one.revision:#x}, product {one.product_id:#x}, "
        f"customer {one.customer_id:#x}, eco {one.eco_id:#x}: {what}"
    )
