# SPDX-License-Identifier: MIT
"""What kind of file is it, and what recording does it make? One answer for every verb that takes files."""

import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

from hornito.errors import BadInput
from hornito.trace.reader import is_trace, open_trace
from hornito.trace.records import Recording

_SUBMISSION_FILE = "s0_stream.npy"  # the entry that every submission file has
_REPORT = "report.json"  # the entry that every report of 'hornito doctor' has
_START = 32
DUMP_NAME = re.compile(r"mesa-(?P<what>nn|tp|compressed|cmd|input|output)-(?P<job>\d{3,9})-(?P<part>\d{3,9})\.bin")


def load(path: str | Path) -> Recording:
    """A recording (``.trace``), a submission file (``.npz``), a folder or file of Mesa's ``dump_shaders``, a core dump
    of the etnaviv driver, or a report of ``hornito doctor``.

    Raises BadInput for a file that is none of these, or is broken.
    """
    return load_all([path])[0]


def load_all(paths: Sequence[str | Path]) -> list[Recording]:
    """Several files as recordings, in order; Mesa's dumps among them, which hold a buffer each, make one together."""
    found: list[Recording] = []
    dumps = [path for path in map(Path, paths) if _is_dump(path)]
    files = [path for path in dumps if path.is_file()]
    for path in map(Path, paths):
        if path in dumps:
            group = files if path.is_file() else [path]
            if path == group[0]:
                from hornito.trace.mesa_dump import read_dump

                found.append(read_dump(group))
        else:
            found.append(_load_file(path))
    return found


def _is_dump(path: Path) -> bool:
    """Is it a file that Mesa's driver dumped, or a folder that has some?"""
    if path.is_dir():
        return any(DUMP_NAME.fullmatch(entry.name) for entry in path.iterdir())
    return DUMP_NAME.fullmatch(path.name) is not None and path.is_file()


def _load_file(path: Path) -> Recording:
    if path.is_dir():
        raise BadInput(f"{path}: is a folder without files of Mesa's dumps (mesa-nn-000-000.bin)")
    if path.exists() and not path.is_file():
        raise BadInput(f"{path}: is no ordinary file but a device or a pipe; save it as a file, and name that")
    try:
        with path.open("rb") as file:
            start = file.read(_START)
    except OSError as error:
        raise BadInput(f"{path}: can't be read ({error.strerror})") from error
    if is_trace(start):
        return open_trace(path)
    for looks_so, read in _READERS:
        if looks_so(path, start):
            return read(path)
    raise BadInput(
        f"{path}: is no recording (.trace), submission file (.npz), file of Mesa's dumps (mesa-nn-000-000.bin), core "
        "dump of the etnaviv driver, or report of 'hornito doctor' (.zip)"
    )


def _is_archive(path: Path, start: bytes) -> bool:
    # Of a broken one its reader says what is wrong with it.
    return _has_entry(path, start, _SUBMISSION_FILE) or (start.startswith(b"PK") and path.suffix == ".npz")


def _has_entry(path: Path, start: bytes, name: str) -> bool:
    """Is it a zip archive that has an entry of that name?"""
    if not start.startswith(b"PK"):
        return False
    try:
        with zipfile.ZipFile(path) as file:
            return name in file.namelist()
    except (zipfile.BadZipFile, OSError, NotImplementedError):
        return False


def _read_archive(path: Path) -> Recording:
    from hornito.stream import read_archive
    from hornito.trace.submissions import from_archive

    return from_archive(str(path), read_archive(path))


def _is_report(path: Path, start: bytes) -> bool:
    return _has_entry(path, start, _REPORT)


def _read_report(path: Path) -> Recording:
    from hornito.trace.doctor_report import read_doctor_report

    return read_doctor_report(path)


def _is_core_dump(path: Path, start: bytes) -> bool:
    from hornito.trace.crash import is_core_dump

    return is_core_dump(start)


def _read_core_dump(path: Path) -> Recording:
    from hornito.trace.crash import read_core_dump

    return read_core_dump(path)


# What a file looks like, and what reads it then.
_READERS: list[tuple[Callable[[Path, bytes], bool], Callable[[Path], Recording]]] = [
    (_is_report, _read_report),
    (_is_archive, _read_archive),
    (_is_core_dump, _read_core_dump),
]
