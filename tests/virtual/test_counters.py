# SPDX-License-Identifier: MIT
"""Are performance counters listed, checked and read as the kernel does?"""

import ctypes
import errno
import os
import struct
from typing import Any

import pytest

from hornito.uapi.etnaviv import GEM_SUBMIT, PM_QUERY_DOM, PM_QUERY_SIG, PmrFlag, SubmitBo, SubmitPmr
from hornito.uapi.perfmon import IDLE_CYCLES, READS, TOTAL_CYCLES, WRITES
from hornito.virtual.etnaviv.buffers import Buffer, Mapping
from hornito.virtual.etnaviv.counters import CounterRequest, shown
from hornito.virtual.etnaviv.pool import Pool
from hornito.virtual.etnaviv.surroundings import after, before
from hornito.virtual.timeline import Counters
from tests.fake_executor import FAULT, LAST, NOTHING, lasting, stream
from tests.virtual.client import SOFTPIN, VA, Client, fails

PRE, POST = PmrFlag.PROCESS_PRE, PmrFlag.PROCESS_POST


def test_domains_and_signals_are_listed_to_their_end(client: Client) -> None:
    domains: dict[str, list[str]] = {}
    place = 0
    while place != 0xFF:
        domain = PM_QUERY_DOM(client.kernel, client.fd, iter=place)
        signals: list[str] = []
        at = 0
        while at != 0xFFFF:
            signal = PM_QUERY_SIG(client.kernel, client.fd, domain=domain.id, iter=at)
            assert signal.id == len(signals)
            signals.append(signal.name.decode())
            at = signal.iter
        assert domain.nr_signals == len(signals)
        domains[domain.name.decode()] = signals
        place = domain.iter
    numbers = {"HI": 5, "PE": 4, "SH": 9, "PA": 6, "SE": 2, "RA": 7, "TX": 9, "MC": 3}
    assert {name: len(signals) for name, signals in domains.items()} == numbers
    assert domains["HI"][:2] == ["TOTAL_CYCLES", "IDLE_CYCLES"]
    assert domains["MC"][2] == "TOTAL_WRITE_REQ_8B_FROM_PIPELINE"


def test_queries_beyond_the_end_are_refused(client: Client) -> None:
    kernel, fd = client.kernel, client.fd
    for place in (8, 0xFF):
        fails(errno.EINVAL, lambda place=place: PM_QUERY_DOM(kernel, fd, iter=place))  # type: ignore[misc]
        fails(errno.EINVAL, lambda place=place: PM_QUERY_SIG(kernel, fd, domain=place))  # type: ignore[misc]
    fails(errno.EINVAL, lambda: PM_QUERY_SIG(kernel, fd, domain=0, iter=5))
    fails(errno.ENXIO, lambda: PM_QUERY_DOM(kernel, fd, pipe=1))
    fails(errno.ENXIO, lambda: PM_QUERY_SIG(kernel, fd, pipe=3))
    fails(errno.EINVAL, lambda: PM_QUERY_DOM(kernel, fd, pipe=4))


def submit(client: Client, order: tuple[int, ...], *requests: dict[str, int], exec_state: int = 0) -> tuple[Any, int]:
    handle = client.new()
    words = stream(*order)
    table = (SubmitBo * 1)(SubmitBo(handle=handle, presumed=VA, flags=2))
    pmrs = (SubmitPmr * len(requests))(*(SubmitPmr(**request) for request in requests))
    values = {"nr_pmrs": len(requests), "pmrs": ctypes.addressof(pmrs), "exec_state": exec_state}
    values |= {"stream": words.ctypes.data, "stream_size": words.nbytes}
    done = GEM_SUBMIT(client.kernel, client.fd, nr_bos=1, bos=ctypes.addressof(table), flags=SOFTPIN, **values)
    return done, handle


@pytest.mark.parametrize(
    "request_",
    [
        {"read_offset": 1, "read_idx": 1},
        {"read_offset": 0},
        {"read_offset": 4092},
        {"read_offset": 0xFFFFFFFF},
        {"read_offset": 1, "flags": 4},
        {"read_offset": 1, "domain": 8},
        {"read_offset": 1, "domain": 0, "signal": 5},
        {"read_offset": 1, "domain": 4, "signal": 2},
    ],
    ids=str,
)
def test_bad_request_is_refused(client: Client, request_: dict[str, int]) -> None:
    fails(errno.EINVAL, lambda: submit(client, (NOTHING,), {"read_offset": 1}, request_))


def test_other_kinds_of_core_have_other_domains(client: Client) -> None:
    client.wait(submit(client, (NOTHING,), {"read_offset": 1}, exec_state=1)[0].fence)
    fails(errno.EINVAL, lambda: submit(client, (NOTHING,), {"read_offset": 1, "signal": 1}, exec_state=1))
    fails(errno.EINVAL, lambda: submit(client, (NOTHING,), {"read_offset": 1}, exec_state=2))


def test_sequence_stands_in_the_first_word_once_the_job_has_run(client: Client) -> None:
    done, handle = submit(client, (NOTHING,), {"read_offset": 3, "flags": POST, "sequence": 77})
    client.wait(done.fence)
    view = client.map(handle)
    assert struct.unpack("<I", view[:4]) == (77,)


def test_counters_run_on_from_job_to_job_in_modelled_time(client: Client) -> None:
    cycles, reads = {"domain": 0, "signal": 0}, {"domain": 7, "signal": 0}
    seen = []
    for milliseconds in (2, 3):
        wanted = [
            cycles | {"read_offset": 1, "flags": PRE},
            cycles | {"read_offset": 2, "flags": POST},
            reads | {"read_offset": 3, "flags": POST},
        ]
        done, handle = submit(client, (LAST, 0, milliseconds), *wanted)
        client.wait(done.fence)
        seen.append(struct.unpack("<3I", client.map(handle)[4:16]))
    clock = 800_000  # cycles a millisecond of the A311D
    expected = [(0, 2 * clock), (2 * clock, 5 * clock)]
    assert [first for *first, _ in seen] == [[pytest.approx(value, rel=0.01) for value in pair] for pair in expected]
    assert [read for *_, read in seen] == [lasting(2).read // 8, (lasting(2).read + lasting(3).read) // 8]


def test_killed_job_leaves_no_sequence(client: Client) -> None:
    done, handle = submit(client, (FAULT, 1, 1), {"read_offset": 3, "flags": POST, "sequence": 77})
    client.wait(done.fence)
    assert not any(client.map(handle)[:16])


def test_counters_are_written_by_word_before_and_behind_the_stream() -> None:
    pool = Pool("test")
    buffer = Buffer(4096, pool.allocate(8192) + 4096)
    uses = [Mapping(buffer, VA)]
    requests = [
        CounterRequest(TOTAL_CYCLES, PRE, 5, 1, buffer),
        CounterRequest(TOTAL_CYCLES, POST, 5, 2, buffer),
        CounterRequest(READS, POST, 5, 3, buffer),
        CounterRequest(WRITES, PRE | POST, 5, 4, buffer),
        CounterRequest(WRITES, POST, 6, 1023, buffer),
        CounterRequest(WRITES, POST, 6, 1024, buffer),  # by the kernel's check a byte, in truth a word behind the end
    ]
    pool.allocate(4096)
    before(uses, requests, Counters(100, 800, 1600), pool.fd)
    after(uses, requests, Counters(350, 1600, 4000), pool.fd)
    words = struct.unpack("<1025I", os.pread(pool.fd, 4100, 4096))
    assert words[:6] == (6, 100, 350, 200, 0, 0)
    assert (words[1023], words[1024]) == (500, 0)
    pool.close()


def test_counters_have_32_bits_and_the_core_is_never_idle() -> None:
    counters = Counters((1 << 32) + 5, 1 << 35, 0)
    assert [shown(counters, signal) for signal in (TOTAL_CYCLES, IDLE_CYCLES, READS, WRITES)] == [5, 0, 0, 0]
