# SPDX-License-Identifier: MIT
"""Where is a device of another machine? ``hornito://HOST:PORT``, or ``hornito+unix:PATH`` for a socket of this one."""

import os
import socket
from dataclasses import dataclass

from hornito.errors import BadInput

TCP, UNIX = "hornito://", "hornito+unix:"
_LISTEN_UNIX = "unix:"
_MAX_PORT = 0xFFFF
_MOST_DIGITS = 9  # of a port; Python turns no text of thousands into a number


def is_remote(name: str) -> bool:
    """Whether ``--device NAME`` means a device at the other end of a socket."""
    return name.startswith((TCP, UNIX))


@dataclass(frozen=True)
class Address:
    """A host and a port (0: any that is free, to listen on), or the path of a Unix socket. ``str()`` of it is a name
    for ``--device``."""

    host: str = ""
    port: int = 0
    path: str = ""

    @classmethod
    def of_device(cls, name: str) -> "Address":
        """What ``--device`` was given. Raises BadInput."""
        form = f"use {TCP}HOST:PORT or {UNIX}PATH"
        if name.startswith(UNIX) and len(name) > len(UNIX):
            return cls(path=name.removeprefix(UNIX))
        if not name.startswith(TCP):
            raise BadInput(f"{name!r} is no address of a device; {form}")
        address = cls._of_host(name.removeprefix(TCP))
        if address is None or address.port == 0:
            raise BadInput(f"{name!r} names no host and port (1 to {_MAX_PORT}); {form}")
        return address

    @classmethod
    def to_listen(cls, text: str) -> "Address":
        """What ``--listen`` was given: HOST:PORT or unix:PATH. Raises BadInput."""
        if text.startswith(_LISTEN_UNIX) and len(text) > len(_LISTEN_UNIX):
            return cls(path=os.path.abspath(text.removeprefix(_LISTEN_UNIX)))
        address = cls._of_host(text)
        if address is None:
            raise BadInput(f"{text!r}: can't listen there; use HOST:PORT (port 0: any that is free) or unix:PATH")
        return address

    @classmethod
    def _of_host(cls, text: str) -> "Address | None":
        host, colon, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            return None  # an IPv6 address without its brackets, or a mistake
        plain = host.isascii() and host.isprintable() and not set(host) & set(" /@?#[]")
        number = port.isascii() and port.isdigit() and len(port) <= _MOST_DIGITS and int(port) <= _MAX_PORT
        if not (colon and host and plain and number):
            return None
        return cls(host=host, port=int(port))

    def __str__(self) -> str:
        if self.path:
            return f"{UNIX}{self.path}"
        return f"{TCP}[{self.host}]:{self.port}" if ":" in self.host else f"{TCP}{self.host}:{self.port}"

    def connect(self, timeout: float) -> socket.socket:
        """A socket that is connected to it, within so many seconds. Raises OSError."""
        if not self.path:
            return socket.create_connection((self.host, self.port), timeout)
        found = socket.socket(socket.AF_UNIX)
        try:
            found.settimeout(timeout)
            found.connect(self.path)
        except BaseException:
            found.close()
            raise
        return found
