# SPDX-License-Identifier: MIT
"""Which rules do several operators share?"""

from collections.abc import Callable, Sequence

import numpy as np

from hornito.compiler.options import Unit
from hornito.compiler.rules import Candidate, Rule, shapes
from hornito.compiler.weights import Kernels
from hornito.hardware.nn import NNDescriptor
from hornito.model.graph import Tensor

_NN = NNDescriptor.layout()
SIZE_FIELDS = tuple(_NN[f"{which}_image_{axis}_size"] for which in ("in", "out") for axis in "xy")
CHANNEL_FIELDS = _NN["kernel_z_size"], _NN["out_image_z_size"]
SHIFT_FIELDS = _NN["post_shift"], _NN["post_shift_bit_5_6"]
KERNEL_FIELDS = _NN["kernel_xy_size"], _NN["kernel_y_size"]
RELU_FIELDS = (_NN["relu"],)
MAX_SIZE = min(field.largest for field in SIZE_FIELDS)
MAX_CHANNELS = min(field.largest for field in CHANNEL_FIELDS)
ACCUMULATOR_LIMIT = 1 << 31
LARGEST = 255  # of an input byte, and of what is subtracted from it
Tensors = Callable[[Candidate], Sequence[Tensor]]

NN_IN_USE = Rule(
    "the NN unit",
    lambda c: Unit.NN not in c.options.disabled,
    lambda c: "none (--disable nn)",
)


def sums_fit(kernels: Kernels) -> bool:
    """Do a kernel's sums stay below 2**31 for any input? Beyond that the accumulators' width is unknown."""
    count = kernels.values.shape[1] * kernels.rows * kernels.columns
    biases = np.abs(kernels.bias)
    if count * LARGEST * LARGEST + int(biases.max(initial=0)) < ACCUMULATOR_LIMIT:
        return True
    weights = np.abs(kernels.values.reshape(kernels.count, -1).astype(np.int64) - kernels.zero).sum(axis=1)
    return bool((weights * LARGEST + biases < ACCUMULATOR_LIMIT).all())


def data(candidate: Candidate) -> list[Tensor]:
    """Operands and results."""
    return [*candidate.operands, *candidate.results]


def one_type(what: str, tensors: Tensors) -> Rule:
    """Tensors are all uint8 or all int8."""

    def types(c: Candidate) -> set[str]:
        return {tensor.type_name for tensor in tensors(c)}

    return Rule(
        f"{what} all uint8 or all int8",
        lambda c: types(c) in ({"UINT8"}, {"INT8"}),
        lambda c: ", ".join(sorted(types(c))),
    )


def single_images(tensors: Tensors) -> Rule:
    """Tensors have four dimensions, a batch of 1 and fixed sizes."""
    return Rule(
        "tensors of four dimensions and a batch of 1",
        lambda c: all(
            len(t.shape) == 4 and min(t.shape) > 0 and t.shape[0] == 1 and not t.is_dynamic for t in tensors(c)
        ),
        lambda c: shapes(*tensors(c)),
    )


def per_tensor(what: str, tensors: Tensors) -> Rule:
    """Tensors have one scale and one zero point each."""
    return Rule(
        f"one scale and one zero point each for {what}",
        lambda c: all(t.quantization is not None and t.quantization.per_tensor for t in tensors(c)),
        lambda c: ", ".join(
            f"T#{t.index} with {len(t.quantization.scales) if t.quantization else 'no'}" for t in tensors(c)
        ),
    )


def zero_points(tensors: Tensors) -> Rule:
    """Zero points lie within the type. Needs ``per_tensor`` before it."""

    def fits(t: Tensor) -> bool:
        assert t.quantization is not None and t.dtype is not None
        info = np.iinfo(t.dtype)
        return bool(info.min <= t.quantization.zero_point <= info.max)

    return Rule(
        "zero points within the type",
        lambda c: all(fits(t) for t in tensors(c)),
        lambda c: ", ".join(str(t.quantization.zero_points[0]) for t in tensors(c) if t.quantization),
    )


def computed(tensors: Tensors) -> Rule:
    """Operands are no constants."""
    return Rule(
        "computed inputs",
        lambda c: not any(t.is_constant for t in tensors(c)),
        lambda c: ", ".join(f"the constant T#{t.index}" for t in tensors(c) if t.is_constant),
    )


def same_quantisation(tensors: Tensors) -> Rule:
    """Bytes are moved, not rescaled. Needs ``per_tensor`` before it."""
    return Rule(
        "the same scale and zero point for inputs and outputs",
        lambda c: len({(t.quantization.scale, t.quantization.zero_point) for t in tensors(c) if t.quantization}) == 1,
        lambda c: ", ".join(
            f"{t.quantization.scale:g}/{t.quantization.zero_point}" for t in tensors(c) if t.quantization
        ),
    )


NOT_TALL = Rule(
    "an image no taller than wide",
    lambda c: c.source.shape[1] <= c.source.shape[2],
    lambda c: shapes(c.source),
)
