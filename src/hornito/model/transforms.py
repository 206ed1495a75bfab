# SPDX-License-Identifier: MIT
"""How does a made-up network get operators that move data, and others that ``ModelBuilder`` has no method for?"""

from typing import Any

import numpy as np

from hornito.model.builder import ModelBuilder, Value, affine, per_axis
from hornito.model.draw import Draw
from hornito.model.graph import Padding, Quantization
from hornito.model.layers import kind_of, sums


def _schema() -> Any:
    from ai_edge_litert import schema_py_generated as schema

    return schema


def _moved(builder: ModelBuilder, kind: str, value: Value, shape: tuple[int, ...], options: Any, *more: Value) -> Value:
    """Append an operator whose result holds bytes of its first input."""
    result = builder.tensor(f"{kind.lower()}_result_{value.index}", shape, value.dtype, quantization=value.quantization)
    builder.operator(kind, [value, *more], [result], options)
    return result


def padded(paddings: tuple[tuple[int, int], ...], builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    """PAD."""
    return builder.pad(value, paddings)


def resized(rows: int, columns: int, builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    """RESIZE_NEAREST_NEIGHBOR."""
    return builder.resize_nearest(value, rows, columns)


def sliced(
    begin: tuple[int, ...],
    end: tuple[int, ...],
    strides: tuple[int, ...],
    builder: ModelBuilder,
    draw: Draw,
    value: Value,
) -> Value:
    """STRIDED_SLICE of rows, columns and channels."""
    return builder.strided_slice(value, (0, *begin), (1, *end), (1, *strides))


def cut_out(begin: tuple[int, ...], size: tuple[int, ...], builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    """SLICE of rows, columns and channels."""
    places = [
        builder.constant(f"{name}_{value.index}", np.array((first, *rest), np.int32))
        for name, first, rest in (("begin", 0, begin), ("size", 1, size))
    ]
    return _moved(builder, "SLICE", value, (1, *size), _schema().SliceOptionsT(), *places)


def bordered(paddings: tuple[tuple[int, int], ...], builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    """PADV2 with what stands for 0."""
    assert value.quantization is not None
    return builder.pad(value, paddings, value.quantization.zero_point)


def requantised(by: int, builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    """QUANTIZE to a zero point that is further from the ends of the range."""
    assert value.quantization is not None
    zero = value.quantization.zero_point
    return builder.quantize(value, value.dtype, affine(value.quantization.scale, zero + (by if zero < 0 else -by)))


def parted(sizes: tuple[int, ...], axis: int, builder: ModelBuilder, value: Value) -> list[Value]:
    """SPLIT_V."""
    options = _schema().SplitVOptionsT()
    options.numSplits = len(sizes)
    given = [
        builder.constant(f"sizes_{value.index}", np.array(sizes, np.int32)),
        builder.constant(f"axis_{value.index}", np.int32(axis)),
    ]
    shapes = [tuple(size if place == axis else full for place, full in enumerate(value.shape)) for size in sizes]
    results = [
        builder.tensor(f"part_{value.index}_{number}", shape, value.dtype, quantization=value.quantization)
        for number, shape in enumerate(shapes)
    ]
    builder.operator("SPLIT_V", [value, *given], results, options)
    return results


def turned(order: tuple[int, ...], builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    """TRANSPOSE."""
    return builder.transpose(value, order)


def spread(block: int, builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    """DEPTH_TO_SPACE."""
    options = _schema().DepthToSpaceOptionsT()
    options.blockSize = block
    _, rows, columns, channels = value.shape
    shape = (1, rows * block, columns * block, channels // block**2)
    return _moved(builder, "DEPTH_TO_SPACE", value, shape, options)


def gathered(block: int, builder: ModelBuilder, draw: Draw, value: Value) -> Value:
    """SPACE_TO_DEPTH."""
    options = _schema().SpaceToDepthOptionsT()
    options.blockSize = block
    _, rows, columns, channels = value.shape
    shape = (1, rows // block, columns // block, channels * block**2)
    return _moved(builder, "SPACE_TO_DEPTH", value, shape, options)


def squeezed(builder: ModelBuilder, value: Value, dimensions: tuple[int, ...] = (1, 2)) -> Value:
    """SQUEEZE of these dimensions, by default a pixel's rows and columns."""
    options = _schema().SqueezeOptionsT()
    options.squeezeDims = list(dimensions)
    shape = tuple(length for place, length in enumerate(value.shape) if place not in dimensions)
    return _moved(builder, "SQUEEZE", value, shape, options)


def expanded(builder: ModelBuilder, value: Value) -> Value:
    """EXPAND_DIMS: one more dimension behind the batch."""
    axis = builder.constant(f"axis_{value.index}", np.int32(1))
    shape = (value.shape[0], 1, *value.shape[1:])
    return _moved(builder, "EXPAND_DIMS", value, shape, _schema().ExpandDimsOptionsT(), axis)


def transposed(
    outputs: int, kernel: int, stride: int, padding: Padding, builder: ModelBuilder, draw: Draw, value: Value
) -> Value:
    """TRANSPOSE_CONV."""
    kind = kind_of(value)
    _, rows, columns, inputs = value.shape
    grown = max(kernel - stride, 0) if padding is Padding.VALID else 0
    shape = (1, rows * stride + grown, columns * stride + grown, outputs)
    quantization = draw.weights_quantization(kind)
    assert value.quantization is not None
    target = builder.constant("size", np.array(shape, np.int32))
    values, bias = draw.weights((outputs, kernel, kernel, inputs), kind), draw.bias(outputs)
    weights = builder.constant("weights", values, quantization=quantization)
    unit = affine(value.quantization.scale * quantization.scale)
    biases = builder.constant("bias", bias, quantization=per_axis(unit.scales, 0))
    fitting = sums(value, values, bias, quantization, share=1 / stride**2)
    result = builder.tensor("result", shape, value.dtype, quantization=fitting)
    options = _schema().TransposeConvOptionsT()
    options.padding, options.strideH, options.strideW = padding.value, stride, stride
    builder.operator("TRANSPOSE_CONV", [target, weights, value, biases], [result], options, version=3)
    return result


def result_of(kind: str, value: Value) -> Quantization | None:
    """The result's quantisation of an operator of one input, as LiteRT wants it."""
    low = -128 if value.dtype == np.int8 else 0
    if kind == "RELU6" and value.quantization is not None:
        return affine(min(value.quantization.scale, 6 / 256), low)
    return affine(1 / 256, low) if kind == "LOGISTIC" else value.quantization
