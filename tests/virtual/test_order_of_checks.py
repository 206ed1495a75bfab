# SPDX-License-Identifier: MIT
"""Of two things wrong with a submission, which is told? What the kernel checks first (databook, drm-uapi.md)."""

import ctypes
import errno
from typing import Any

import pytest

from hornito.uapi.etnaviv import GEM_SUBMIT, SubmitBo, SubmitPmr, SubmitReloc
from tests.fake_executor import NOTHING, FakeExecutor, stream
from tests.virtual.client import VA, Client, fails

BAD_POINTER = 16
SPOILT: list[tuple[str, dict[str, Any], int]] = [
    ("pipe", {"pipe": 4}, errno.EINVAL),
    ("empty pipe", {"pipe": 1}, errno.ENXIO),
    ("stream size", {"stream_size": 6}, errno.EINVAL),
    ("exec_state", {"exec_state": 3}, errno.EINVAL),
    ("flags", {"more_flags": 1 << 31}, errno.EINVAL),
    ("too long a stream", {"stream_size": 128 * 1024 + 4}, errno.EINVAL),
    ("too many buffers", {"nr_bos": 131073}, errno.EINVAL),
    ("too many relocations", {"nr_relocs": 131073}, errno.EINVAL),
    ("too many requests", {"nr_pmrs": 129}, errno.EINVAL),
    ("buffers' pointer", {"bos": BAD_POINTER}, errno.EFAULT),
    ("relocations' pointer", {"relocs": BAD_POINTER, "nr_relocs": 1}, errno.EFAULT),
    ("requests' pointer", {"pmrs": BAD_POINTER}, errno.EFAULT),
    ("stream's pointer", {"stream": BAD_POINTER}, errno.EFAULT),
    ("buffer's flags", {"bo": {"flags": 4}}, errno.EINVAL),
    ("softpin address", {"bo": {"presumed": 0x3FF000}}, errno.EINVAL),
    ("handle", {"bo": {"handle": 99}}, errno.EINVAL),
    ("fence", {"more_flags": 2, "fence_fd": 0}, errno.EINVAL),
    ("place", {"bo": {"presumed": 1 << 32}}, errno.ENOSPC),
    ("relocation and softpin", {"nr_relocs": 1}, errno.EINVAL),
    ("request", {"pmr": {"read_offset": 0}}, errno.EINVAL),
    ("same buffer twice", {"twice": True}, errno.EALREADY),
]


def submit(client: Client, handle: int, *spoilt: dict[str, Any]) -> None:
    values: dict[str, Any] = {"more_flags": 0, "bo": {}, "pmr": {}, "twice": False}
    for one in reversed(spoilt):  # where both touch one field, the first counts
        for name, value in one.items():
            values[name] = values[name] | value if isinstance(value, dict) else value
    entry = {"handle": handle, "presumed": VA, "flags": 3} | values.pop("bo")
    bos = (SubmitBo * 2)(SubmitBo(**entry), SubmitBo(**entry))
    relocs = (SubmitReloc * 1)()
    pmrs = (SubmitPmr * 1)(SubmitPmr(**({"read_offset": 1} | values.pop("pmr"))))
    words = stream(NOTHING)
    fields = {
        "bos": ctypes.addressof(bos),
        "nr_bos": 1 + values.pop("twice"),
        "relocs": ctypes.addressof(relocs),
        "pmrs": ctypes.addressof(pmrs),
        "nr_pmrs": 1,
        "stream": words.ctypes.data,
        "stream_size": words.nbytes,
        "flags": 8 | values.pop("more_flags"),
    }
    GEM_SUBMIT(client.kernel, client.fd, **(fields | values))


def test_nothing_is_wrong_with_what_is_spoilt_below(client: Client) -> None:
    submit(client, client.new())


@pytest.mark.parametrize("first", range(len(SPOILT)), ids=[name for name, _, _ in SPOILT])
def test_first_check_speaks(client: Client, executor: FakeExecutor, first: int) -> None:
    _, spoilt, code = SPOILT[first]
    handle = client.new()
    fails(code, lambda: submit(client, handle, spoilt))
    for _, other, _ in SPOILT[first + 1 :]:
        fails(code, lambda other=other: submit(client, handle, spoilt, other))  # type: ignore[misc]
    assert executor.orders == []
