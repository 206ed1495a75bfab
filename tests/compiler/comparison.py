# SPDX-License-Identifier: MIT
"""Are two submissions the same but for where their buffers lie? What ``hornito trace diff`` finds, as lines, and that
every buffer belongs to a job."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hornito.hardware.chips import Chip
from hornito.stream import Archive, Submission
from hornito.stream.annotate import annotate
from hornito.trace.diff import Diff, Hunk
from hornito.trace.submissions import from_archive


def archive_differences(ours: Sequence[Submission], theirs: Sequence[Submission], chip: Chip) -> list[str]:
    """A line for each difference, with submission and job in front; none where all is the same."""
    old, new = (from_archive("", Archive(tuple(side), chip.name)) for side in (ours, theirs))
    found = [line for hunk in Diff(old, new).hunks() for line in _lines(hunk)]
    for side, submissions in (("ours", ours), ("theirs", theirs)):
        for number, submission in enumerate(submissions):
            met = {line.pointer.buffer for line in annotate(submission) if line.pointer is not None}
            missed = [buffer for buffer in range(len(submission.buffers)) if buffer not in met]
            found += [f"{side}, s{number}: no job points to the buffers {missed}"] if missed else []
    return found


def differences(ours: Submission, theirs: Submission, chip: Chip) -> list[str]:
    """A line for each difference; none where the two are the same but for their buffers' places."""
    return archive_differences([ours], [theirs], chip)


def _lines(hunk: Hunk) -> Iterator[str]:
    where = str(hunk.old or hunk.new)
    if not hunk.differences:
        yield f"{where}: {hunk.title} stands on one side only"
    for one in hunk.differences:
        place = f"{one.place} " if one.place else ""
        for sign, text in (("-", one.old), ("+", one.new)):
            if text is not None:
                yield f"{where}: {sign} {place}{one.name} = {text}"


def coefficients_end(head: NDArray[np.uint8], outputs: int, chip: Chip) -> int:
    """The size of a coefficient blob, by its header; written from the databook alone."""
    if chip.nn_version == 7:
        return 64 + int(head[:64].view("<u4").sum(dtype=np.int64))
    bits = head[28:64].view("<u4").astype(np.int64)
    return 64 + int((-(-bits // 512) * 64).sum()) + 4 * outputs
