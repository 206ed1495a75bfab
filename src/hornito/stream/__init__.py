# SPDX-License-Identifier: MIT
"""Command streams: walk them, build them, list them; submissions and the file that holds them."""

from hornito.stream.archive import pack_archive, read_archive, unpack_archive, write_archive
from hornito.stream.builder import StreamBuilder
from hornito.stream.flat import from_flat, to_flat
from hornito.stream.jobs import Job, NNJob, TPJob, jobs_of
from hornito.stream.listing import listing
from hornito.stream.submission import (
    Archive,
    Buffer,
    BufferKind,
    CpuSegment,
    NpuSegment,
    Port,
    Relocation,
    Submission,
    TensorInfo,
)
from hornito.stream.walker import LoadState, Packet, walk

__all__ = [
    "Archive",
    "Buffer",
    "BufferKind",
    "CpuSegment",
    "Job",
    "LoadState",
    "NNJob",
    "NpuSegment",
    "Packet",
    "Port",
    "Relocation",
    "StreamBuilder",
    "Submission",
    "TPJob",
    "TensorInfo",
    "from_flat",
    "jobs_of",
    "listing",
    "pack_archive",
    "read_archive",
    "to_flat",
    "unpack_archive",
    "walk",
    "write_archive",
]
