# SPDX-License-Identifier: MIT
"""How is a report kept in a file? A zip: report.json, and of jobs that did not pass what was given and what came."""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from hornito.doctor.report import Report, from_json
from hornito.errors import BadInput
from hornito.files import atomic_writer
from hornito.stream import Archive, Submission
from hornito.stream.archive import pack_archive

REPORT = "report.json"
MESSAGES = "messages.txt"
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # no time of day in it
_MAX_FILE = 1 << 30  # bytes of the zip
_MAX_REPORT = 1 << 26  # bytes of report.json
_UNREADABLE = (
    *(zipfile.BadZipFile, zlib.error, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError),
    *(TypeError, OverflowError, struct.error, IndexError, UnicodeError),
)


def write_report(path: str | Path, report: Report, files: Mapping[str, bytes]) -> None:
    """Write it to ``path``, whole or not at all; ``files``: by name, what jobs' results name. Raises BadInput."""
    with atomic_writer(path) as stream:
        pack_report(stream, report, files)


def pack_report(stream: BinaryIO, report: Report, files: Mapping[str, bytes]) -> None:
    """Write it to an open file, or to memory."""
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as file:
        _add(file, REPORT, json.dumps(report.as_json(), indent=1, allow_nan=False).encode())
        _add(file, MESSAGES, "".join(f"{line}\n" for line in report.messages).encode())
        for name, content in files.items():
            _add(file, name, content)


def _add(file: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _FIXED_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    file.writestr(entry, content)


def read_report(path: str | Path) -> Report:
    """The report in a file that ``write_report`` made; only report.json is read. Raises BadInput, in one line."""
    path = Path(path)
    try:
        if path.stat().st_size > _MAX_FILE:
            raise BadInput(f"{path}: has {path.stat().st_size} bytes; a report has at most {_MAX_FILE}")
        with zipfile.ZipFile(path) as file:
            entry = file.getinfo(REPORT)
            if entry.file_size > _MAX_REPORT:
                raise BadInput(f"{path}: {REPORT} says it has {entry.file_size} bytes; the limit is {_MAX_REPORT}")
            with file.open(entry) as stream:
                content = stream.read(_MAX_REPORT + 1)
        value = json.loads(content.decode())
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file") from None
    except OSError as error:
        raise BadInput(f"{path}: can't be read ({error.strerror or error})") from error
    except RecursionError:
        raise BadInput(f"{path}: {REPORT} is nested too deep") from None
    except BadInput:
        raise
    except _UNREADABLE as error:
        what = " ".join(str(error).split())[:80]
        raise BadInput(f"{path}: no report ({what}); make one with 'hornito doctor -o report.zip'") from error
    try:
        return from_json(value)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def pack_failure(
    submission: Submission, expected: tuple[bytes, ...], observed: list[NDArray[np.uint8]] | None
) -> bytes:
    """A zip of what a job was given (a submission file), what it should have left, and what it left if it ended."""
    content = io.BytesIO()
    given = io.BytesIO()
    pack_archive(given, Archive((submission,)))
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as file:
        _add(file, "submission.npz", given.getvalue())
        for port, right in zip(submission.outputs, expected, strict=True):
            _add(file, f"expected_{submission.buffers[port.buffer].address:08x}.bin", right)
        for port, found in zip(submission.outputs, observed or [], strict=False):
            _add(file, f"observed_{submission.buffers[port.buffer].address:08x}.bin", found.tobytes())
    return content.getvalue()
