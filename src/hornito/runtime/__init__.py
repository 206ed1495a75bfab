# SPDX-License-Identifier: MIT
"""Joins compiler, devices and the CPU's share of the work behind ``Interpreter``.

Public names are imported when they are first used: who only compiles needs no device.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hornito.runtime.compiled import CompiledModel as CompiledModel
    from hornito.runtime.devices import Emulation as Emulation
    from hornito.runtime.devices import open_device as open_device
    from hornito.runtime.interpreter import Interpreter as Interpreter
    from hornito.runtime.inventory import Found as Found
    from hornito.runtime.inventory import list_devices as list_devices
    from hornito.runtime.session import Session as Session

_HOMES = {
    "CompiledModel": "compiled",
    "Emulation": "devices",
    "Found": "inventory",
    "Interpreter": "interpreter",
    "Session": "session",
    "list_devices": "inventory",
    "open_device": "devices",
}
__all__ = ["CompiledModel", "Emulation", "Found", "Interpreter", "Session", "list_devices", "open_device"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hornito.runtime' has no attribute {name!r}")
    return getattr(importlib.import_module(f"hornito.runtime.{_HOMES[name]}"), name)
