# SPDX-License-Identifier: MIT
"""Does the short form of the benchmarks fail where something got slower, and nowhere else?"""

from collections.abc import Mapping
from pathlib import Path

import pytest
from benchmarks.check import OTHER_PROCESSOR, SAME_PROCESSOR, Entry, Yardstick, check, store, stored, yardstick
from benchmarks.networks import OWN, Network, networks

NETWORK = Network("N", Path("n.tflite"))
HERE = Entry("2026-01-02", "this one", "quick", {"N": {"version 7": 2.0, "version 8": 1.0}})
SLOWER = Entry("2026-01-01", "another", "quick", {"N": {"version 7": 4.0, "version 8": 0.5}})


class Measurements:
    """Gives one set of ratios after the other, and the last one for ever."""

    def __init__(self, *ratios: Mapping[str, float]) -> None:
        self.ratios = list(ratios)
        self.asked = 0

    def __call__(self, network: Network) -> Mapping[str, float]:
        self.asked += 1
        return self.ratios.pop(0) if len(self.ratios) > 1 else self.ratios[0]


def test_ratio_just_within_the_limit_passes_at_once() -> None:
    measure = Measurements({"version 7": 2.99, "version 8": 1.0})
    assert check([NETWORK], Yardstick(HERE, SAME_PROCESSOR), measure)
    assert measure.asked == 1


def test_ratio_beyond_the_limit_twice_fails(capsys: pytest.CaptureFixture[str]) -> None:
    measure = Measurements({"version 7": 2.0, "version 8": 1.6})
    assert not check([NETWORK], Yardstick(HERE, SAME_PROCESSOR), measure)
    assert measure.asked == 2
    assert "N, version 8: 1.60 times LiteRT's time (stored 1.00, at most 1.50): TOO SLOW" in capsys.readouterr().out


def test_ratio_beyond_the_limit_once_is_measured_again_and_passes() -> None:
    measure = Measurements({"version 7": 2.0, "version 8": 9.0}, {"version 7": 9.0, "version 8": 1.0})
    assert check([NETWORK], Yardstick(HERE, SAME_PROCESSOR), measure)


def test_network_that_was_never_stored_passes() -> None:
    assert check([Network("new", Path("x"))], Yardstick(HERE, SAME_PROCESSOR), Measurements({"version 7": 99.0}))


def test_nothing_stored_for_this_arithmetic_compares_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert yardstick([HERE, SLOWER], "a third", "slow") is None
    assert check([NETWORK], None, Measurements({"version 7": 99.0}))
    assert "nothing to compare with" in capsys.readouterr().out


def test_entry_of_this_processor_is_binding() -> None:
    assert yardstick([SLOWER, HERE], "this one", "quick") == Yardstick(HERE, SAME_PROCESSOR)


def test_entry_of_this_processor_is_binding_for_another_arithmetic() -> None:
    """Else nothing would fail where the best way to multiply is no longer taken."""
    now = Entry("2026-01-03", "this one", "slow", {})
    assert yardstick([SLOWER, HERE], "this one", "slow") == Yardstick(HERE, SAME_PROCESSOR)
    assert yardstick([SLOWER, HERE, now], "this one", "slow") == Yardstick(now, SAME_PROCESSOR)


def test_other_processors_are_measured_by_the_slowest_and_a_wide_limit() -> None:
    found = yardstick([SLOWER, HERE], "a third", "quick")
    assert found is not None and found.limit == OTHER_PROCESSOR
    assert found.entry.ratios == {"N": {"version 7": 4.0, "version 8": 1.0}}


def test_what_is_stored_is_found_again_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "ratios.json"
    store([NETWORK, Network("M", Path("m"))], path, Measurements({"version 7": 3.0}))
    store([NETWORK], path, Measurements({"version 7": 2.0}))
    (entry,) = stored(path)
    assert entry.ratios == {"N": {"version 7": 2.0}, "M": {"version 7": 3.0}}


def test_stored_ratios_of_the_repository_can_be_read() -> None:
    assert all(OWN in entry.ratios and min(entry.ratios[OWN].values()) > 0 for entry in stored())


def test_without_published_networks_our_own_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HORNITO_SHARED", raising=False)
    (own,) = networks([], tmp_path)
    assert own.name == OWN and own.path.stat().st_size > 100_000
