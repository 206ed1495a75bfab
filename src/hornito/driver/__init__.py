# SPDX-License-Identifier: MIT
"""Devices: something that loads a ``Submission`` and runs it. Here the one behind an etnaviv render node."""

from hornito.driver.device import Device, Loaded, check_inputs
from hornito.driver.etnaviv import EtnavivDevice
from hornito.hardware.chips import Chip, find_chip  # part of what a device tells

__all__ = ["Chip", "Device", "EtnavivDevice", "Loaded", "check_inputs", "find_chip"]
