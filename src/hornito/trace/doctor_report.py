# SPDX-License-Identifier: MIT
"""What does a report of ``hornito doctor`` say, as a recording? A submit for each job that did not pass."""

import io
import zipfile
import zlib
from pathlib import Path

from hornito.doctor.report import JobResult
from hornito.doctor.report_file import read_report
from hornito.errors import BadInput
from hornito.stream.archive import unpack_archive
from hornito.trace.records import Done, Header, Message, Recording, Store, Submit, Written
from hornito.trace.submissions import add_submission

_LARGEST = 1 << 28  # bytes of all that a failure's file unpacks to
_UNREADABLE = (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError, ValueError, EOFError)


def read_doctor_report(path: Path) -> Recording:
    """The report's jobs as messages; below those that have a file what it was given, and what it left.

    Raises BadInput."""
    report = read_report(path)
    store = Store()
    store.events += [Message(0, line, "kernel") for line in report.messages]
    with zipfile.ZipFile(path) as file:
        for job in report.jobs:
            store.events.append(Message(0, _text(job), "doctor"))
            if job.file:
                _failure(store, _read(file, job.file, f"{path}: {job.file}"), job, f"{path}: {job.file}")
    return store.recording(str(path), Header("doctor's report", chip=report.patient.chip))


def _text(job: JobResult) -> str:
    error = f": {job.error}" if job.error else ""
    return f"{job.name}: {job.unit.upper()} {job.operator}, {job.verdict.value}{error}"


def _read(file: zipfile.ZipFile, name: str, where: str) -> bytes:
    try:
        entry = file.getinfo(name)
        if entry.file_size > _LARGEST:
            raise BadInput(f"{where}: says it has {entry.file_size} bytes; the limit is {_LARGEST}")
        return file.read(entry)
    except _UNREADABLE as error:
        raise BadInput(f"{where}: can't be read ({' '.join(str(error).split())[:80]})") from error


def _failure(store: Store, content: bytes, job: JobResult, where: str) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            names = file.namelist()
            given = _read(file, "submission.npz", where)
            left = {name: _read(file, name, where) for name in names if name.startswith("observed_")}
    except _UNREADABLE as error:
        raise BadInput(f"{where}: can't be read ({' '.join(str(error).split())[:80]})") from error
    for submission in unpack_archive(io.BytesIO(given), where, _LARGEST).submissions:
        submit = add_submission(store, submission, f"{job.name}, {job.verdict.value}")
        store.events.append(Done(submit.number, 0, 1 if left else -1, _written(store, submit, left)))


def _written(store: Store, submit: Submit, left: dict[str, bytes]) -> tuple[Written, ...]:
    """What was found in the tensors' buffers, which the files name by address."""
    numbers = {f"observed_{entry.address:08x}.bin": number for number, entry in enumerate(submit.buffers)}
    return tuple(Written(numbers[name], store.keep(content)) for name, content in left.items() if name in numbers)
