# SPDX-License-Identifier: MIT
"""What does a recorded call say, by name and field? From the tables of ``hornito.uapi``."""

import contextlib
import ctypes
import enum
import errno
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from hornito.errors import BadInput
from hornito.trace.records import Call
from hornito.uapi import drm, etnaviv
from hornito.uapi.ioctl import Struct
from hornito.uapi.tables import ioctl_name, ioctl_of

_TEXTS = {drm.VERSION.number: ("name", "date", "desc")}
_RAW = 64  # bytes of an unknown argument that are shown
# Of each request the fields whose numbers have names.
_ENUMS: dict[int, dict[str, type[enum.IntEnum] | type[enum.IntFlag]]] = {
    etnaviv.GET_PARAM.number: {"param": etnaviv.Param},
    etnaviv.GEM_NEW.number: {"flags": etnaviv.BoFlag},
    etnaviv.GEM_CPU_PREP.number: {"op": etnaviv.Prep},
    etnaviv.GEM_SUBMIT.number: {"exec_state": etnaviv.ExecState, "flags": etnaviv.SubmitFlag},
    etnaviv.WAIT_FENCE.number: {"flags": etnaviv.Wait},
    etnaviv.GEM_WAIT.number: {"flags": etnaviv.Wait},
    etnaviv.GEM_USERPTR.number: {"flags": etnaviv.UserPtr},
}


def name_of(call: Call) -> str:
    """The ioctl's name, without what all have in common."""
    return ioctl_name(call.request).removeprefix("DRM_IOCTL_")


def arguments(call: Call, content: bytes) -> dict[str, Any]:
    """The fields of the argument as sent or returned; an unknown struct is {"bytes": hex}."""
    ioctl = ioctl_of(call.request)
    if ioctl is None or len(content) < ctypes.sizeof(ioctl.struct):
        return {"bytes": content.hex()} if content else {}
    return _fields(ioctl.struct.from_buffer_copy(content))


def _fields(struct: Struct) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in struct.names():
        value = getattr(struct, name)
        if isinstance(value, Struct):
            value = _fields(value)
        elif isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        if name != "pad" or value:
            found[name] = value
    return found


def changes(call: Call) -> dict[str, Any]:
    """The fields that the kernel changed."""
    before, after = arguments(call, call.sent), arguments(call, call.returned)
    return {name: value for name, value in after.items() if before.get(name) != value}


def texts(call: Call, more: Callable[[Call, str], bytes]) -> dict[str, str]:
    """The texts that the argument's pointers lead to; ``more`` gives what was recorded behind one (Recording.more)."""
    found: dict[str, str] = {}
    for name in _TEXTS.get(call.request, ()):
        with contextlib.suppress(BadInput):  # the recording lost it
            found |= {name: more(call, name).decode("utf-8", "replace")} if name in call.more else {}
    return found


def text_of(call: Call, found_texts: Mapping[str, str] = MappingProxyType({})) -> str:
    """One line, as strace has them: time, thread, call, result, what came back (``texts`` too), how long it took."""
    sent = _named(call, arguments(call, call.sent))
    found = f"{call.time / 1e9:12.6f} [{call.thread}] {name_of(call)}({_listed(sent)})"
    if call.errno:
        known = errno.errorcode.get(call.errno, "")
        return f"{found} = -1 {known or call.errno} <{call.duration / 1e9:.6f}>"
    if call.unseen:
        return f"{found} = ?"
    changed = changes(call) | dict(found_texts)
    back = f" {{{_listed(changed)}}}" if changed else ""
    return f"{found} = {call.result}{back} <{call.duration / 1e9:.6f}>"


def _named(call: Call, fields: dict[str, Any]) -> dict[str, Any]:
    """Numbers that stand for names, and flags, as names; the zero of flags stays."""
    known = _ENUMS.get(call.request, {})
    return {name: _Name(known[name], value) if name in known else value for name, value in fields.items()}


class _Name(str):
    """A text that is shown without quotes."""

    def __new__(cls, kind: type[enum.IntEnum] | type[enum.IntFlag], value: int) -> "_Name":
        if issubclass(kind, enum.IntFlag):
            flags = [flag for flag in kind if value & flag]
            rest = value & ~sum(flags)
            parts = [str(flag.name) for flag in flags] + ([f"{rest:#x}"] if rest else [])
            return str.__new__(cls, "|".join(parts) or "0")
        names = {int(member): member.name for member in kind}
        return str.__new__(cls, names.get(value, hex(value)))


def _listed(fields: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_shown(value)}" for name, value in fields.items())


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{_listed(value)}}}"
    if isinstance(value, int):
        return hex(value) if abs(value) >= 1 << 16 else str(value)
    if isinstance(value, _Name):
        return str(value)
    return repr(value if len(value) <= _RAW else f"{value[:_RAW]}...")
