# SPDX-License-Identifier: MIT
"""Random networks of many kinds of operators, which leave what plan level fast changes as a whole much to do."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from hornito.model import (
    Activation,
    Conv2DOptions,
    DepthwiseOptions,
    ModelBuilder,
    Padding,
    Quantization,
    Value,
    affine,
)

SCALES = 0.05, 0.06
KINDS = (
    "conv",
    "depthwise",
    "pointwise",
    "strided",
    "pad",
    "frame",
    "add",
    "concat",
    "split",
    "resize",
    "slice",
    "clamp",
    "rescale",
    "transpose",
    "reshape",
    "mean",
    "cpu",
)
DTYPES = np.uint8, np.int8
Choice = tuple[str, int, int]
choices = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=9)
dtypes = st.sampled_from(DTYPES)
DType = type[np.uint8] | type[np.int8]
sizes = st.tuples(st.integers(4, 9), st.integers(0, 6), st.integers(1, 6))


@dataclass
class _Network:
    """Values so far, and which of them somebody uses."""

    builder: ModelBuilder
    values: list[Value]
    used: set[int]
    dtype: DType
    seed: int = 0

    def quantization(self, scale: float, zero_point: int) -> Quantization:
        """``zero_point`` as that of a uint8."""
        return affine(scale, zero_point - 128 if self.dtype is np.int8 else zero_point)

    def take(self, number: int) -> Value:
        value = self.values[number % len(self.values)]
        self.used.add(value.index)
        return value

    def weights(self, shape: Sequence[int]) -> NDArray[np.uint8 | np.int8]:
        self.seed += 1
        values = np.random.default_rng(self.seed).integers(-38, 42, tuple(shape))
        return (values if self.dtype is np.int8 else values + 128).astype(self.dtype)

    def conv(self, value: Value, kernel: int, stride: int, padding: Padding, outputs: int) -> Value:
        return self.builder.conv2d(
            value,
            self.weights((outputs, kernel, kernel, value.shape[3])),
            np.arange(outputs, dtype=np.int32) * 50,
            options=Conv2DOptions(padding, stride, stride, activation=Activation.NONE),
            weights_quantization=self.quantization(0.02, 128),
            quantization=self.quantization(SCALES[0], 120),
        )

    def depthwise(self, value: Value, stride: int, padding: Padding) -> Value:
        channels = value.shape[3]
        return self.builder.depthwise_conv2d(
            value,
            self.weights((1, 3, 3, channels)),
            np.arange(channels, dtype=np.int32) * 50,
            options=DepthwiseOptions(padding, stride, stride),
            weights_quantization=self.quantization(0.02, 128),
            quantization=self.quantization(SCALES[0], 120),
        )

    def add(self, choice: Choice) -> None:
        """Append what a choice comes to, where there is a value that it fits."""
        kind, number, more = choice
        value = self.take(number)
        rows, columns, channels = value.shape[1:]
        padding = Padding.SAME if more % 2 else Padding.VALID
        small = min(rows, columns) < 3
        b = self.builder
        match kind:
            case "conv":
                self.values.append(self.conv(value, 1 if small else 3, 1, padding, 1 + more % 6))
            case "strided":
                self.values.append(self.conv(value, 1 if small else (3, 5)[min(rows, columns) > 5], 2, padding, 3))
            case "pointwise":
                self.values.append(self.conv(value, 1, 1 + more % 2, Padding.SAME, 1 + more % 9))
            case "depthwise":
                self.values.append(self.depthwise(value, 1 + more // 2 % 2, Padding.SAME if small else padding))
            case "pad":
                self.values.append(b.pad(value, [(0, 0), (1, 1), (1, 1), (0, 0)]))
            case "frame":
                self.values.append(b.pad(value, [(0, 0), (more % 3, more // 3 % 3), (more % 2, 1), (0, 0)]))
            case "resize":
                if max(rows, columns) < 12:
                    self.values.append(b.resize_nearest(value, 2 * rows, 2 * columns))
            case "slice":
                if not small:
                    ends = (1, rows, columns, channels)
                    self.values.append(b.strided_slice(value, (0, more % 2, 0, 0), ends, (1, 2, 1 + more // 2 % 2, 1)))
            case "cpu":
                result = b.tensor(
                    f"greater {len(self.values)}", value.shape, self.dtype, quantization=value.quantization
                )
                b.operator("MAXIMUM", [value, value], [result])
                self.values.append(result)
            case "clamp":  # of what nobody else reads
                same = Padding.SAME
                alone = self.conv(value, 1, 1, same, 1 + more % 9) if more % 2 else self.depthwise(value, 1, same)
                self.values.append(b.elementwise("RELU", alone, quantization=alone.quantization))
            case "rescale":
                quantization = value.quantization if more % 3 == 0 else self.quantization(SCALES[more % 2], 110)
                self.values.append(b.elementwise("RELU", value, quantization=quantization))
            case "transpose":
                self.values.append(b.transpose(value, ((0, 2, 1, 3), (0, 3, 1, 2), (0, 1, 3, 2))[more % 3]))
            case "reshape":
                pixels, flat = (1, 1, rows * columns, channels), (1, rows, columns * channels, 1)
                self.values.append(b.reshape(value, ((1, columns, rows, channels), pixels, flat)[more % 3]))
            case "mean":
                self.values.append(b.mean(value, (1, 2), quantization=self.quantization(SCALES[more % 2], 120)))
            case "split":
                if channels % 2 == 0:
                    self.values += b.split(value, 2, 3)
            case "add" | "concat":
                others = [other for other in self.values if other.shape == value.shape]
                other = others[more % len(others)]
                self.used.add(other.index)
                if kind == "add":
                    self.values.append(b.add(value, other, quantization=self.quantization(SCALES[0], 120)))
                elif channels < 30:
                    self.values.append(b.concatenation([value, other], 3))


def network(
    size: tuple[int, int, int], found: Sequence[Choice], dtype: DType = np.uint8
) -> tuple[bytes, tuple[int, ...]]:
    """A model and its input's shape. What nobody uses is an output, and every fifth value."""
    rows, more, channels = size
    builder = ModelBuilder()
    shape = (1, rows, rows + more, channels)
    net = _Network(builder, [], set(), dtype)
    net.values.append(builder.input("image", shape, dtype, quantization=net.quantization(SCALES[0], 120)))
    for choice in found:
        net.add(choice)
    net.add(("pointwise", len(net.values) - 1, 4))
    leaves = [v for place, v in enumerate(net.values) if place and (v.index not in net.used or place % 5 == 0)]
    builder.output(*leaves)
    return builder.build(), shape
