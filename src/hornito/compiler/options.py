# SPDX-License-Identifier: MIT
"""What may a user choose about compilation?"""

import enum
from dataclasses import dataclass, field

from hornito.compiler.evidence import Evidence
from hornito.cost import Rates, rates, rates_of
from hornito.errors import BadInput, Unsupported
from hornito.hardware.chips import Chip, CoefficientFormat
from hornito.hardware.timing import Timing


class Level(enum.StrEnum):
    """How far a plan may go beyond what is proven on silicon; each level takes what those before it take."""

    PROVEN = "proven"
    WIDE = "wide"
    FAST = "fast"

    def reaches(self, other: "Level") -> bool:
        """Does a plan of this level take what ``other`` allows?"""
        order = list(Level)
        return order.index(self) >= order.index(other)


class Unit(enum.StrEnum):
    """What runs a job."""

    NN = "nn"
    TP = "tp"
    CPU = "cpu"
    VIEW = "view"  # no job: a tensor that lies in another one


class Technique(enum.StrEnum):
    """What a plan of level fast may do to be faster; each can be left out."""

    GROUPS = "groups"  # depthwise layers in groups of channels
    TILES = "tiles"  # tiles, superblocks and zero-run widths searched
    CACHING = "caching"  # coefficients and images kept in SRAM by need
    SYMBOLS = "symbols"  # version 8's codes dealt by what is coded
    STRIDES = "strides"  # strides of 2 by the cheaper of two ways
    FOLDS = "folds"  # paddings and activations by the jobs beside them
    LAYOUTS = "layouts"  # no tensor turned or parted twice, or where its bytes lie right already
    CORES = "cores"  # moves by all TP cores
    PARALLEL = "parallel"  # NN unit and TP cores at the same time where no data crosses
    ORDER = "order"  # jobs in an order that needs less memory
    MEMORY = "memory"  # tensors that never live at the same time share memory


@dataclass(frozen=True)
class Options:
    """For which chip, at which plan level, and without which units (NN, TP). ``as_reference``: write what the reference
    driver writes even where that is wrong, to compare with captures of it. ``per_axis_error``: how far channels of
    different weight scales may be off for sharing a job, as a part of how far their results spread (grouping.py).
    ``evidence``: what reports of boards have shown. ``without``: techniques of level fast that are left out.
    ``timing``: the figures that choices go by, None for those known of the chip."""

    chip: Chip
    level: Level = Level.PROVEN
    disabled: frozenset[Unit] = frozenset()
    as_reference: bool = False
    per_axis_error: float = 0.1
    evidence: Evidence = field(default_factory=Evidence)
    without: frozenset[Technique] = frozenset()
    timing: Timing | None = None

    @property
    def rates(self) -> Rates:
        """By which level fast chooses."""
        return rates(self.timing, self.chip) if self.timing else rates_of(self.chip)

    def uses(self, technique: Technique) -> bool:
        """May the plan use it?"""
        return self.level.reaches(Level.FAST) and technique not in self.without

    def check(self) -> None:
        """Raises Unsupported for a chip that Hornito can't compile for."""
        if self.chip.coefficient_format is CoefficientFormat.UNPROVEN:
            raise Unsupported(
                f"chip {self.chip.name}: its coefficient format is unproven; use --device cpu or another --chip"
            )


def find_level(name: str) -> Level:
    """The plan level of that name. Raises BadInput for any other."""
    if name not in set(Level):
        raise BadInput(f"unknown plan level {name!r}; known are {', '.join(Level)}")
    return Level(name)


def find_technique(name: str) -> Technique:
    """The technique of that name. Raises BadInput for any other."""
    if name not in set(Technique):
        raise BadInput(f"unknown technique {name!r}; known are {', '.join(Technique)}")
    return Technique(name)
