# SPDX-License-Identifier: MIT
"""Did the virtual NPU get slower? Ratios to LiteRT, against those stored for this processor in ``ratios.json``.

Ratios of processor time, least of many turns, hardly change with what else a machine does; one that is too large is
measured once more before it counts. They do change from processor to processor, so an entry is binding only on the
kind that it was stored on, there also if the arithmetic takes another path by now; on another kind that takes the same
path, only what is far beyond any such difference fails; where nothing is comparable, the ratios are printed and nothing
can fail.
"""

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import inference
from benchmarks.figures import processor
from benchmarks.networks import Network

STORE = Path(__file__).with_name("ratios.json")
SAME_PROCESSOR, OTHER_PROCESSOR = 1.5, 3.0  # times worse than stored: what fails
RUNS = 30

Ratios = dict[str, dict[str, float]]  # network, then version
Measure = Callable[[Network], Mapping[str, float]]  # ratios by version


@dataclass(frozen=True)
class Entry:
    """Ratios as they were on one day. ``arithmetic``: which path the virtual NPU took there."""

    date: str
    processor: str
    arithmetic: str
    ratios: Ratios


@dataclass(frozen=True)
class Yardstick:
    """What to compare with: an entry, and how many times worse is too much."""

    entry: Entry
    limit: float


def stored(path: Path = STORE) -> list[Entry]:
    """All entries; none where nothing was stored yet."""
    return [Entry(**entry) for entry in json.loads(path.read_text())] if path.exists() else []


def arithmetic() -> str:
    """The path that the virtual NPU's arithmetic takes here."""
    from hornito.virtual.npu import matrix

    return matrix.arithmetic()


def yardstick(entries: Sequence[Entry], here: str, path: str) -> Yardstick | None:
    """The entry of this processor, this path's if there is one; else the slowest of this path's; or None."""
    alike = [entry for entry in entries if entry.arithmetic == path]
    for entry in (*alike, *entries):
        if entry.processor == here:
            return Yardstick(entry, SAME_PROCESSOR)
    if not alike:
        return None
    worst: Ratios = {}
    for entry in alike:
        for name, ratios in entry.ratios.items():
            known = worst.setdefault(name, {})
            for version, ratio in ratios.items():
                known[version] = max(ratio, known.get(version, 0.0))
    return Yardstick(Entry(alike[0].date, alike[0].processor, path, worst), OTHER_PROCESSOR)


def least_ratios(network: Network, runs: int = RUNS) -> dict[str, float]:
    """What is stored and compared, for one network."""
    measured = inference.measure(network.path, 1, runs)
    return {version: measured.least_ratio(version) for version in inference.CHIPS}


def check(networks: Sequence[Network], against: Yardstick | None, measure: Measure = least_ratios) -> bool:
    """Measure, print, compare; whether nothing got too slow."""
    if against is None:
        print("no ratios are stored for this processor, nor for its arithmetic: nothing to compare with", flush=True)
    good = True
    for network in networks:
        known = against.entry.ratios.get(network.name, {}) if against is not None else {}
        ratios = dict(measure(network))
        limit = against.limit if against is not None else 0.0
        if _beyond(ratios, known, limit):
            again = measure(network)
            ratios = {version: min(ratio, again[version]) for version, ratio in ratios.items()}
        slow = _beyond(ratios, known, limit)
        for version, ratio in ratios.items():
            before = f"stored {known[version]:.2f}, at most {limit * known[version]:.2f}" if version in known else "new"
            verdict = "TOO SLOW" if version in slow else "ok"
            print(f"{network.name}, {version}: {ratio:.2f} times LiteRT's time ({before}): {verdict}", flush=True)
        good = good and not slow
    return good


def _beyond(ratios: Mapping[str, float], known: Mapping[str, float], limit: float) -> list[str]:
    return [version for version, ratio in ratios.items() if version in known and ratio > limit * known[version]]


def store(networks: Sequence[Network], path: Path = STORE, measure: Measure = least_ratios) -> Entry:
    """Measure, and put the ratios in the place of those of this processor; networks not measured now keep theirs."""
    here, way = processor(), arithmetic()
    entries = stored(path)
    old = next((entry for entry in entries if (entry.processor, entry.arithmetic) == (here, way)), None)
    ratios: Ratios = dict(old.ratios) if old is not None else {}
    for network in networks:
        ratios[network.name] = {version: round(ratio, 3) for version, ratio in measure(network).items()}
    made = Entry(time.strftime("%Y-%m-%d"), here, way, ratios)
    others = [entry for entry in entries if entry != old]
    path.write_text(json.dumps([asdict(entry) for entry in [*others, made]], indent=2) + "\n")
    return made


def run(networks: Sequence[Network]) -> int:
    """The short form: exit code 1 where something got too slow."""
    against = yardstick(stored(), processor(), arithmetic())
    if check(networks, against):
        return 0
    assert against is not None
    print(
        f"the virtual NPU got more than {against.limit:g} times slower than on {against.entry.date}; if that is meant, "
        "store the new ratios: python -m benchmarks --store",
        file=sys.stderr,
    )
    return 1
