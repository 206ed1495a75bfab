# SPDX-License-Identifier: MIT
"""Which device is meant by a name, and how is it opened? The one registry of names."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hornito.driver import Device, EtnavivDevice
from hornito.driver.machine import Machine
from hornito.driver.node import look_at
from hornito.errors import BadInput, DeviceError, Unsupported
from hornito.hardware.chips import DEFAULT_CHIP, Chip, CoefficientFormat, find_chip
from hornito.remote import RemoteDevice, is_remote
from hornito.runtime.litert import useful_threads
from hornito.uapi.drm import RENDER_NODE
from hornito.uapi.etnaviv import DRIVER_NAME

if TYPE_CHECKING:
    from hornito.virtual.injection import FaultPlan

NAMES = f"auto, virtual, cpu, a render node such as {RENDER_NODE}, hornito://HOST:PORT and hornito+unix:PATH"
VIRTUAL, CPU, AUTO = "virtual", "cpu", "auto"
HERE = Machine()
Report = Callable[[int, int, str], None]  # kernels compiled, of how many, which


@dataclass(frozen=True)
class Emulation:
    """How the virtual NPU is to be, where it is what gets opened. ``chip``: which one it has if none is named;
    ``faults``: what is to go wrong; ``apart``: its jobs run in a process of their own, so that nothing here
    waits for them; ``threads``: among how many its work is divided, at most one a processor."""

    chip: str = DEFAULT_CHIP
    faults: "FaultPlan | None" = None
    apart: bool = False
    threads: int | None = None


def resolve(name: str, machine: Machine = HERE) -> str:
    """What "auto" stands for here: the first render node that has an NPU, or "virtual" where no etnaviv node exists.
    Other names stay. Raises DeviceError or Unsupported for an etnaviv node that is there but can't be used."""
    return first_npu(machine) or VIRTUAL if name == AUTO else name


def first_npu(machine: Machine = HERE) -> str | None:
    """The first render node with an NPU that can be used, or None if no node is the etnaviv driver's.

    Nodes of other drivers are passed over. Raises what is wrong with the first etnaviv node if none can be used.
    """
    trouble: DeviceError | Unsupported | None = None
    for path in machine.render_nodes():
        if machine.driver(path) not in (DRIVER_NAME, None):
            continue
        try:
            node = look_at(machine.kernel(), path)
            if node.is_etnaviv:
                node.npu()
                return path
        except (DeviceError, Unsupported) as error:
            trouble = trouble or error
    if trouble is not None:
        raise trouble
    return None


def find_device(
    name: str, chip: str | None = None, *, default: str = DEFAULT_CHIP, machine: Machine = HERE
) -> Chip | None:
    """The chip of the device that ``open_device`` would open, or None for "cpu". Raises as it does."""
    name = resolve(name, machine)
    if name.startswith("/"):
        return _checked(name, look_at(machine.kernel(), name).npu()[1], chip)
    if is_remote(name):
        with RemoteDevice(name) as device:
            return _checked(device.name, device.chip, chip)
    if name not in (VIRTUAL, CPU):
        raise BadInput(f"unknown device {name!r}; known are {NAMES}")
    found = find_chip(chip or default)
    return None if name == CPU else found


def open_device(
    name: str,
    chip: str | None = None,
    report: Report | None = None,
    *,
    emulation: Emulation | None = None,
    machine: Machine = HERE,
) -> Device | None:
    """The device of that name, or None for "cpu". ``chip``: which one to emulate, or what any other must be;
    ``report`` follows what has to be prepared once; ``emulation``: the virtual one's particulars. Only that can have
    faults.

    Raises BadInput for an unknown name or chip, Unsupported for a device that Hornito can't drive, DeviceError.
    """
    name = resolve(name, machine)
    emulation = emulation or Emulation()
    if emulation.faults is not None and name != VIRTUAL:
        raise BadInput(
            f"--fault with --device {name}: faults can be had from the virtual NPU only; use --device virtual"
        )
    if name.startswith("/") or is_remote(name):
        device = _open_elsewhere(name, machine)
        try:
            _checked(device.name, device.chip, chip)
        except BaseException:
            device.close()
            raise
        return device
    found = find_device(name, chip, default=emulation.chip, machine=machine)
    return None if found is None else _open_virtual(found, report, emulation)


def _open_elsewhere(name: str, machine: Machine) -> Device:
    """A render node, or another machine's device."""
    return RemoteDevice(name) if is_remote(name) else EtnavivDevice(machine.kernel(), name, timeout=machine.timeout)


def _checked(name: str, has: Chip, wanted: str | None) -> Chip:
    """What the device has. Raises BadInput where another chip was asked for."""
    if wanted is not None and find_chip(wanted) != has:
        raise BadInput(
            f"{name} is a {has.name}, not a {find_chip(wanted).name}; leave --chip out, or use --device virtual"
        )
    return has


def _open_virtual(chip: Chip, report: Report | None, emulation: Emulation) -> Device:
    from hornito.virtual.kernel import VirtualKernel
    from hornito.virtual.npu.executor import Executor
    from hornito.virtual.workers.process import ProcessExecutor

    if chip.coefficient_format is CoefficientFormat.UNPROVEN:
        cure = f"use --chip {DEFAULT_CHIP} or --device cpu"
        raise Unsupported(f"there is no virtual {chip.name}: its coefficient format is unproven; {cure}")
    here = Executor(
        chip, report, useful_threads(emulation.threads) or 1
    )  # for a worker too: what is compiled here, where it can be followed, it only loads
    if emulation.apart:
        worker = ProcessExecutor(chip)
        worker.wait_ready()
        kernel = VirtualKernel(chip, worker, new_space=worker.new_space, faults=emulation.faults)
    else:
        kernel = VirtualKernel(chip, here, faults=emulation.faults)
    return EtnavivDevice(kernel, RENDER_NODE, name=VIRTUAL)
