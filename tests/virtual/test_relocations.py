# SPDX-License-Identifier: MIT
"""Does the kernel place the buffers of clients that do not pin them, and write their addresses into streams?"""

import ctypes
import errno

import pytest

from hornito.uapi import drm
from hornito.uapi.etnaviv import GEM_SUBMIT, GemSubmit, SubmitBo, SubmitReloc
from tests.fake_executor import BLOCK, COPY, NOTHING, TOUCH, FakeExecutor, stream
from tests.virtual.client import SOFTPIN, VA, Client, fails

FIRST = 0x81000  # behind page 0 and the kernel's command memory
EMPTY = dict.fromkeys(("submit_offset", "reloc_idx", "reloc_offset", "flags"), 0)


def submit(
    client: Client, order: tuple[int, ...], handles: list[int], *relocs: dict[str, int], flags: int = 0
) -> GemSubmit:
    words = stream(*order)
    bos = (SubmitBo * max(1, len(handles)))(*(SubmitBo(handle=handle, flags=3, presumed=VA) for handle in handles))
    table = (SubmitReloc * max(1, len(relocs)))(*(SubmitReloc(**reloc) for reloc in relocs))
    return GEM_SUBMIT(
        client.kernel,
        client.fd,
        stream=words.ctypes.data,
        stream_size=words.nbytes,
        bos=ctypes.addressof(bos),
        nr_bos=len(handles),
        relocs=ctypes.addressof(table),
        nr_relocs=len(relocs),
        flags=flags,
    )


def reloc(word: int, index: int, offset: int) -> dict[str, int]:
    return {"submit_offset": 4 * word, "reloc_idx": index, "reloc_offset": offset}


def test_stream_gets_the_addresses_of_its_buffers(client: Client, executor: FakeExecutor) -> None:
    source, target = client.new(), client.new(8192)
    client.map(source)[5] = 9
    relocs = reloc(1, 0, 5), reloc(2, 1, 4096)
    client.wait(submit(client, (COPY, 111, 222, 1), [source, target], *relocs).fence)
    assert client.map(target, 8192)[4096] == 9
    assert executor.orders == [[COPY, FIRST + 5, FIRST + 0x2000, 1]]


def test_buffer_keeps_its_place_and_a_dead_ones_is_used_again(client: Client, executor: FakeExecutor) -> None:
    handles = [client.new(), client.new(8192), client.new()]
    relocs = [reloc(1, 0, 0)]
    for handle in (*handles, handles[0]):
        client.wait(submit(client, (TOUCH, 0), [handle], *relocs).fence)
    drm.GEM_CLOSE(client.kernel, client.fd, handle=handles[1])
    client.wait(submit(client, (NOTHING,), []).fence)
    for size in (12288, 4096, 4096):
        client.wait(submit(client, (TOUCH, 0), [client.new(size)], *relocs).fence)
    places = [FIRST, FIRST + 0x1000, FIRST + 0x3000, FIRST, FIRST + 0x4000, FIRST + 0x1000, FIRST + 0x2000]
    assert [order[1] for order in executor.orders if order[0] == TOUCH] == places
    assert client.messages() == []


def test_pinned_buffer_stays_where_it_is(client: Client, executor: FakeExecutor) -> None:
    handle = client.new()
    client.wait(client.submit((NOTHING,), (handle, VA, 1)).fence)
    client.wait(submit(client, (TOUCH, 0), [handle], reloc(1, 0, 8)).fence)
    assert executor.orders[-1] == [TOUCH, VA + 8]


def test_idle_buffers_make_room_and_busy_ones_do_not(client: Client, executor: FakeExecutor) -> None:
    handle, large = client.new(), client.new(2 << 30)
    middle = 0x80000000
    client.wait(client.submit((NOTHING,), (handle, middle, 1)).fence)
    client.submit((BLOCK,), (handle, middle, 1))
    fails(errno.ENOSPC, lambda: submit(client, (TOUCH, 0), [large], reloc(1, 0, 0)))
    executor.release.set()
    client.wait(submit(client, (NOTHING,), []).fence)
    client.wait(submit(client, (TOUCH, 0), [large], reloc(1, 0, 0)).fence)
    assert executor.orders[-1] == [TOUCH, FIRST]
    client.wait(submit(client, (TOUCH, 0), [handle], reloc(1, 0, 0)).fence)
    assert executor.orders[-1] == [TOUCH, FIRST + (2 << 30)]
    assert client.messages() == []


@pytest.mark.parametrize(
    "relocs",
    [
        [{"flags": 1}],
        [{"submit_offset": 2}],
        [{"submit_offset": 12}],
        [{"submit_offset": 0xFFFFFFFC}],
        [{"submit_offset": 8}, {"submit_offset": 4}],
        [{"reloc_idx": 1}],
        [{"reloc_offset": 4093}],
        [{"reloc_offset": (1 << 64) - 1}],
    ],
    ids=str,
)
def test_bad_relocation_is_refused(client: Client, executor: FakeExecutor, relocs: list[dict[str, int]]) -> None:
    handle = client.new()
    full = [EMPTY | one for one in relocs]
    fails(errno.EINVAL, lambda: submit(client, (NOTHING, 0, 0), [handle], *full))
    client.wait(submit(client, (NOTHING, 0, 0), [handle], {**EMPTY, "submit_offset": 8, "reloc_offset": 4092}).fence)
    assert executor.orders == [[NOTHING, 0, FIRST + 4092]]


def test_relocations_do_not_blend_with_softpin(client: Client) -> None:
    fails(errno.EINVAL, lambda: submit(client, (NOTHING,), [client.new()], EMPTY, flags=SOFTPIN))
