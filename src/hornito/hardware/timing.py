# SPDX-License-Identifier: MIT
"""How fast is a chip? Clock, multiply-accumulates a cycle, bytes a cycle: what is published, fitted and guessed.

Sources: databook, timing.md. Nobody has measured single jobs on a board in public, so there are three kinds of figures:
data sheets' (clocks, peak rates), those fitted to published times of one network, MobileNetV1 (``tools/cost_table.py``
fits them anew and says what they predict), and guesses, whose range is wide. A range is a factor: the true value is
thought to lie between ``value / factor`` and ``value * factor``, two times out of three.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from hornito.bits import Confidence
from hornito.hardware.chips import MAC_PER_CORE, Chip


@dataclass(frozen=True)
class Figure:
    """A number, where it comes from, how far it can be trusted, and its range as a factor."""

    value: float
    source: str
    confidence: Confidence = Confidence.INFERRED
    factor: float = 1.0

    @property
    def low(self) -> float:
        return self.value / self.factor

    @property
    def high(self) -> float:
        return self.value * self.factor


_GUESS = Confidence.UNKNOWN
_STALL = Figure(1e-6, "guess: a semaphore between front end and units", _GUESS, 4.0)


@dataclass(frozen=True)
class Timing:
    """What a chip's speed depends on.

    ``clock``: Hz. ``spatial``, ``pointwise``: multiply-accumulates that one NN core does a cycle for kernels larger
    than 1x1 and for 1x1, all 64 lanes busy. ``idle``: of the time that idle lanes would cost, the share that they do.
    ``memory``: bytes a cycle between the NPU and DDR. ``move``: elements a cycle of one TP core. ``job``: seconds that
    each job costs beside computing and moving. ``submission``: seconds from a submit to its first job, and from its
    last to the waiting program. ``crossing``: bytes a second that the CPU copies into and out of the NPU's buffers.
    ``cpu_macs``: multiply-accumulates, ``cpu_elements``: other elements read and written a second by one core of the
    CPU in LiteRT. ``model``: not a speed; how far the model itself is off (1: not at all). ``stall``: seconds that the
    front end takes to find that the units are done, where the stream has it wait for them."""

    clock: Figure
    spatial: Figure
    pointwise: Figure
    idle: Figure
    memory: Figure
    move: Figure
    job: Figure
    submission: Figure
    crossing: Figure
    cpu_macs: Figure
    cpu_elements: Figure
    model: Figure
    stall: Figure = _STALL

    def figures(self) -> dict[str, Figure]:
        """All of them by name."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def scaled(self, factors: Mapping[str, float]) -> "Timing":
        """The same with some figures multiplied by a factor, and no ranges of these any more."""
        values = {
            name: dataclasses.replace(getattr(self, name), value=getattr(self, name).value * by, factor=1.0)
            for name, by in factors.items()
        }
        return dataclasses.replace(self, **values)


_Z_PRODUCTS = 3  # ZDP3: products a lane and cycle along the channels
_XY_PRODUCTS = 6  # XYDP6: within a kernel larger than 1x1

_ALONG_Z = Figure(
    MAC_PER_CORE * _Z_PRODUCTS, "ZDP3 in the core database; fits 2.30 TOPS of the i.MX8M Plus", factor=1.1
)
_WITHIN_KERNEL = Figure(
    MAC_PER_CORE * _XY_PRODUCTS, "XYDP6 in the core database; fits 4.92 TOPS of the A311D", factor=1.1
)
_MOVE = Figure(1.0, "guess: an element a cycle", _GUESS, 3.0)
_JOB = Figure(5e-6, "guess: fetching a descriptor, filling and draining the unit", _GUESS, 4.0)
_SUBMISSION = Figure(100e-6, "guess: an ioctl, an interrupt, a fence, a thread woken", _GUESS, 2.5)
_CROSSING = Figure(
    1e9, "guess: memory that the CPU does not cache; memcpy of cached memory does 5 on an A311D", _GUESS, 3.0
)

_A311D = Timing(
    clock=Figure(800e6, "published NPU clock", Confidence.REPLAYED),
    spatial=_WITHIN_KERNEL,
    pointwise=_ALONG_Z,
    idle=Figure(0.15, "fitted to Mesa's 15.65, 9.9 and 6.6 ms for MobileNetV1", factor=2.5),
    memory=Figure(5.0, "fitted to Mesa's 15.65, 9.9 and 6.6 ms for MobileNetV1", factor=1.1),
    move=_MOVE,
    job=_JOB,
    submission=_SUBMISSION,
    crossing=_CROSSING,
    cpu_macs=Figure(7.0e9, "published: MobileNetV1 in 81.6 ms on one core (Paddle-Lite)", factor=1.3),
    cpu_elements=Figure(0.5e9, "LiteRT on a PC, scaled by published CPU times of MobileNetV1", _GUESS, 2.5),
    model=Figure(1.0, "times that the fit did not use are off by up to 15 %", factor=1.15),
)
_IMX8MP = Timing(
    clock=Figure(1e9, "published NPU clock", Confidence.REPLAYED),
    spatial=_ALONG_Z,
    pointwise=_ALONG_Z,
    idle=dataclasses.replace(_A311D.idle, source="the A311D's: fitted there"),
    memory=Figure(3.95, "fitted to Mesa's 7.9 ms for MobileNetV1", factor=1.15),
    move=_MOVE,
    job=_JOB,
    submission=_SUBMISSION,
    crossing=_CROSSING,
    cpu_macs=Figure(3.3e9, "published: 'about 22 times' the NPU's 7.9 ms for MobileNetV1", factor=1.5),
    cpu_elements=Figure(0.24e9, "LiteRT on a PC, scaled by published CPU times of MobileNetV1", _GUESS, 2.5),
    model=Figure(1.0, "the one time that the fit did not use is off by 15 %", factor=1.25),
)


def _unlike(figure: Figure, factor: float) -> Figure:
    return Figure(figure.value, f"guess: the A311D's ({figure.source})", _GUESS, factor)


def _other(chip: Chip) -> Timing:
    return Timing(
        clock=_unlike(_A311D.clock, 1.4),
        spatial=_ALONG_Z if chip.xydp0 else _WITHIN_KERNEL,
        pointwise=_ALONG_Z,
        idle=_A311D.idle,
        memory=_unlike(_A311D.memory, 2.0),
        move=_MOVE,
        job=_JOB,
        submission=_SUBMISSION,
        crossing=_CROSSING,
        cpu_macs=_unlike(_A311D.cpu_macs, 3.0),
        cpu_elements=_unlike(_A311D.cpu_elements, 4.0),
        model=Figure(1.0, "guess: nothing is published of this chip", _GUESS, 1.5),
    )


_KNOWN = {"vipnano-qi-88-0": _A311D, "vipnano-si-plus-9f-6000000": _IMX8MP}
SRAM_BYTES = Figure(64.0, "guess: bytes a cycle between units and on-chip SRAM; never what limits", _GUESS, 4.0)


def timing_of(chip: Chip) -> Timing:
    """What is known of the chip's speed; for one of which nothing is published, mostly guesses."""
    return _KNOWN.get(chip.name) or _other(chip)
