# SPDX-License-Identifier: MIT
"""How is an NN job carried out, beside what it computes? A ``Shaping``: no result depends on it, only time."""

from dataclasses import dataclass

from hornito.compiler.tasks import Convolution
from hornito.compiler.tiling import Tile, choose_tile
from hornito.hardware.chips import Chip


@dataclass(frozen=True)
class Shaping:
    """``tile``: with it, how many kernels a core has at a time. ``zero_runs``: width (bits) of the zero runs of version
    7's coefficients, None for the one that the reference driver finds. ``by_need``: what is kept in SRAM follows the
    traffic that it saves, in place of the reference driver's formula. ``by_residual``: version 8's shortest codes go to
    the commonest differences from the zero point, which are what it codes, in place of the commonest weights."""

    tile: Tile
    zero_runs: int | None = None
    by_need: bool = False
    by_residual: bool = False


def reference_shaping(conv: Convolution, chip: Chip) -> Shaping:
    """What the reference driver writes."""
    return Shaping(choose_tile(conv, chip))
