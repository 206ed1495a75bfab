# SPDX-License-Identifier: MIT
"""What do the files say that Mesa's driver writes with ``ETNA_MESA_DEBUG=dump_shaders``?

``mesa-nn-JOB-000.bin`` and ``mesa-tp-JOB-CORE.bin`` are descriptors, ``mesa-compressed-JOB-000.bin`` coefficients, each
with the rest of its buffer. With ``npu_no_batching`` there are also ``mesa-cmd-`` (the job's own stream) and
``mesa-input-``, ``mesa-output-`` (a tensor from its start to its buffer's end). Jobs count from 0 within a partition of
the network, and the files of one partition are written over by the next. Source: Mesa 25.0.7's etnaviv driver.

No file holds the addresses of descriptors or the sizes of tensors. The former are made up where no stream tells them,
the latter follow from what the jobs read and write.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadInput
from hornito.hardware import states
from hornito.hardware.nn import NNDescriptor
from hornito.hardware.tp import TPDescriptor
from hornito.stream import Buffer, BufferKind, StreamBuilder, Submission
from hornito.stream.annotate import NN, TP, triggers
from hornito.trace.footprint import Footprint, Range, nn_footprint, tp_footprint
from hornito.trace.load import DUMP_NAME
from hornito.trace.records import Header, Recording, Store
from hornito.trace.submissions import add_submission, with_kinds

_PAGE = 4096
_MADE_UP = 0x10000  # the first of the addresses that are made up
_ADDRESSES = 1 << 32
_LARGEST = 64 << 20  # bytes of a file that we read


def read_dump(paths: Sequence[Path]) -> Recording:
    """The files, or those of folders, as a recording: a submit for each job where their streams are there, else one for
    all jobs of a partition. Raises BadInput for files that do not fit together, naming them."""
    files = [_File.of(path) for path in sorted(_files(paths))]
    if not files:
        raise BadInput(f"{paths[0]}: no file of Mesa's dumps lies there (mesa-nn-000-000.bin)")
    store = Store()
    groups = _partitions(files)
    for number, group in enumerate(groups):
        told = f" of partition {number}" if len(groups) > 1 else ""
        jobs: dict[int, _Job] = {}
        for file in group:
            jobs.setdefault(file.job, _Job()).add(file)
        for job in sorted(jobs):
            if jobs[job].stream is not None:
                add_submission(store, _submission([jobs[job]]), f"job {job}{told}")
        rest = [jobs[job] for job in sorted(jobs) if jobs[job].stream is None and jobs[job].unit]
        if rest:
            numbers = [job for job in sorted(jobs) if jobs[job] in rest]
            complete = numbers == [*range(len(numbers))]
            missing = "" if complete else f"; jobs {_ranges(numbers)} alone, others were written over"
            title = f"the stream and descriptors' addresses are made up: they were not dumped{missing}"
            add_submission(store, _submission(rest), f"partition {number}; {title}" if told else title)
    return store.recording(str(paths[0]), Header("Mesa's dump_shaders"))


def _files(paths: Iterable[Path]) -> Iterable[Path]:
    for path in paths:
        if path.is_dir():
            yield from (entry for entry in path.iterdir() if DUMP_NAME.fullmatch(entry.name))
        else:
            yield path


def _ranges(numbers: Sequence[int]) -> str:
    """As in ``0-2, 5``."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][-1] + 1:
            found[-1].append(number)
        else:
            found.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in found)


@dataclass(frozen=True, eq=False)
class _File:
    """One file: what its name says, when it was written (ns), what it holds."""

    path: Path
    what: str
    job: int
    part: int
    time: int
    content: NDArray[np.uint8]

    @staticmethod
    def of(path: Path) -> "_File":
        match = DUMP_NAME.fullmatch(path.name)
        if match is None:
            raise BadInput(f"{path}: its name is none of those that Mesa gives its dumps (mesa-nn-000-000.bin)")
        try:
            status = path.stat()
            if status.st_size > _LARGEST:
                raise BadInput(f"{path}: has {status.st_size} bytes; a dump has at most {_LARGEST}")
            content = np.frombuffer(path.read_bytes(), np.uint8)
        except OSError as error:
            raise BadInput(f"{path}: can't be read ({error.strerror})") from error
        return _File(path, match["what"], int(match["job"]), int(match["part"]), status.st_mtime_ns, content)

    def check(self) -> None:
        """Raise BadInput for a size that it can't have."""
        least = {"nn": 4 * NNDescriptor.WORDS, "tp": 4 * TPDescriptor.WORDS}.get(self.what, 0)
        if len(self.content) < least:
            raise BadInput(f"{self.path}: has {len(self.content)} bytes; a descriptor has {least}")
        if self.what == "cmd" and len(self.content) % 4:
            raise BadInput(f"{self.path}: has {len(self.content)} bytes; a stream has whole words of 4")


def _partitions(files: Sequence[_File]) -> list[list[_File]]:
    """The files of each partition, by the times at which they were written: jobs count up within one.

    Of files that were copied the times say nothing; then coefficients do not follow their descriptor, and all are taken
    for one partition.
    """
    groups: list[list[_File]] = []
    for file in sorted(files, key=lambda file: (file.time, file.job)):
        if not groups or file.job < groups[-1][-1].job:
            groups.append([])
        groups[-1].append(file)
    for group in groups:
        convolutions = {file.job for file in group if file.what == "nn"}
        if any(file.job not in convolutions for file in group if file.what == "compressed"):
            return [list(files)]
    return groups


@dataclass(eq=False)
class _Job:
    """The files of one job."""

    unit: str = ""
    cores: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    coefficients: NDArray[np.uint8] | None = None
    stream: NDArray[np.uint32] | None = None
    tensors: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    def add(self, file: _File) -> None:
        file.check()
        if file.what in ("nn", "tp"):
            unit = NN if file.what == "nn" else TP
            if self.unit not in ("", unit):
                text = f"{file.path}: another file says that this job runs on {self.unit}"
                raise BadInput(f"{text}; keep the files of one partition alone, or those of all with their times")
            self.unit = unit
            self.cores[file.part] = file.content
        elif file.what == "compressed":
            self.coefficients = file.content
        elif file.what == "cmd":
            self.stream = file.content.view("<u4").astype(np.uint32)
        else:
            self.tensors[file.what] = file.content

    @property
    def descriptors(self) -> list[NDArray[np.uint8]]:
        """In the order of the cores."""
        return [self.cores[core] for core in sorted(self.cores)]

    def fields(self, content: NDArray[np.uint8]) -> dict[str, int]:
        """A descriptor's fields by name."""
        kind = NNDescriptor if self.unit == NN else TPDescriptor
        words = content[: 4 * kind.WORDS].view("<u4").tolist()
        return {name: at.extract(words) for name, at in kind.layout().items()}

    def footprints(self) -> list[Footprint]:
        """What its descriptors touch."""
        of = nn_footprint if self.unit == NN else tp_footprint
        return [of(self.fields(content)) for content in self.descriptors]


def _submission(jobs: Sequence[_Job]) -> Submission:
    buffers: dict[int, Buffer] = {}
    touched: list[Range] = []
    contents: list[tuple[int, NDArray[np.uint8]]] = []
    for job in jobs:
        prints = job.footprints()
        touched += [touched_range for found in prints for touched_range in (found.read, found.written)]
        for what, side in (("input", "read"), ("output", "written")):
            if prints and what in job.tensors:
                start = min(getattr(found, side).start for found in prints)
                contents.append((start, job.tensors[what]))
                touched.append(Range(start, start + len(job.tensors[what])))
        address = prints[0].coefficients if prints else None
        if job.coefficients is not None and address is not None:
            buffers[address] = Buffer(BufferKind.COEFFICIENTS, address, max(1, len(job.coefficients)), job.coefficients)
    for start, end in _merged(touched):
        buffers.setdefault(start, Buffer(BufferKind.TENSOR, start, end - start, _content(start, end, contents)))
    places = [_addresses(job) for job in jobs]
    taken = [*buffers.values(), *(Buffer(BufferKind.TENSOR, at, _PAGE) for known in places for at in known)]
    stream = StreamBuilder()
    stream.zeros(states.LEADING_ZERO_WORDS)
    free = _MADE_UP
    for job, known in zip(jobs, places, strict=True):
        addresses = list(known)
        for content in job.descriptors[len(known) :]:
            free = _next_free(free, len(content), taken)
            addresses.append(free)
            free += -(-len(content) // _PAGE) * _PAGE
        for address, content in zip(addresses, job.descriptors, strict=False):
            buffers[address] = Buffer(
                BufferKind.NN if job.unit == NN else BufferKind.TP, address, len(content), content
            )
        if job.stream is None:
            _emit(stream, job, addresses)
    stream.load(states.GL_FLUSH_CACHE, states.FLUSH_ALL)
    stream.load(states.GL_FLUSH_CACHE, states.FLUSH_ALL)
    stream.zeros(states.TRAILING_ZERO_WORDS)
    own = jobs[0].stream
    return with_kinds(Submission(stream.words if own is None else own, _apart(buffers.values())))


def _addresses(job: _Job) -> list[int]:
    """The descriptors' addresses, where the job's stream tells them."""
    if job.stream is None:
        return []
    return [address for unit, address in triggers(job.stream.tolist()) if unit == job.unit]


def _emit(stream: StreamBuilder, job: _Job, addresses: Sequence[int]) -> None:
    """What the driver writes to start a job, in its default mode."""
    for number, address in enumerate(addresses):
        last = number == len(addresses) - 1
        stream.load(states.GL_OCB_REMAP_START, 0)
        stream.load(states.GL_OCB_REMAP_END, 0)
        if job.unit == NN:
            stream.load(states.GL_NN_CONFIG, states.SMALL_BATCH)
            stream.load(states.PS_NN_INST_ADDR, address)
        else:
            stream.load(states.GL_TP_CONFIG, 0)
            stream.load(states.GL_UNK03950, 0)
            stream.load(states.PS_TP_INST_ADDR, address + (0 if last else states.TAG_NOT_LAST_CORE))
    stream.load(states.PS_UNK10A4, 0)


def _merged(ranges: Iterable[Range]) -> list[tuple[int, int]]:
    """The pages that these ranges touch, as few runs; each is taken for one buffer. What lies outside the addresses of
    a device is left out."""
    found: list[tuple[int, int]] = []
    for one in sorted(ranges, key=lambda one: one.start):
        start, end = one.start // _PAGE * _PAGE, -(-one.end // _PAGE) * _PAGE
        if start < 0 or end > _ADDRESSES:
            continue
        if found and start < found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def _content(start: int, end: int, contents: Sequence[tuple[int, NDArray[np.uint8]]]) -> NDArray[np.uint8] | None:
    """What was dumped of a buffer; None if nothing was."""
    inside = [(at, content) for at, content in contents if start <= at < end]
    if not inside:
        return None
    data = np.zeros(min(end - start, max(at + len(content) for at, content in inside) - start), np.uint8)
    for at, content in inside:
        data[at - start :][: len(content)] = content[: end - at]
    return data


def _next_free(address: int, size: int, taken: Sequence[Buffer]) -> int:
    """The first page from ``address`` on behind which ``size`` bytes are free."""
    for buffer in sorted(taken, key=lambda buffer: buffer.address):
        if buffer.address < address + size and address < buffer.end:
            address = -(-buffer.end // _PAGE) * _PAGE
    return address


def _apart(buffers: Iterable[Buffer]) -> tuple[Buffer, ...]:
    """Buffers by ascending address, without those that overlap one before them."""
    found: list[Buffer] = []
    for buffer in sorted(buffers, key=lambda buffer: buffer.address):
        if buffer.end <= _ADDRESSES and (not found or buffer.address >= found[-1].end):
            found.append(buffer)
    return tuple(found)
