# SPDX-License-Identifier: MIT
"""Joins compiler, devices and the CPU's share of the work behind ``Interpreter``."""

from hornito.runtime.devices import Emulation, open_device
from hornito.runtime.interpreter import Interpreter
from hornito.runtime.inventory import Found, list_devices
from hornito.runtime.session import Session

__all__ = ["Emulation", "Found", "Interpreter", "Session", "list_devices", "open_device"]
