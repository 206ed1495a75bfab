# SPDX-License-Identifier: MIT
"""Which cases test what the reference driver tests? Its matrix with its names, for uint8 and int8."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from hornito.conformance.case import Case
from hornito.model import ModelBuilder, Padding
from hornito.model.draw import KINDS, Draw, Kind
from hornito.model.layers import Form, addition, convolution, dense, image

SIZES = (3, 5, 8, 80, 112)
KERNELS = (1, 3, 5)
INPUT_CHANNELS = (1, 32, 120, 128, 256)
OUTPUT_CHANNELS = (1, 32, 120, 128, 160, 256)
STRIDES = (1, 2)
DEPTHWISE_KERNELS = (3, 5)
DEPTHWISE_CHANNELS = (1, 32, 120, 128, 256)
DENSE_SIZES = (128, 1280, 25088, 62720)
QUANTIZATIONS = 100
QUANTIZATIONS_SIZE = 40
PADDINGS = (Padding.VALID, Padding.SAME)


def cases() -> Iterator[Case]:
    """All of the matrix, family by family."""
    for kind in KINDS:
        yield from _convolutions("Conv2D", kind)
        yield from _depthwise(kind)
        yield from _convolutions("Add", kind)
        yield from _quantizations(kind)
        yield from _dense(kind)


def _family(name: str, kind: Kind) -> str:
    return name if kind is np.uint8 else f"{name} int8"


def _convolutions(what: str, kind: Kind) -> Iterator[Case]:
    make = _convolution if what == "Conv2D" else _sum
    for size in SIZES:
        for kernel in (kernel for kernel in KERNELS if kernel <= size):
            for stride in STRIDES:
                for padding in PADDINGS:
                    for inputs in INPUT_CHANNELS:
                        for outputs in OUTPUT_CHANNELS:
                            same, signed = int(padding is Padding.SAME), int(kind is np.int8)
                            form = Form(outputs, kernel, kernel, stride, stride, padding)
                            yield Case(
                                f"{what}.Op/input_size_{size}_weight_size_{kernel}_input_channels_{inputs}"
                                f"_output_channels_{outputs}_stride_{stride}_padding_same_{same}_is_signed_{signed}",
                                _family(what, kind),
                                partial(make, size, inputs, form, kind),
                                f"{size}² {kernel}×{kernel} /{stride} {padding.name}",
                                f"{inputs}→{outputs}",
                            )


def _depthwise(kind: Kind) -> Iterator[Case]:
    for size in SIZES:
        for kernel in (kernel for kernel in DEPTHWISE_KERNELS if kernel <= size):
            for stride in STRIDES:
                for padding in PADDINGS:
                    for channels in DEPTHWISE_CHANNELS:
                        same, signed = int(padding is Padding.SAME), int(kind is np.int8)
                        form = Form(0, kernel, kernel, stride, stride, padding, depthwise=True)
                        yield Case(
                            f"DepthwiseConv2D.Op/input_size_{size}_weight_size_{kernel}_channels_{channels}"
                            f"_stride_{stride}_padding_same_{same}_is_signed_{signed}",
                            _family("DepthwiseConv2D", kind),
                            partial(_convolution, size, channels, form, kind),
                            f"{size}² {kernel}×{kernel} /{stride} {padding.name}",
                            str(channels),
                        )


def _quantizations(kind: Kind) -> Iterator[Case]:
    make = partial(_sum, QUANTIZATIONS_SIZE, 1, Form(1, padding=Padding.VALID), kind, odd=True)
    for number in range(QUANTIZATIONS):
        name = f"AddQuant.Op/{number}" if kind is np.uint8 else f"AddQuant.Op/{number}_is_signed_1"
        yield Case(name, _family("AddQuant", kind), make)


def _dense(kind: Kind) -> Iterator[Case]:
    for size in DENSE_SIZES:
        for outputs in OUTPUT_CHANNELS:
            yield Case(
                f"FullyConnected.Op/input_size_{size}_output_channels_{outputs}_is_signed_{int(kind is np.int8)}",
                _family("FullyConnected", kind),
                partial(_fully_connected, size, outputs, kind),
                str(size),
                str(outputs),
            )


def _convolution(size: int, inputs: int, form: Form, kind: Kind, draw: Draw) -> bytes:
    builder = ModelBuilder()
    builder.output(convolution(builder, draw, image(builder, draw, (1, size, size, inputs), kind), form))
    return builder.build()


def _sum(size: int, inputs: int, form: Form, kind: Kind, draw: Draw, *, odd: bool = False) -> bytes:
    """Two convolutions of one input, and their sum."""
    builder = ModelBuilder()
    value = image(builder, draw, (1, size, size, inputs), kind)
    first, second = (convolution(builder, draw, value, form, odd=odd) for _ in range(2))
    builder.output(addition(builder, draw, first, second), first, second)
    return builder.build()


def _fully_connected(size: int, units: int, kind: Kind, draw: Draw) -> bytes:
    builder = ModelBuilder()
    builder.output(dense(builder, draw, image(builder, draw, (1, size), kind), units))
    return builder.build()
