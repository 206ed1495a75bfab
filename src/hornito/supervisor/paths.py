# SPDX-License-Identifier: MIT
"""What is answered to a call that names a path? Nothing if the path leads elsewhere: the kernel does such calls."""

import errno
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass

from hornito.supervisor.caller import RemoteCaller
from hornito.supervisor.notifications import Notification
from hornito.supervisor.picture import TELLING, Picture, Place
from hornito.uapi.drm import RENDER_NODE
from hornito.uapi.system_calls import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW, Architecture, pack_statx

_ARGUMENT = 6  # where the arguments begin in a notification
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_O_PATH = os.O_PATH
_HOW_FLAGS = 8  # bytes of struct open_how that hold the flags of openat2


@dataclass(frozen=True)
class PathCall:
    """Which arguments of a system call are what. ``folder``: the descriptor where relative paths begin; ``flags``: its
    AT_ flags, or how it opens; ``buffer``: where the result goes. None: it has no such argument."""

    handler: "Callable[[Paths, Request], Answer]"
    folder: int | None = None
    path: int = 0
    buffer: int | None = None
    flags: int | None = None
    follow: bool = True


@dataclass(frozen=True)
class Request:
    """A call whose path leads to something of ours."""

    spec: PathCall
    call: Notification
    caller: RemoteCaller
    place: Place

    def argument(self, index: int | None) -> int:
        return 0 if index is None else self.call[_ARGUMENT + index]


@dataclass(frozen=True)
class Answer:
    """``value`` is the result; instead, or ``node``: a new descriptor of the render node, or ``fd``: this one, which is
    the caller's to close; ``flags`` are how it is opened."""

    value: int = 0
    node: bool = False
    fd: int = -1
    flags: int = 0


class Paths:
    """Answers calls by the ``picture``. ``table``: calls that name a path, by number."""

    def __init__(self, architecture: Architecture, picture: Picture) -> None:
        self._architecture = architecture
        self._picture = picture
        self.table = {number: _CALLS[name] for name, number in architecture.numbers.items() if name in _CALLS}

    def answer(self, spec: PathCall, call: Notification, caller: RemoteCaller) -> Answer | None:
        """None: the path is none of ours. Raises OSError."""
        text = caller.path(call[_ARGUMENT + spec.path])
        if not text:
            return None
        path = os.fsdecode(text)
        if not path.startswith("/"):
            folder = AT_FDCWD if spec.folder is None else _signed(call[_ARGUMENT + spec.folder])
            path = f"{self._picture.name_of(caller.folder(folder))}/{path}"
            if TELLING.search(os.fsencode(path)) is None:
                return None
        place = self._picture.find(path, follow=self._follows(spec, call, caller))
        return None if place is None else spec.handler(self, Request(spec, call, caller, place))

    def node_status(self, request: Notification, spec: PathCall | None, caller: RemoteCaller) -> None:
        """Answer fstat, or its like with an empty path, for a descriptor of the node. Raises OSError."""
        place = Place(RENDER_NODE, self._picture.file(RENDER_NODE))
        if spec is not None and spec.handler is Paths.statx:
            caller.write(request[_ARGUMENT + 4], pack_statx(place.status()))
        else:
            buffer = 1 if spec is None or spec.buffer is None else spec.buffer
            caller.write(request[_ARGUMENT + buffer], self._architecture.pack_stat(place.status()))

    def _follows(self, spec: PathCall, call: Notification, caller: RemoteCaller) -> bool:
        if spec.flags is None:
            return spec.follow
        flags = call[_ARGUMENT + spec.flags]
        if spec.handler is Paths.open:
            return not flags & os.O_NOFOLLOW
        if spec.handler is Paths.open_how:
            return not _how(caller, flags) & os.O_NOFOLLOW
        return not flags & AT_SYMLINK_NOFOLLOW

    # What each kind of call does.

    def open(self, request: Request) -> Answer:
        return self._open(request.place, request.argument(request.spec.flags))

    def open_how(self, request: Request) -> Answer:
        return self._open(request.place, _how(request.caller, request.argument(request.spec.flags)))

    def _open(self, place: Place, flags: int) -> Answer:
        flags &= 0xFFFFFFFF
        mode = place.status().st_mode
        if flags & os.O_CREAT and flags & os.O_EXCL:
            raise _error(errno.EEXIST)
        if flags & os.O_DIRECTORY and not stat.S_ISDIR(mode) and not stat.S_ISLNK(mode):
            raise _error(errno.ENOTDIR)
        if place.is_node:
            return Answer(node=True, flags=flags)
        if flags & _WRITES and not flags & _O_PATH:
            raise _error(errno.EISDIR if stat.S_ISDIR(mode) else errno.EACCES)
        # The kernel gives nobody else's O_PATH descriptor to a process: an ordinary one serves as well.
        return Answer(fd=os.open(place.file, flags & ~_O_PATH | os.O_CLOEXEC), flags=flags)

    def stat(self, request: Request) -> Answer:
        status = request.place.status()
        request.caller.write(request.argument(request.spec.buffer), self._architecture.pack_stat(status))
        return Answer()

    def statx(self, request: Request) -> Answer:
        request.caller.write(request.argument(request.spec.buffer), pack_statx(request.place.status()))
        return Answer()

    def readlink(self, request: Request) -> Answer:
        room = request.argument(request.spec.path + 2) & 0xFFFFFFFF
        if not 0 < room < 1 << 31:
            raise _error(errno.EINVAL)
        text = os.fsencode(os.readlink(request.place.file))[:room]
        request.caller.write(request.argument(request.spec.buffer), text)
        return Answer(len(text))

    def access(self, request: Request) -> Answer:
        mode = request.argument(request.spec.path + 1)
        if mode & ~(os.R_OK | os.W_OK | os.X_OK):
            raise _error(errno.EINVAL)
        found = request.place.status()
        if request.place.is_node:
            refused = mode & os.X_OK
        else:
            refused = mode & os.W_OK or not os.access(request.place.file, mode, follow_symlinks=False)
            refused = refused and not stat.S_ISLNK(found.st_mode)
        if refused:
            raise _error(errno.EACCES)
        return Answer()

    def no_attribute(self, request: Request) -> Answer:
        request.place.status()
        raise _error(errno.ENODATA)

    def no_attributes(self, request: Request) -> Answer:
        request.place.status()
        return Answer()


_CALLS = {
    "open": PathCall(Paths.open, flags=1),
    "openat": PathCall(Paths.open, folder=0, path=1, flags=2),
    "openat2": PathCall(Paths.open_how, folder=0, path=1, flags=2),
    "stat": PathCall(Paths.stat, buffer=1),
    "lstat": PathCall(Paths.stat, buffer=1, follow=False),
    "newfstatat": PathCall(Paths.stat, folder=0, path=1, buffer=2, flags=3),
    "statx": PathCall(Paths.statx, folder=0, path=1, buffer=4, flags=2),
    "readlink": PathCall(Paths.readlink, buffer=1, follow=False),
    "readlinkat": PathCall(Paths.readlink, folder=0, path=1, buffer=2, follow=False),
    "access": PathCall(Paths.access),
    "faccessat": PathCall(Paths.access, folder=0, path=1),
    "faccessat2": PathCall(Paths.access, folder=0, path=1, flags=3),
    "getxattr": PathCall(Paths.no_attribute),
    "lgetxattr": PathCall(Paths.no_attribute, follow=False),
    "listxattr": PathCall(Paths.no_attributes),
    "llistxattr": PathCall(Paths.no_attributes, follow=False),
}


def asks_for_descriptor(spec: PathCall, call: Notification) -> bool:
    """Its flags say that an empty path means the descriptor itself."""
    is_status = spec.handler in (Paths.stat, Paths.statx)
    return is_status and spec.flags is not None and bool(call[_ARGUMENT + spec.flags] & AT_EMPTY_PATH)


def _how(caller: RemoteCaller, address: int) -> int:
    return int.from_bytes(caller.read(address, _HOW_FLAGS), "little")


def _signed(argument: int) -> int:
    """A descriptor, which may be AT_FDCWD."""
    value = argument & 0xFFFFFFFF
    return value - (1 << 32) if value >> 31 else value


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
