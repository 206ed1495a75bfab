# SPDX-License-Identifier: MIT
"""What came out of a case, and out of all cases together?"""

import enum
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


class Status(enum.StrEnum):
    """How a case ended."""

    PASS = "pass"
    FAIL = "fail"
    REFUSED = "refused"
    SKIPPED = "skipped"
    ERROR = "error"


BAD = (Status.FAIL, Status.ERROR)


@dataclass(frozen=True)
class Result:
    """``worst``: the largest difference where something was compared, and ``tolerance`` what was allowed there.
    ``reason``: why it is no pass; ``rule``: of a refusal the rule without the value it
    met; ``saved``: how to repeat a failure; ``row`` and ``column``: the case's place in a heat map."""

    name: str
    family: str
    status: Status
    worst: int | None = None
    tolerance: int | None = None
    reason: str = ""
    rule: str = ""
    saved: str = ""
    seconds: float = 0.0
    row: str = ""
    column: str = ""

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "family": self.family,
            "status": self.status.value,
            "worst": self.worst,
            "tolerance": self.tolerance,
            "reason": self.reason,
            "saved": self.saved,
            "seconds": round(self.seconds, 4),
        }


@dataclass(frozen=True)
class Summary:
    """A family's line: how many cases ended how, the largest difference, and the rules that refused, with counts."""

    family: str
    counts: Mapping[Status, int]
    worst: int | None
    rules: Mapping[str, int]

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def as_json(self) -> dict[str, Any]:
        counts = {status.value: self.counts[status] for status in Status}
        return {"family": self.family, "cases": self.total, **counts, "worst": self.worst, "rules": dict(self.rules)}


def summaries(results: Iterable[Result]) -> list[Summary]:
    """One for each family, in order of appearance."""
    families: dict[str, list[Result]] = {}
    for result in results:
        families.setdefault(result.family, []).append(result)
    return [_summary(family, members) for family, members in families.items()]


def _summary(family: str, results: Sequence[Result]) -> Summary:
    counts = Counter(result.status for result in results)
    worst = max((result.worst for result in results if result.worst is not None), default=None)
    rules = Counter(result.rule for result in results if result.rule)
    return Summary(family, {status: counts[status] for status in Status}, worst, dict(rules.most_common()))


@dataclass(frozen=True)
class Report:
    """Everything about one run. ``seconds``: by the clock on the wall."""

    device: str
    chip: str
    plan: str
    seed: int
    jobs: int
    seconds: float
    results: tuple[Result, ...]

    @property
    def summaries(self) -> list[Summary]:
        return summaries(self.results)

    @property
    def bad(self) -> list[Result]:
        """Failures and errors."""
        return [result for result in self.results if result.status in BAD]

    def as_json(self) -> dict[str, Any]:
        return {
            "device": self.device,
            "chip": self.chip,
            "plan": self.plan,
            "seed": self.seed,
            "jobs": self.jobs,
            "seconds": round(self.seconds, 3),
            "families": [summary.as_json() for summary in self.summaries],
            "cases": [result.as_json() for result in self.results],
        }
