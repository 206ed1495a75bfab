# SPDX-License-Identifier: MIT
"""How does the server get its socket? On a host's port, or as a file that only its user may use."""

import errno
import os
import socket
import stat
import time

from hornito.errors import BadInput
from hornito.remote.address import Address

_PASSING = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPROTO, errno.EINTR)
_PAUSE = 0.05  # seconds
_BACKLOG = 64


class Listener(socket.socket):
    """A socket that goes on accepting whatever becomes of a single connection, until it is closed."""

    def accept(self) -> tuple[socket.socket, object]:
        while True:
            try:
                return super().accept()
            except BlockingIOError:  # who knocked has gone again
                pass
            except OSError as error:
                if error.errno not in _PASSING:
                    raise
            time.sleep(_PAUSE)


def listen(address: Address) -> tuple[Listener, Address]:
    """A listening socket, and the address that clients use. Raises BadInput where that place can't be had."""
    try:
        return _listen_unix(address) if address.path else _listen_tcp(address)
    except OSError as error:
        raise BadInput(f"can't listen on {address}: {error.strerror or error}; name another with --listen") from error


def _listen_tcp(address: Address) -> tuple[Listener, Address]:
    family, kind, protocol, _, place = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = Listener(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        _begin(listener)
        port = listener.getsockname()[1]
    except BaseException:
        listener.close()
        raise
    everywhere = place[0] in ("0.0.0.0", "::")  # no address to reach it by
    return listener, Address(socket.gethostname() if everywhere else address.host, port)


def _listen_unix(address: Address) -> tuple[Listener, Address]:
    _remove_stale(address)
    listener = Listener(socket.AF_UNIX)
    mask = os.umask(0o177)
    try:
        listener.bind(address.path)
        _begin(listener)
    except BaseException:
        listener.close()
        raise
    finally:
        os.umask(mask)
    return listener, address


def _begin(listener: Listener) -> None:
    listener.listen(_BACKLOG)
    listener.setblocking(False)


def _remove_stale(address: Address) -> None:
    """Remove the socket of a server that was killed. Raises OSError where one still listens, or it is another file."""
    try:
        if not stat.S_ISSOCK(os.lstat(address.path).st_mode):
            raise OSError(errno.EEXIST, "there is a file, and it is no socket")
        address.connect(1.0).close()
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        os.unlink(address.path)
        return
    raise OSError(errno.EADDRINUSE, "a server listens there already")
