# SPDX-License-Identifier: MIT
"""What does a network consist of? Frozen values that the reader makes and everything else only looks at.

Tensors and operators are named by their index in the file, as LiteRT names them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Padding(Enum):
    """How a window meets the edge of its input. Values are the schema's."""

    SAME = 0
    VALID = 1


class Activation(Enum):
    """The function fused behind an operator. Values are the schema's."""

    NONE = 0
    RELU = 1
    RELU_N1_TO_1 = 2
    RELU6 = 3
    TANH = 4
    SIGN_BIT = 5


@dataclass(frozen=True, slots=True)
class Quantization:
    """real = scale * (q - zero_point), with one pair for the whole tensor or one for each index along ``axis``.

    ``scales`` hold float32 values, finite and above zero; ``zero_points`` has as many entries as ``scales``.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0

    @property
    def per_tensor(self) -> bool:
        """Whether one scale and one zero point hold for the whole tensor."""
        return len(self.scales) == 1 and len(self.zero_points) == 1

    @property
    def scale(self) -> float:
        """The only scale. Raises ValueError where there are several."""
        (only,) = self.scales
        return only

    @property
    def zero_point(self) -> int:
        """The only zero point. Raises ValueError where there are several."""
        (only,) = self.zero_points
        return only


@dataclass(frozen=True, slots=True, eq=False)
class Tensor:
    """One tensor of a graph; two are equal only if they are the same object.

    ``shape`` is what the file states, with no negative entry; ``shape_signature`` is empty or has -1 where a dimension
    is open. ``type_name`` is the schema's ("UINT8"); ``dtype`` is None where numpy has no such type (strings, 4 bits,
    resources). ``data`` is a read-only view of the file's bytes, of that dtype and shape, or None where the tensor is
    computed or has no dtype. ``buffer`` is the index of its contents in the file and ``nbytes`` their size, 0 for none.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    shape_signature: tuple[int, ...]
    type_name: str
    dtype: np.dtype[Any] | None
    quantization: Quantization | None
    data: NDArray[Any] | None
    is_variable: bool = False
    buffer: int = 0
    nbytes: int = 0

    @property
    def is_constant(self) -> bool:
        """Whether the file holds its contents (numpy may have no type for them: then ``data`` is None even so)."""
        return self.data is not None or self.nbytes > 0

    @property
    def is_dynamic(self) -> bool:
        """Whether some dimension is open until inputs are known."""
        return -1 in self.shape_signature

    @property
    def elements(self) -> int:
        """How many values it holds."""
        count = 1
        for length in self.shape:
            count *= length
        return count


@dataclass(frozen=True, slots=True)
class Conv2DOptions:
    """Options of CONV_2D; strides and dilations are at least 1."""

    padding: Padding = Padding.SAME
    stride_height: int = 1
    stride_width: int = 1
    dilation_height: int = 1
    dilation_width: int = 1
    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True)
class DepthwiseOptions:
    """Options of DEPTHWISE_CONV_2D; strides, dilations and the multiplier are at least 1."""

    padding: Padding = Padding.SAME
    stride_height: int = 1
    stride_width: int = 1
    dilation_height: int = 1
    dilation_width: int = 1
    depth_multiplier: int = 1
    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True)
class TransposeConvOptions:
    """Options of TRANSPOSE_CONV; strides are at least 1. ``padding`` is that of the convolution that it turns round."""

    padding: Padding = Padding.SAME
    stride_height: int = 1
    stride_width: int = 1
    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True)
class Pool2DOptions:
    """Options of AVERAGE_POOL_2D, MAX_POOL_2D and L2_POOL_2D; strides and filter are at least 1."""

    padding: Padding = Padding.SAME
    stride_height: int = 1
    stride_width: int = 1
    filter_height: int = 1
    filter_width: int = 1
    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True)
class AddOptions:
    """Options of ADD."""

    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True)
class FullyConnectedOptions:
    """Options of FULLY_CONNECTED; ``weights_format`` 1 is LiteRT's shuffled 4x16 order."""

    activation: Activation = Activation.NONE
    keep_num_dims: bool = False
    weights_format: int = 0


@dataclass(frozen=True, slots=True)
class ConcatenationOptions:
    """Options of CONCATENATION; ``axis`` counts from the end where it is negative."""

    axis: int = 0
    activation: Activation = Activation.NONE


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """Options of SPLIT, whose axis is its first input."""

    num_splits: int = 1


@dataclass(frozen=True, slots=True)
class BlockOptions:
    """Options of SPACE_TO_DEPTH and DEPTH_TO_SPACE; ``size`` is at least 1."""

    size: int = 2


@dataclass(frozen=True, slots=True)
class StridedSliceOptions:
    """Options of STRIDED_SLICE: masks of one bit a dimension; ``offset``: ends count from the beginnings."""

    begin_mask: int = 0
    end_mask: int = 0
    ellipsis_mask: int = 0
    new_axis_mask: int = 0
    shrink_axis_mask: int = 0
    offset: bool = False


@dataclass(frozen=True, slots=True)
class ResizeOptions:
    """Options of RESIZE_NEAREST_NEIGHBOR: how pixels of the result and of the input correspond."""

    align_corners: bool = False
    half_pixel_centers: bool = False


Options = (
    BlockOptions
    | StridedSliceOptions
    | ResizeOptions
    | Conv2DOptions
    | DepthwiseOptions
    | TransposeConvOptions
    | Pool2DOptions
    | AddOptions
    | FullyConnectedOptions
    | ConcatenationOptions
    | SplitOptions
)


@dataclass(frozen=True, slots=True)
class Operator:
    """One operation: ``kind`` is the schema's name ("CONV_2D") or "CUSTOM:" and the custom operator's name.

    ``inputs`` and ``outputs`` are tensor indices; an input of -1 is absent. ``options`` is None for the kinds that
    have no class here; the file still holds theirs, and ``extract`` keeps them.
    """

    index: int
    kind: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Options | None = None


@dataclass(frozen=True, slots=True)
class Signature:
    """A named way to call the model: argument names to tensor indices of its subgraph, and result names likewise."""

    name: str
    subgraph: int
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


@dataclass(frozen=True, eq=False)
class Graph:
    """The first subgraph of a model, operators in an order in which they can run, each tensor written at most once.

    ``subgraphs`` counts those of the file; the others, which control flow calls, are checked but not kept. ``source``
    is the file itself. ``name`` says where it came from, for messages.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    signatures: tuple[Signature, ...]
    description: str
    source: bytes
    subgraphs: int = 1
    subgraph_name: str = ""
    name: str = "model"

    @cached_property
    def digest(self) -> str:
        """By what caches know the model: a digest of the file's bytes."""
        return hashlib.sha256(self.source).hexdigest()

    def tensor(self, index: int) -> Tensor:
        """The tensor of that index. Raises IndexError for -1 (an absent input) as for any other that is not there."""
        if index < 0:
            raise IndexError(f"tensor {index}: no such tensor; an absent input has none")
        return self.tensors[index]

    @cached_property
    def _producers(self) -> dict[int, Operator]:
        return {output: operator for operator in self.operators for output in operator.outputs}

    @cached_property
    def _consumers(self) -> dict[int, tuple[Operator, ...]]:
        found: dict[int, list[Operator]] = {}
        for operator in self.operators:
            for tensor in dict.fromkeys(operator.inputs):
                found.setdefault(tensor, []).append(operator)
        return {tensor: tuple(operators) for tensor, operators in found.items()}

    def producer(self, tensor: int) -> Operator | None:
        """The operator that writes this tensor, or None for constants, inputs and variables."""
        return self._producers.get(tensor)

    def consumers(self, tensor: int) -> tuple[Operator, ...]:
        """The operators that read this tensor, each once, in order."""
        return self._consumers.get(tensor, ())
