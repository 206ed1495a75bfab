# SPDX-License-Identifier: MIT
"""How much of the device's memory do clients hold? Each load is counted before it is done; a limit holds for all."""

import threading

from hornito.errors import DeviceError
from hornito.stream import Submission
from hornito.uapi.etnaviv import GRANULE

_MIB = 1 << 20


def footprint(submission: Submission) -> int:
    """Bytes of device memory that a submission takes: its buffers in whole granules, and its stream."""
    return submission.stream.nbytes + sum(-(-buffer.size // GRANULE) * GRANULE for buffer in submission.buffers)


class Memory:
    """The count of all clients together; threads may share it."""

    def __init__(self, limit: int) -> None:
        self._lock = threading.Lock()
        self.limit = limit
        self._used = 0

    @property
    def used(self) -> int:
        """Bytes that are taken."""
        return self._used

    def take(self, size: int) -> None:
        """Count ``size`` bytes as taken. Raises DeviceError where that is too much."""
        with self._lock:
            if self._used + size > self.limit:
                raise DeviceError(
                    f"a submission of {size / _MIB:.1f} MiB; the server lends {self.limit / _MIB:.1f} MiB, of which "
                    f"{self._used / _MIB:.1f} are in use: close other models, or start it with a larger --memory"
                )
            self._used += size

    def give_back(self, size: int) -> None:
        """What was taken is free again."""
        with self._lock:
            self._used -= size
