# SPDX-License-Identifier: MIT
"""How is an NN job carried out, beside what it computes? A ``Shaping``: no result depends on it, only time."""

from dataclasses import dataclass

from hornito.compiler.tasks import Convolution
from hornito.compiler.tiling import Tile, choose_tile
from hornito.hardware.chips import Chip


@dataclass(frozen=True)
class Kept:
    """What of a job is kept in SRAM, as far as it fits: its ``coefficients``, and the ``image`` that a tile reads."""

    coefficients: bool
    image: bool


@dataclass(frozen=True)
class Shaping:
    """``tile``: with it, how many kernels a core has at a time. ``zero_runs``: width (bits) of the zero runs of version
    7's coefficients, None for the one that the reference driver finds. ``kept``: what is kept in SRAM, None for what
    the reference driver's formula says. ``by_residual``: version 8's shortest codes go to the commonest differences
    from the zero point, which are what it codes, in place of the commonest weights."""

    tile: Tile
    zero_runs: int | None = None
    kept: Kept | None = None
    by_residual: bool = False


def reference_shaping(conv: Convolution, chip: Chip) -> Shaping:
    """What the reference driver writes."""
    return Shaping(choose_tile(conv, chip))
