# SPDX-License-Identifier: MIT
"""Does a crew share work, whatever threads there are?"""

import gc
import threading
import time
import weakref

import pytest

from hornito.crew import Crew


def crew_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("hornito crew")]


def test_shares_are_done_at_once_and_come_back_in_order() -> None:
    crew = Crew(3)
    together = threading.Barrier(3, timeout=10)
    assert sorted(crew.map([together.wait] * 3)) == [0, 1, 2]
    assert crew.map([lambda: "a", lambda: "b", lambda: "c", lambda: "d"]) == ["a", "b", "c", "d"]
    crew.close()


@pytest.mark.parametrize("given", [0, 1])
def test_where_the_system_gives_fewer_threads_all_is_done(given: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start, left = threading.Thread.start, [given]

    def scarce(thread: threading.Thread) -> None:
        if not left[0]:
            raise RuntimeError("can't start new thread")
        left[0] -= 1
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", scarce)
    crew = Crew(4)
    assert crew.map([lambda: 1, lambda: 2, lambda: 3, lambda: 4]) == [1, 2, 3, 4]
    crew.close()


def test_a_closed_crew_leaves_all_to_its_caller() -> None:
    crew = Crew(2)
    crew.map([int, int])
    crew.close()
    crew.close()
    assert crew.map([threading.current_thread] * 2) == [threading.current_thread()] * 2


def test_threads_end_with_the_last_reference() -> None:
    before = set(crew_threads())
    crew = Crew(3)
    crew.map([int, int, int])
    mine = set(crew_threads()) - before
    assert len(mine) == 2
    del crew
    gc.collect()
    for thread in mine:
        thread.join(10)
        assert not thread.is_alive()


def test_a_thread_keeps_nothing_of_what_it_did() -> None:
    class Big:
        def __call__(self) -> int:
            return 1

    crew = Crew(2)
    big = Big()
    seen = weakref.ref(big)
    assert crew.map([Big(), big]) == [1, 1]
    del big
    for _ in range(1000):
        if seen() is None:
            break
        time.sleep(0.01)
    assert seen() is None
    crew.close()
