# SPDX-License-Identifier: MIT
"""Where Hornito keeps files, and how it writes them: beside their place, then renamed into it, or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from hornito.errors import BadInput

SHORT = 48  # characters of a file's name that its temporary neighbour has


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
def atomic_writer(path: str | Path) -> Iterator[BinaryIO]:
    """A binary file that appears at ``path``, whole, when the block ends without an exception; else nothing changes.

    A symbolic link stays one: what it points to is written. What is no ordinary file (a pipe, a device) is written
    straight away. Raises BadInput where the place can't be written (no such folder, no permission, disk full).
    """
    place = Path(os.path.realpath(path))
    temporary = None
    try:
        if place.is_dir():
            raise BadInput(f"{path}: is a folder; name a file to write")
        special = place.exists() and not place.is_file()
        if special:
            with open(place, "wb") as stream:
                yield stream
            return
        # Shortened: the longest name that a folder takes, 255 bytes, must leave room for what is added.
        handle, name = tempfile.mkstemp(prefix=f".{place.name[:SHORT]}.", suffix=".part", dir=place.parent)
        temporary = Path(name)
        with os.fdopen(handle, "wb") as stream:
            yield cast(BinaryIO, stream)
            stream.flush()
            os.fsync(stream.fileno())
        # mkstemp makes private files; give what the user's umask would give.
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        temporary.replace(place)
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)).parent != place.parent:
            raise  # something else that the block did
        raise BadInput(f"{path}: can't be written ({error.strerror}); name a place that can") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def write_atomically(path: str | Path, content: bytes | memoryview) -> None:
    """Write ``content`` to ``path`` whole or not at all. Raises BadInput as ``atomic_writer`` does."""
    with atomic_writer(path) as stream:
        stream.write(content)
