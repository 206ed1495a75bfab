# SPDX-License-Identifier: MIT
"""Which output channels of per-axis weights share a job, and how far may its results be off?

The NN unit has one factor a job, so the weights of a channel of scale s are written anew at its group's scale S >= s,
w' = w * s / S rounded. With e = w' - w * s / S, and q an input byte of zero point z, a result moves by

    d = (input scale * S / output scale) * (sum of e * (q - z), + what rounding the bias adds)

output steps before it is rounded. Two measures of d are known from the weights alone:

* worst: its largest size for any input at all, with every q at the end of its range that makes d largest. This one is
  promised: beside the step that any requantisation may cost, results differ from exact ones by no more, rounded up.
* spread: its root mean square for inputs that are spread evenly over all 256 values, factor * sqrt(sum of e ** 2 *
  (256 ** 2 - 1) / 12 + (sum of e * (127.5 - z)) ** 2).

The first grows with the number of weights, but is never met in practice; so ``Options.per_axis_error`` bounds the
second, as a part of the channel's own: of the spread of what the exact weights alone give for such inputs, or of
LEAST_SPREAD steps where that is less. This part hardly depends on how the inputs are really spread. It is about S / s
divided by 3.5 times the root mean square of the channel's weights (0.7 % * S / s for weights of normal distribution).
The default of 10 % lets channels share a job whose scales are up to 14 times apart: the smallest then have weights of
four bits or five, and a difference of a 100th of their results' power. On a network of 37 layers like MobileNetV2, with
random weights whose scales spread as far, results were 0.5 steps from LiteRT's on average, where LiteRT's two sets of
kernels were 0.3 from each other. Results that vary by less than LEAST_SPREAD steps may move by half a step, which is
what rounding them does.

Rounding keeps the sum of a kernel's weights (within half a weight): all values of an image rise and fall together more
than they differ, and such a change then moves no result.

One group takes as many channels as it can; its job writes every plane. Jobs after it overwrite the planes of the
others, side by side in runs: neither version of the unit can write planes that lie apart.

Source: databook, lowering.md ("Limits a better driver should lift": (a) and (b) together). Inferred.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.compiler.requantisation import scale_factor
from hornito.compiler.tiling import ceil_div
from hornito.compiler.weights import Kernels, part

VARIANCE = (256**2 - 1) / 12  # of a byte that is spread evenly
MIDDLE = 127.5
TOP = 255
LEAST_SPREAD = 5.0  # output steps
BASES = 8  # scales that are tried for the first group
_CHUNK = 1 << 20  # weights that are worked on at a time


@dataclass(frozen=True)
class Scales:
    """The scales of a layer: its weights' one an output channel."""

    input: float
    weights: tuple[float, ...]
    output: float
    input_zero_point: int

    def factor(self, weights: float) -> float:
        """From sums at that scale of weights to output steps."""
        with np.errstate(all="ignore"):
            return scale_factor(self.input, weights, self.output)


@dataclass(frozen=True, eq=False)
class Group:
    """Output channels ``first`` to ``first + kernels.count - 1`` at one scale. ``own``: how many of them are its
    own; the others are zeros here, and computed by a later group. ``spread`` and ``worst``: the measures of d,
    over all of its own channels."""

    first: int
    kernels: Kernels
    own: int
    factor: float
    spread: float
    worst: float


@dataclass(frozen=True, eq=False)
class _Rescaled:
    """All channels at one scale, and both measures of each."""

    values: NDArray[np.uint8]
    bias: NDArray[np.int64]
    spread: NDArray[np.float64]
    worst: NDArray[np.float64]


def _rescaled(kernels: Kernels, scales: Scales, to: float) -> _Rescaled:
    """Channels of larger scales come out as zeros, with measures beyond all bounds."""
    at_a_time = max(1, _CHUNK * kernels.count // max(kernels.values.size, 1))
    pieces = []
    for first in range(0, kernels.count, at_a_time):
        end = min(first + at_a_time, kernels.count)
        own = dataclasses.replace(scales, weights=scales.weights[first:end])
        pieces.append(_rescaled_piece(part(kernels, first, end), own, to))
    return _Rescaled(
        np.concatenate([piece.values for piece in pieces]),
        np.concatenate([piece.bias for piece in pieces]),
        np.concatenate([piece.spread for piece in pieces]),
        np.concatenate([piece.worst for piece in pieces]),
    )


def _rescaled_piece(kernels: Kernels, scales: Scales, to: float) -> _Rescaled:
    ratio = np.asarray(scales.weights, np.float64) / to
    fits = ratio <= 1.0
    ratio = np.where(fits, ratio, 0.0)
    flat = kernels.values.reshape(kernels.count, -1).astype(np.float64) - kernels.zero
    exact = flat * ratio[:, None]
    whole = _rounded(exact)
    error = whole - exact
    bias = np.floor(kernels.bias * ratio + 0.5)
    factor, zero = scales.factor(to), scales.input_zero_point
    above, below = np.maximum(error, 0).sum(axis=1), np.maximum(-error, 0).sum(axis=1)
    bias_error = np.abs(bias - kernels.bias * ratio)
    most = np.maximum(above * (TOP - zero) + below * zero, above * zero + below * (TOP - zero))
    mean = np.abs(error.sum(axis=1) * (MIDDLE - zero)) + bias_error
    spread = factor * np.sqrt((error**2).sum(axis=1) * VARIANCE + mean**2)
    # A channel at its own scale has no error but what floats make of the products.
    same = ratio == 1.0
    spread[same] = 0.0
    worst = np.where(same, 0.0, factor * (most + bias_error))
    spread[~fits] = worst[~fits] = np.inf
    values = (whole + kernels.zero).astype(np.uint8).reshape(kernels.values.shape)
    return _Rescaled(values, bias.astype(np.int64), spread, worst)


def _rounded(exact: NDArray[np.float64]) -> NDArray[np.float64]:
    """Whole numbers, one up or down from where they are at most, whose sum along each row is that of ``exact`` within a
    half: of those rounded the wrong way for it, the ones nearest to the middle go the other way."""
    whole = np.rint(exact)
    error = whole - exact
    surplus = np.rint(error.sum(axis=1)).astype(np.int64)
    for row in np.flatnonzero(surplus):
        count = int(surplus[row])
        if count > 0:
            whole[row, np.argpartition(error[row], -count)[-count:]] -= 1
        else:
            whole[row, np.argpartition(error[row], -count - 1)[:-count]] += 1
    return whole


def group_channels(kernels: Kernels, scales: Scales, bound: float) -> list[Group]:
    """Groups in the order of their jobs, as few as are found. ``bound``: see ``Options.per_axis_error``."""
    allowed = bound * np.maximum(_own_spread(kernels, scales), LEAST_SPREAD)
    own = np.asarray(scales.weights, np.float64)
    levels = np.unique(own)[::-1]
    # What rounding moves, for a scale of 1, where it is as likely to move a weight by any part of a half.
    step = scales.factor(1.0) * np.sqrt(kernels.values[0].size * VARIANCE / 12)
    best: tuple[int, _Rescaled, NDArray[np.bool_]] | None = None
    for level in levels[:: ceil_div(len(levels), BASES)]:
        tried = _rescaled(kernels, scales, float(level))
        served = tried.spread <= allowed
        jobs = _guess(np.flatnonzero(~served), own, np.maximum(allowed / step, own))
        if best is None or jobs < best[0]:
            best = jobs, tried, served
        if jobs == 0:
            break
    assert best is not None  # there is a channel
    _, rescaled, served = best
    groups = [_group(kernels, scales, rescaled, served, 0)]
    rest = np.flatnonzero(~served)
    while len(rest):
        first, end = int(rest[0]), _run_end(kernels, scales, rest, allowed)
        run, run_scales = part(kernels, first, end), dataclasses.replace(scales, weights=scales.weights[first:end])
        alone = _rescaled(run, run_scales, max(run_scales.weights))
        groups.append(_group(run, run_scales, alone, np.ones(end - first, bool), first))
        rest = rest[end - first :]
    return groups


def _guess(rest: NDArray[np.int64], own: NDArray[np.float64], most: NDArray[np.float64]) -> int:
    """About how many jobs take the channels ``rest``; ``most``: the scale up to which each can be served."""
    jobs, last, scale, limit = 0, -2, 0.0, 0.0
    for channel in rest.tolist():
        scale, limit = max(scale, float(own[channel])), min(limit, float(most[channel]))
        if channel != last + 1 or scale > limit:
            jobs, scale, limit = jobs + 1, float(own[channel]), float(most[channel])
        last = channel
    return jobs


def _own_spread(kernels: Kernels, scales: Scales) -> NDArray[np.float64]:
    """The spread of what each channel's exact weights give, in output steps."""
    weights = kernels.values.reshape(kernels.count, -1)
    squares = np.array([np.square(row.astype(np.float64) - kernels.zero).sum() for row in weights])
    factors = np.array([scales.factor(scale) for scale in scales.weights])
    return np.asarray(factors * np.sqrt(squares * VARIANCE))


def _run_end(kernels: Kernels, scales: Scales, rest: NDArray[np.int64], allowed: NDArray[np.float64]) -> int:
    """How far the channels from the first of ``rest`` on, all of them of ``rest``, can share the largest's scale."""
    first = int(rest[0])
    end = first + 1
    for channel in rest[1:]:
        if channel != end:
            break
        weights = scales.weights[first : end + 1]
        run = part(kernels, first, end + 1)
        tried = _rescaled(run, dataclasses.replace(scales, weights=weights), max(weights))
        if (tried.spread > allowed[first : end + 1]).any():
            break
        end += 1
    return end


def _group(kernels: Kernels, scales: Scales, rescaled: _Rescaled, own: NDArray[np.bool_], first: int) -> Group:
    """The channels ``own`` of ``kernels``, whose first is channel ``first`` of the layer."""
    begin, end = int(np.argmax(own)), len(own) - int(np.argmax(own[::-1]))
    values = np.where(own[:, None, None, None], rescaled.values, np.uint8(kernels.zero))
    whole = Kernels(values, kernels.first_plane, kernels.planes, kernels.zero, np.where(own, rescaled.bias, 0))
    scale = max(scale for scale, mine in zip(scales.weights, own, strict=True) if mine)
    measures = float(rescaled.spread[own].max()), float(rescaled.worst[own].max())
    return Group(first + begin, part(whole, begin, end), int(own.sum()), scales.factor(scale), *measures)
