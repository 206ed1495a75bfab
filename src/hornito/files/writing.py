# SPDX-License-Identifier: MIT
"""Where Hornito keeps files, and how it writes them: beside their place, then renamed into it, or not at all."""

import contextlib
import errno
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from hornito.errors import BadInput

SHORT = 48  # characters of a file's name that its temporary neighbour has
# What file systems and old kernels say that know no files without a name.
_ALL_HAVE_NAMES = {errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT}


def cache_directory() -> Path:
    """The folder for everything that can be fetched or computed again; it need not exist yet."""
    if own := os.environ.get("HORNITO_CACHE"):
        return Path(own)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared) / "hornito"
    return Path.home() / ".cache" / "hornito"


def model_directories() -> list[Path]:
    """The folders in which a model that is no path is looked up, in order."""
    named = [Path(part) for part in os.environ.get("HORNITO_MODELS", "").split(":") if part]
    return [*named, cache_directory() / "models"]


@contextlib.contextmanager
def atomic_writer(path: str | Path, *, durable: bool = True, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A binary file that appears at ``path``, whole, when the block ends without an exception; else nothing changes.

    ``durable``: it also survives a power cut, for which the block's end waits for the disk. ``mode``: a new file's
    permissions, of which the umask takes its part.

    A symbolic link stays one: what it points to is written. What is no ordinary file (a pipe, a device) is written
    straight away. Raises BadInput where the place can't be written (no such folder, no permission, disk full).
    """
    place = Path(os.path.realpath(path))
    temporary = None
    try:
        with _told(path):
            if place.is_dir():
                raise BadInput(f"{path}: is a folder; name a file to write")
            if place.exists() and not place.is_file():
                own = _File(path, _special(path, place))
            else:
                # Shortened: the longest name that a folder takes, 255 bytes, must leave room for what is added.
                temporary = place.with_name(f".{place.name[:SHORT]}.{os.urandom(8).hex()}.part")
                own = _File(path, _draft(temporary, mode))
        with io.BufferedWriter(own) as stream:
            yield stream
            stream.flush()
            if temporary is not None:
                with _told(path):
                    if durable:
                        os.fsync(stream.fileno())
                    _name(stream.fileno(), temporary)
        if temporary is not None:
            with _told(path):
                temporary.replace(place)
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):  # most often it has its own name by now, or never got one
                temporary.unlink()


@contextlib.contextmanager
def _told(path: str | Path) -> Iterator[None]:
    """What goes wrong in the block is the file's fault that the user calls ``path``. Raises BadInput."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"{path}: can't be written ({error.strerror}); name a place that can") from error


class _File(io.FileIO):
    """A file whose own errors can't be mistaken for those of what else a block does, such as to print: BadInput."""

    def __init__(self, shown: str | Path, place: Path | int) -> None:
        self._shown = shown
        super().__init__(place, "w")

    def write(self, data: Any, /) -> int:
        with _told(self._shown):
            return super().write(data)

    def close(self) -> None:
        with _told(self._shown):
            super().close()


def _special(shown: str | Path, place: Path) -> int:
    """A device or a pipe, open to write. Raises BadInput for a pipe that nobody reads: it would be waited for."""
    try:
        handle = os.open(place, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise BadInput(f"{shown}: is a pipe that nobody reads, no ordinary file; name a file to write") from error
        raise
    os.set_blocking(handle, True)
    return handle


def _draft(path: Path, mode: int) -> int:
    """A new file to write, as the user's umask wants it, that is to be ``path``. Where the file system can, it has no
    name yet: then whatever ends the program, SIGKILL and a power cut too, leaves nothing."""
    try:
        handle = os.open(path.parent, os.O_WRONLY | os.O_TMPFILE | os.O_CLOEXEC, mode)
    except OSError as error:
        if error.errno not in _ALL_HAVE_NAMES:
            raise
    else:
        if os.path.exists(f"/proc/self/fd/{handle}"):
            return handle
        os.close(handle)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)


def _name(handle: int, path: Path) -> None:
    """Make an open file ``path``, unless it has a name already."""
    if os.fstat(handle).st_nlink:
        return
    folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # Only with a folder does Python ask the kernel to follow the link that /proc has.
        os.link(f"/proc/self/fd/{handle}", path.name, dst_dir_fd=folder)
    finally:
        os.close(folder)


def write_atomically(path: str | Path, content: bytes | memoryview) -> None:
    """Write ``content`` to ``path`` whole or not at all. Raises BadInput as ``atomic_writer`` does."""
    with atomic_writer(path) as stream:
        stream.write(content)
