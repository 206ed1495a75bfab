# SPDX-License-Identifier: MIT
"""Do clients take turns, whatever each of them sends?"""

import threading
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornito.errors import DeviceError
from hornito.server.turns import RoundRobin, Turns
from tests.fake_device import until


def queue(*clients: str) -> RoundRobin[str]:
    made: RoundRobin[str] = RoundRobin()
    for client in clients:
        made.join(client)
    return made


def test_empty_queue_has_no_next_thing() -> None:
    assert queue("a").take() is None and len(queue()) == 0


def test_things_of_one_client_stay_in_order() -> None:
    line = queue("a")
    for number in "123":
        line.put("a", number)
    assert [line.take() for _ in range(4)] == ["1", "2", "3", None]


def test_a_flood_of_one_client_delays_another_by_one_turn() -> None:
    line = queue("flood", "calm")
    for number in range(100):
        line.put("flood", f"f{number}")
    assert line.take() == "f0"
    taken = []
    for number in range(5):  # the next only when the one before is done, as a client that waits for its answers
        line.put("calm", f"c{number}")
        while (thing := line.take()) != f"c{number}":
            taken.append(thing)
        taken.append(thing)
        taken.append(line.take())
    assert taken == ["c0", "f1", "c1", "f2", "c2", "f3", "c3", "f4", "c4", "f5"]


def test_a_client_that_comes_anew_each_time_does_not_go_before_those_that_wait() -> None:
    line = queue("steady")
    line.put("steady", "s")
    assert line.take() == "s"
    taken = []
    for number in range(3):
        line.put("steady", f"s{number}")
        for name in (f"n{number}", f"m{number}"):
            line.join(name)
            line.put(name, name)
        taken += [line.take() for _ in range(3)]
        for name in (f"n{number}", f"m{number}"):
            line.leave(name)
    assert [taken.index(f"s{number}") // 3 for number in range(3)] == [0, 1, 2]
    assert line.clients == 1


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans()), max_size=60))
def test_nobody_waits_longer_than_one_turn_of_each_other(orders: list[tuple[str, bool]]) -> None:
    line = queue(*"abcd")
    waits: Counter[str] = Counter()  # turns of others since the client's oldest thing came to the front
    put: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for client, take in orders:
        if not take:
            line.put(client, client)
            put[client] += 1
            continue
        found = line.take()
        assert (found is None) == (put == taken)
        if found is not None:
            taken[found] += 1
            waits[found] = 0
            for other in "abcd":
                if other != found and put[other] > taken[other]:
                    waits[other] += 1
                    assert waits[other] <= 3
    assert len(line) == sum((put - taken).values())


def test_a_job_s_error_is_its_caller_s() -> None:
    turns = Turns()
    turns.join("a")
    with pytest.raises(ZeroDivisionError):
        turns.do("a", lambda: 1 // 0)
    assert turns.do("a", lambda: 5) == 5
    assert turns.stop(10)


def test_a_job_that_nobody_wants_any_more_is_left_out() -> None:
    turns, done = Turns(), []
    turns.join("a")
    with pytest.raises(DeviceError):
        turns.do("a", lambda: done.append(1), lambda: False)
    assert turns.stop(10) and done == []


def test_stopping_frees_those_that_wait_even_behind_a_job_that_hangs() -> None:
    turns, go, errors = Turns(), threading.Event(), []
    turns.join("a")

    def caller() -> None:
        try:
            turns.do("a", lambda: go.wait(60))
        except DeviceError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=caller, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: turns.waiting == 2)
    assert not turns.stop(0.01)
    until(lambda: errors == ["the server is ending"] * 2)
    with pytest.raises(DeviceError):
        turns.do("a", lambda: None)
    go.set()
    for thread in threads:
        thread.join(10)
    assert turns.stop(10) and len(errors) == 2
