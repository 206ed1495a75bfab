# SPDX-License-Identifier: MIT
"""How are made-up networks filled? With random numbers that a name seeds, and ranges that fit what comes of them."""

import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.model.builder import affine
from hornito.model.graph import Quantization

Kind = type[np.uint8] | type[np.int8]
KINDS: tuple[Kind, ...] = (np.uint8, np.int8)

BIAS_LIMIT = 20000  # of random biases, either way
SPREAD = 2.2  # standard deviations of a result, either way of its mean, that its 8 bits are to hold
ZERO_POINT_SPAN = 10  # of random weights, either way of the middle: as trained networks have them


class Draw:
    """Random numbers of one network: always the same for the same name and seed."""

    def __init__(self, name: str, seed: int) -> None:
        self.random = np.random.default_rng([seed, zlib.crc32(name.encode())])

    def values(self, shape: tuple[int, ...], kind: Kind) -> NDArray[Any]:
        """Uniform over the whole range of a type: what models are fed with."""
        info = np.iinfo(kind)
        return self.random.integers(info.min, info.max, shape, dtype=kind, endpoint=True)

    def weights(self, shape: tuple[int, ...], kind: Kind) -> NDArray[Any]:
        """0..254, or for int8 what it may be there, -127..127."""
        raw = self.random.integers(0, 255, shape, dtype=np.uint8)
        return raw if kind is np.uint8 else (raw.astype(np.int16) - 127).astype(np.int8)

    def bias(self, outputs: int) -> NDArray[np.int32]:
        return self.random.integers(-BIAS_LIMIT, BIAS_LIMIT, outputs, dtype=np.int32, endpoint=True)

    def quantization(self, kind: Kind) -> Quantization:
        """Any zero point, and a scale such as activations have."""
        return affine(self.scale(0.02, 0.2), int(self.values((), kind)))

    def weights_quantization(self, kind: Kind) -> Quantization:
        zero = int(self.random.integers(128 - ZERO_POINT_SPAN, 129 + ZERO_POINT_SPAN)) if kind is np.uint8 else 0
        return affine(self.scale(0.002, 0.02), zero)

    def scale(self, least: float, greatest: float) -> float:
        """Uniform in its logarithm."""
        return float(np.exp(self.random.uniform(np.log(least), np.log(greatest))))


def result_range(mean: float, deviation: float, kind: Kind) -> Quantization:
    """A scale and a zero point that let values of this mean and standard deviation use most of 8 bits.

    A few are clamped at either end. The range always holds 0, as zero points demand.
    """
    low, high = min(0.0, mean - SPREAD * deviation), max(0.0, mean + SPREAD * deviation)
    scale = (high - low) / 255
    info = np.iinfo(kind)
    return affine(scale, int(np.clip(round(info.min - low / scale), info.min, info.max)))
