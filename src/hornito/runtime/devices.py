# SPDX-License-Identifier: MIT
"""Which devices are there, and how is one opened by name? The one registry of names."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hornito.driver import Device, EtnavivDevice
from hornito.errors import BadInput, Unsupported
from hornito.hardware.chips import CHIPS, DEFAULT_CHIP, Chip, CoefficientFormat, find_chip
from hornito.remote import RemoteDevice, is_remote
from hornito.uapi.drm import RENDER_NODE

NAMES = "auto, virtual, cpu or hornito://HOST:PORT"
Report = Callable[[int, int, str], None]  # kernels compiled, of how many, which


@dataclass(frozen=True)
class Found:
    """A device that ``hornito devices`` lists: its name for --device, its chip, and what Hornito can do on it."""

    name: str
    chip: Chip | None
    description: str
    usable: bool

    def as_json(self) -> dict[str, Any]:
        chip = self.chip
        return {
            "device": self.name,
            "chip": chip.name if chip else None,
            "soc": chip.soc if chip else None,
            "nn_cores": chip.nn_cores if chip else None,
            "tp_cores": chip.tp_cores if chip else None,
            "description": self.description,
            "usable": self.usable,
        }


def list_devices() -> list[Found]:
    """Render nodes of an NPU on this machine, then the virtual devices, then the CPU."""
    found = [
        Found(node, None, "etnaviv render node; Hornito does not drive real ones yet", usable=False)
        for node in etnaviv_nodes()
    ]
    for chip in CHIPS:
        text = f"{chip.nn_cores} NN and {chip.tp_cores} TP cores, {chip.soc}"
        if chip.coefficient_format is CoefficientFormat.UNPROVEN:
            text = f"{text}: its coefficient format is unproven, so models can be planned for it, but not run"
            found.append(Found("none", chip, text, usable=False))
        else:
            found.append(Found("virtual", chip, f"virtual NPU, {text}", usable=True))
    return [*found, Found("cpu", None, "LiteRT on the CPU", usable=True)]


def etnaviv_nodes(sysfs: Path = Path("/sys/class/drm")) -> list[str]:
    """Render nodes that the kernel's etnaviv driver serves, by what sysfs says."""
    nodes = []
    for entry in sorted(sysfs.glob("renderD*")) if sysfs.is_dir() else []:
        try:
            if (entry / "device" / "driver").resolve().name == "etnaviv":
                nodes.append(f"/dev/dri/{entry.name}")
        except OSError:
            continue
    return nodes


def find_device(name: str, chip: str | None = None) -> Chip | None:
    """The chip that ``open_device`` would open, or None for "cpu"; opens nothing. Raises as it does."""
    if name == "auto":
        if nodes := etnaviv_nodes():
            raise Unsupported(f"{nodes[0]}: Hornito does not drive real NPUs yet; use --device virtual or --device cpu")
        name = "virtual"
    if name.startswith("/"):
        raise Unsupported(f"{name}: Hornito does not drive real NPUs yet; use --device virtual or --device cpu")
    if is_remote(name):
        with _open_remote(name, chip) as device:
            return device.chip
    if name not in ("virtual", "cpu"):
        raise BadInput(f"unknown device {name!r}; known are {NAMES}")
    found = find_chip(chip or DEFAULT_CHIP)
    return None if name == "cpu" else found


def open_device(name: str, chip: str | None = None, report: Report | None = None) -> Device | None:
    """The device of that name, or None for "cpu". ``report`` follows what has to be prepared once.

    Raises BadInput for an unknown name or chip, Unsupported for a device that Hornito can't drive, DeviceError.
    """
    if is_remote(name):
        return _open_remote(name, chip)
    found = find_device(name, chip)
    return None if found is None else _open_virtual(found, report)


def _checked(name: str, has: Chip, wanted: str | None) -> Chip:
    """What the device has. Raises BadInput where another chip was asked for."""
    if wanted is not None and find_chip(wanted) != has:
        raise BadInput(
            f"{name} is a {has.name}, not a {find_chip(wanted).name}; leave --chip out, or use --device virtual"
        )
    return has


def _open_remote(name: str, chip: str | None) -> RemoteDevice:
    device = RemoteDevice(name)
    try:
        _checked(device.name, device.chip, chip)
    except BaseException:
        device.close()
        raise
    return device


def _open_virtual(chip: Chip, report: Report | None) -> Device:
    from hornito.virtual.executor import Executor
    from hornito.virtual.kernel import VirtualKernel

    if chip.coefficient_format is CoefficientFormat.UNPROVEN:
        cure = f"use --chip {DEFAULT_CHIP} or --device cpu"
        raise Unsupported(f"there is no virtual {chip.name}: its coefficient format is unproven; {cure}")
    kernel = VirtualKernel(chip, executor=Executor(chip, report))
    return EtnavivDevice(kernel, RENDER_NODE, name="virtual")
