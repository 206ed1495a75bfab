# SPDX-License-Identifier: MIT
"""Small networks for compiler tests, made by the model builder with seeded weights."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.compiler import Options, make_plan
from hornito.compiler.plan import NpuPart
from hornito.compiler.tasks import Convolution, Task
from hornito.hardware.chips import Chip, find_chip
from hornito.hardware.nn import NNDescriptor
from hornito.model import (
    Activation,
    Conv2DOptions,
    DepthwiseOptions,
    Graph,
    ModelBuilder,
    Padding,
    Value,
    affine,
    read_model,
)
from hornito.stream import BufferKind, NNJob, Submission, jobs_of

CHIP = find_chip("vipnano-qi")


@dataclass(frozen=True)
class Layer:
    """One convolution: the sizes and settings of a model of a single operator. Weights are seeded; every fourth or so
    is the zero point, so that zero runs occur; ``sparse`` makes nearly all of them zero."""

    rows: int = 8
    columns: int = 0  # 0: as rows
    inputs: int = 4
    outputs: int = 8
    kernel: int = 3
    stride: int = 1
    padding: Padding = Padding.SAME
    depthwise: bool = False
    activation: Activation = Activation.NONE
    input_zero: int = 5
    weight_zero: int = 7
    output_zero: int = 3
    seed: int = 0
    sparse: bool = False
    biased: bool = True

    @property
    def weights(self) -> NDArray[np.uint8]:
        """In TFLite's order: OHWI, or 1HWO for a depthwise layer."""
        rng = np.random.default_rng(self.seed)
        size = self.kernel, self.kernel
        shape = (1, *size, self.inputs) if self.depthwise else (self.outputs, *size, self.inputs)
        values = rng.integers(0, 256, shape, dtype=np.uint8)
        values[rng.random(shape) < (0.95 if self.sparse else 0.25)] = self.weight_zero
        return values

    @property
    def bias(self) -> NDArray[np.int32]:
        count = self.inputs if self.depthwise else self.outputs
        values = np.random.default_rng(self.seed + 1).integers(-20000, 20000, count, dtype=np.int32)
        return values if self.biased else np.zeros_like(values)

    def add(self, builder: ModelBuilder, value: Value) -> Value:
        """Append the layer to a model."""
        geometry = {"padding": self.padding, "stride_height": self.stride, "stride_width": self.stride}
        more = {
            "weights_quantization": affine(0.02, self.weight_zero),
            "quantization": affine(0.05, self.output_zero),
        }
        bias = self.bias if self.biased or self.depthwise else None  # LiteRT takes no depthwise layer without
        if self.depthwise:
            depthwise = DepthwiseOptions(**geometry, activation=self.activation)  # type: ignore[arg-type]
            return builder.depthwise_conv2d(value, self.weights, bias, options=depthwise, **more)
        options = Conv2DOptions(**geometry, activation=self.activation)  # type: ignore[arg-type]
        return builder.conv2d(value, self.weights, bias, options=options, **more)

    def graph(self) -> Graph:
        """A model of this layer alone."""

        def build(builder: ModelBuilder) -> Sequence[Value]:
            return [self.add(builder, self.input(builder))]

        return made(build)

    def input(self, builder: ModelBuilder) -> Value:
        shape = (1, self.rows, self.columns or self.rows, self.inputs)
        return builder.input("image", shape, np.uint8, quantization=affine(0.0078125, self.input_zero))


def made(build: Callable[[ModelBuilder], Sequence[Value]]) -> Graph:
    """The graph of a model whose outputs are what ``build`` returns."""
    builder = ModelBuilder()
    builder.output(*build(builder))
    return read_model(builder.build())


def tasks_of(graph: Graph, chip: Chip = CHIP) -> tuple[Task, ...]:
    """The jobs of a graph that is all one group of accepted operators."""
    (part,) = make_plan(graph, Options(chip)).parts
    assert isinstance(part, NpuPart)
    return part.tasks


def convolution_of(layer: Layer, chip: Chip = CHIP) -> Convolution:
    """The only NN job of a layer."""
    (found,) = [task for task in tasks_of(layer.graph(), chip) if isinstance(task, Convolution)]
    return found


def nn_jobs(submission: Submission) -> list[tuple[NNDescriptor, bytes]]:
    """The descriptor and the coefficient blob of each NN job."""
    found = []
    for job in jobs_of(submission):
        if isinstance(job, NNJob):
            number = submission.buffer_at(job.descriptor.kernel_address << 6)
            assert number is not None
            buffer = submission.buffers[number]
            assert buffer.kind is BufferKind.COEFFICIENTS and buffer.data is not None
            found.append((job.descriptor, buffer.data.tobytes()))
    return found


def altered(graph: Graph, tensors: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any]) -> Graph:
    """``graph`` of one operator with changes to its tensors, by "in0", ..., "out0", ..., and to its options."""
    (operator,) = graph.operators
    changed = list(graph.tensors)
    for place, changes in tensors.items():
        side = operator.inputs if place.startswith("in") else operator.outputs
        index = side[int(place.lstrip("inout"))]
        changed[index] = dataclasses.replace(changed[index], **changes)
    if options:
        assert operator.options is not None
        operator = dataclasses.replace(operator, options=dataclasses.replace(operator.options, **options))
    return dataclasses.replace(graph, tensors=tuple(changed), operators=(operator,))
