# SPDX-License-Identifier: MIT
"""How fast is a chip? Clock, multiply-accumulates a cycle, bytes a cycle: published figures, and what is inferred.

Source: databook, timing.md ("Hardware facts", "The vendor's own model"). Nobody has measured single jobs on a board in
public, so all but the clocks is inferred: two data sheets' peak figures fit three products a MAC unit and cycle along
z, and on the A311D six for kernels larger than 1x1.
"""

from dataclasses import dataclass

from hornito.bits import Confidence
from hornito.hardware.chips import MAC_PER_CORE, Chip


@dataclass(frozen=True)
class Figure:
    """A number, where it comes from, and how far it can be trusted."""

    value: float
    source: str
    confidence: Confidence = Confidence.INFERRED


@dataclass(frozen=True)
class Timing:
    """``clock``: Hz. ``spatial``, ``pointwise``: multiply-accumulates that one NN core does a cycle for kernels larger
    than 1x1 and for 1x1. ``memory``: bytes a cycle between the NPU and DDR. ``job``: seconds from one job's end to the
    next one's begin."""

    clock: Figure
    spatial: Figure
    pointwise: Figure
    memory: Figure
    job: Figure


_Z_PRODUCTS = 3  # ZDP3: products a MAC unit and cycle along the channels
_XY_PRODUCTS = 6  # XYDP6: within a kernel larger than 1x1
_ALONG_Z = Figure(MAC_PER_CORE * _Z_PRODUCTS, "ZDP3 = 3 in the core database; fits 2.30 TOPS of the i.MX8M Plus")
_MEMORY = Figure(3.8, "the DDR limit that VeriSilicon's driver assumes for MobileNetV1 on an A311D")
_NO_OVERHEAD = Figure(0.0, "guess: nobody has published what a job costs besides", Confidence.UNKNOWN)
_USUAL_CLOCK = Figure(800e6, "guess: the A311D's", Confidence.UNKNOWN)
_PUBLISHED = {
    "vipnano-qi-88-0": Timing(
        Figure(800e6, "A311D: published NPU clock", Confidence.REPLAYED),
        Figure(MAC_PER_CORE * _XY_PRODUCTS, "XYDP6 = 1 in the core database; fits 4.92 TOPS of the A311D"),
        _ALONG_Z,
        _MEMORY,
        _NO_OVERHEAD,
    ),
    "vipnano-si-plus-9f-6000000": Timing(
        Figure(1e9, "i.MX8M Plus: published NPU clock", Confidence.REPLAYED), _ALONG_Z, _ALONG_Z, _MEMORY, _NO_OVERHEAD
    ),
}
_OTHERS = Timing(_USUAL_CLOCK, _ALONG_Z, _ALONG_Z, _MEMORY, _NO_OVERHEAD)


def timing_of(chip: Chip) -> Timing:
    """What is known of the chip's speed; for one of which nothing is published, what most have."""
    return _PUBLISHED.get(chip.name, _OTHERS)
