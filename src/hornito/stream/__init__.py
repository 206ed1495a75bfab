# SPDX-License-Identifier: MIT
"""Command streams: walk them, build them, list them; submissions and the file that holds them."""

from hornito.stream.archive import pack_archive, read_archive, unpack_archive, write_archive
from hornito.stream.builder import StreamBuilder
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
    "jobs_of",
    "listing",
    "pack_archive",
    "read_archive",
    "unpack_archive",
    "walk",
    "write_archive",
]
