# SPDX-License-Identifier: MIT
"""Which device, which kernel, which board was tested? What a report may tell: no name of a host, a user or a file."""

import platform
from pathlib import Path

from hornito.doctor.report import Patient
from hornito.driver import EtnavivDevice
from hornito.driver.machine import Machine


def describe(device: EtnavivDevice, machine: Machine) -> Patient:
    """The device and its machine. Silicon is what no emulation answers for, on a machine with a device tree."""
    node = device.node
    core = next(core for core in node.cores if core.pipe == device.pipe)
    board = None if node.emulated else machine.board()
    return Patient(
        Path(device.name).name,
        board is not None,
        device.chip.name,
        device.pipe,
        node.driver,
        f"{node.version[0]}.{node.version[1]}",
        {param.name: value for param, value in core.parameters.items()},
        tuple(core.as_json() for core in node.cores),
        platform.release(),
        platform.machine(),
        board.model if board else "",
        board.compatible if board else (),
    )
