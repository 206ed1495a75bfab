# SPDX-License-Identifier: MIT
"""How is it known that jobs compute on a board what they should? Levels with a source, and what a report proves.

Each way in which an operator becomes jobs has a key, CHIP/OPERATOR/LEVEL/TYPE, e.g. vipnano-qi-88-0/MEAN/wide/int8:
the chip's own name, the operator's and the plan level's as docs/operators.md has them, the type of the operator's
first output. Operators that are cut into bands need CHIP/bands as well, and those of a plan of level fast
CHIP/fast/TECHNIQUE for each technique that it may use. ``Plan.keys`` has those of a plan's operators;
``hornito.compiler.keys`` lists all of a chip.
"""

import enum
from collections.abc import Iterable
from dataclasses import dataclass

BANDS = "bands"
FAST = "fast"
TYPES = ("uint8", "int8")


class Trust(enum.StrEnum):
    """How far a way is known to be right."""

    SILICON = "silicon"  # the same jobs, or the reference driver's like them, pass on a board
    INFERRED = "inferred"  # arithmetic and databook alone say so


@dataclass(frozen=True)
class Basis:
    """What a way is known by: how far, and from where."""

    trust: Trust
    source: str


@dataclass(frozen=True)
class Evidence:
    """What boards have shown: the keys that are ``proven``, and where that stands, e.g. a report's name."""

    proven: frozenset[str] = frozenset()
    source: str = ""

    def basis(self, own: Basis, keys: Iterable[str]) -> Basis:
        """What jobs with these keys are known by, whose way alone is known by ``own``."""
        if own.trust is Trust.INFERRED and self.proven.issuperset(keys):
            return Basis(Trust.SILICON, self.source)
        return own


def way_key(chip: str, operator: str, level: str, type_name: str) -> str:
    """The key of an operator's way."""
    return f"{chip}/{operator}/{level}/{type_name}"


def bands_key(chip: str) -> str:
    """The key of jobs on bands."""
    return f"{chip}/{BANDS}"


def fast_key(chip: str, technique: str) -> str:
    """The key of a technique of level fast."""
    return f"{chip}/{FAST}/{technique}"
