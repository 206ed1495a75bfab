# SPDX-License-Identifier: MIT
"""Do jobs become the stream that the databook shows, with every address relocated and every tensor in its place?"""

import dataclasses
import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.bits import Packed
from hornito.compiler import Compiled, Options, compile_graph, compile_plan, find_level, make_plan
from hornito.hardware.chips import find_chip
from hornito.hardware.nn import NNDescriptor
from hornito.hardware.tp import TPDescriptor
from hornito.model import Activation, Graph, ModelBuilder, Padding, Tensor, Value, affine
from hornito.stream import (
    BufferKind,
    CpuSegment,
    NNJob,
    NpuSegment,
    Submission,
    TPJob,
    jobs_of,
    listing,
    pack_archive,
    walk,
)
from hornito.stream.submission import STREAM
from hornito.stream.walker import LoadState
from tests.compiler.networks import CHIP, Layer, made, nn_jobs

# One 3x3 convolution of stride 2, SAME padding, 8x8x4 to 8 channels: a worked stream of the databook.
WORKED = Layer(8, inputs=4, outputs=8, stride=2)
WORKED_STREAM = """
00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000
08010E4F 00000000 08010E50 00000000 08010E53 00000000 08010E54 00000000 0801042E F0008000 08010429 00000000
08010E4F 00000000 08010E50 00000000 08010E53 00000000 08010E54 00000000 0801042E F0009001
08010E4F 00000000 08010E50 00000000 08010E53 00000000 08010E54 00000000 0801042E F000A001
08010E4F 00000000 08010E50 00000000 08010E53 00000000 08010E54 00000000 0801042E F000B001
08010E4F 00000000 08010E50 00000000 08010E53 00000000 08010E54 00000000 0801042E F000C000 08010429 00000000
08010E4F 00000000 08010E50 00000000 08010E4C 00000010 08010428 F000E000 08010429 00000000
08010E4F 00000000 08010E50 00000000 08010E53 00000000 08010E54 00000000 0801042E F000F000 08010429 00000000
08010E03 00000C23 08010E03 00000C23 00000000 00000000
"""


def compiled(layer: Layer) -> Compiled:
    return compile_graph(layer.graph(), Options(CHIP))


def test_worked_stream() -> None:
    submission = compiled(WORKED).archive.submissions[1]
    # Descriptors in the order of the stream, at the databook's addresses; everything else out of their way.
    wanted = iter([0xF0008000, 0xF0009000, 0xF000A000, 0xF000B000, 0xF000C000, 0xF000E000, 0xF000F000])
    addresses = [0x10000 * (number + 1) for number in range(len(submission.buffers))]
    for place in submission.relocations:
        if place.buffer == STREAM:
            addresses[place.target] = next(wanted)
    expected = [int(word, 16) for word in WORKED_STREAM.split()]
    assert len(expected) == 90
    assert submission.moved(addresses).stream.tolist() == expected


def test_initialisation_is_a_submission_of_its_own() -> None:
    first = compiled(WORKED).archive.submissions[0]
    words = [0] * 8 + [0x0801028A, 0x11, 0x08010E13, 2] + [0, 0]
    assert first.stream.tolist() == words
    assert not (first.buffers or first.relocations or first.inputs or first.outputs)


def test_jobs_are_transpose_reshuffle_convolution_detranspose() -> None:
    jobs = list(jobs_of(compiled(WORKED).archive.submissions[1]))
    assert [len(job.descriptors) if isinstance(job, TPJob) else 0 for job in jobs] == [1, 4, 0, 1]
    assert isinstance(jobs[2], NNJob)


layers = st.builds(
    Layer,
    rows=st.integers(5, 20),
    inputs=st.sampled_from([1, 3, 8]),
    outputs=st.sampled_from([1, 8, 13]),
    kernel=st.sampled_from([1, 3, 5]),
    stride=st.sampled_from([1, 2]),
    padding=st.sampled_from(Padding),
    depthwise=st.booleans(),
    activation=st.sampled_from([Activation.NONE, Activation.RELU]),
)


@settings(deadline=None, max_examples=40)
@given(layers, st.randoms(use_true_random=False))
def test_moving_changes_relocated_words_alone_and_all_addresses(layer: Layer, random: object) -> None:
    original = compiled(layer).archive.submissions[1]
    distance = 0x12340000
    moved = original.moved([buffer.address + distance for buffer in original.buffers])
    places = {(place.buffer, place.offset): place for place in original.relocations}
    assert len(places) == len(original.relocations)
    contents = [(STREAM, original.stream, moved.stream)]
    for number, (before, after) in enumerate(zip(original.buffers, moved.buffers, strict=True)):
        if before.data is not None and after.data is not None:
            length = len(before.data) // 4 * 4
            contents.append((number, before.data[:length].view("<u4"), after.data[:length].view("<u4")))
    changed = set()
    for number, old, new in contents:
        for index in np.flatnonzero(old != new):
            place = places[number, 4 * int(index)]
            changed.add(place)
            assert int(new[index]) - int(old[index]) == distance >> place.shift
    assert changed == set(original.relocations)
    # And nothing that is an address is missing: three words of each NN descriptor, two of each TP descriptor, and the
    # descriptors' own.
    kinds = [buffer.kind for buffer in original.buffers]
    descriptors = kinds.count(BufferKind.NN), kinds.count(BufferKind.TP)
    assert len(places) == 4 * descriptors[0] + 3 * descriptors[1]
    assert listing(moved) == listing(original)


@settings(deadline=None, max_examples=40)
@given(layers)
def test_every_address_lies_in_the_right_kind_of_buffer_and_every_buffer_is_used(layer: Layer) -> None:
    submission = compiled(layer).archive.submissions[1]
    reached = set()

    def kind_at(address: int, length: int) -> BufferKind:
        number = submission.buffer_at(address)
        assert number is not None
        reached.add(number)
        assert address + length <= submission.buffers[number].end
        return submission.buffers[number].kind

    for packet in walk(submission.stream.tolist()):
        if isinstance(packet, LoadState) and packet.first in (0x428, 0x42E):
            wanted = BufferKind.NN if packet.first == 0x428 else BufferKind.TP
            assert kind_at(packet.values[0] & ~63, 124) is wanted
    for job in jobs_of(submission):
        if isinstance(job, NNJob):
            d = job.descriptor
            planes = d.in_image_x_size * d.in_image_y_size * d.channels
            assert kind_at(d.kernel_address << 6, 64) is BufferKind.COEFFICIENTS
            assert kind_at(d.in_image_address, planes) is BufferKind.TENSOR
            outputs = d.out_image_x_stride * d.out_image_y_stride * d.out_image_z_size
            assert kind_at(d.out_image_address, outputs) is BufferKind.TENSOR
        else:
            for t in job.descriptors:
                # A core for which no rows are left begins right behind the tensor, and reads nothing.
                nothing = t.in_image_x_size * t.in_image_y_size * t.in_image_z_size == 0
                assert kind_at(t.in_image_base_address - nothing, 1) is BufferKind.TENSOR
                assert kind_at(t.out_image_base_address, 1) is BufferKind.TENSOR
    assert reached == set(range(len(submission.buffers)))
    for port in (*submission.inputs, *submission.outputs):
        assert port.bytes == port.tensor.bytes == submission.buffers[port.buffer].size


def test_descriptors_violate_nothing() -> None:
    for layer in (WORKED, Layer(depthwise=True, inputs=8, stride=2, rows=9), Layer(kernel=1, inputs=1)):
        for buffer in compiled(layer).archive.submissions[1].buffers:
            kinds: dict[BufferKind, type[Packed]] = {BufferKind.NN: NNDescriptor, BufferKind.TP: TPDescriptor}
            kind = kinds.get(buffer.kind)
            if kind is not None and buffer.data is not None:
                assert list(kind.violations(buffer.data.view("<u4").tolist())) == []


def test_buffers_begin_on_pages_of_their_own() -> None:
    buffers = compiled(WORKED).archive.submissions[1].buffers
    assert all(buffer.address % 4096 == 0 for buffer in buffers)
    ends = [-(-buffer.end // 4096) * 4096 for buffer in buffers[:-1]]
    assert ends == [buffer.address for buffer in buffers[1:]]


def test_segments_tensors_and_ports_join_the_model() -> None:
    archive = compiled(WORKED).archive
    assert archive.segments == (NpuSegment(1),)
    ((source,), (target,)) = archive.submissions[1].inputs, archive.submissions[1].outputs
    assert (archive.inputs, archive.outputs) == ((source.tensor.index,), (target.tensor.index,))
    assert source.tensor.shape == (1, 8, 8, 4) and target.tensor.shape == (1, 4, 4, 8)
    assert (source.tensor.zero_point, target.tensor.zero_point) == (5, 3)
    assert (archive.chip, archive.level) == ("vipnano-qi-88-0", "proven")


def test_submissions_of_one_archive_do_not_overlap() -> None:
    def build(builder: ModelBuilder) -> list[Value]:
        first = Layer(inputs=4, outputs=4)
        middle = builder.elementwise("LOGISTIC", first.add(builder, first.input(builder)))
        return [first.add(builder, middle)]

    archive = compile_graph(made(build), Options(CHIP)).archive
    assert [type(segment) for segment in archive.segments] == [NpuSegment, CpuSegment, NpuSegment]
    first, second = archive.submissions[1:]
    assert first.buffers[-1].end <= second.buffers[0].address


def test_compiling_twice_gives_the_same() -> None:
    first, second = (compiled(WORKED).archive.submissions[1] for _ in range(2))
    assert listing(first) == listing(second) and first.stream.tolist() == second.stream.tolist()


# What the descriptor says of each way to lower a convolution


def only_descriptor(layer: Layer) -> NNDescriptor:
    ((descriptor, _),) = nn_jobs(_submission(layer))
    return descriptor


def _submission(layer: Layer) -> Submission:
    return compiled(layer).archive.submissions[1]


def facts(layer: Layer) -> dict[str, object]:
    d = only_descriptor(layer)
    return {
        "in": (d.in_image_x_size, d.in_image_y_size, d.channels),
        "out": (d.out_image_x_size, d.out_image_y_size, d.out_image_z_size),
        "kernel": (d.kernel_xy_size, d.kernel_y_size),
        "offset": d.offsets(4),
        "pooling": (d.pooling, d.pooling_xy_size),
    }


@pytest.mark.parametrize(
    "layer,expected",
    [
        (Layer(8, 12), {"in": (12, 8, 4), "out": (12, 8, 8), "kernel": (3, 3), "offset": (-1, -1), "pooling": (0, 1)}),
        (Layer(padding=Padding.VALID), {"in": (8, 8, 4), "out": (6, 6, 8), "offset": (0, 0)}),
        (Layer(kernel=5), {"kernel": (5, 5), "offset": (-2, -2)}),
        (Layer(kernel=1), {"kernel": (1, 1), "offset": (0, 0)}),
        (Layer(kernel=1, inputs=1), {"in": (8, 8, 1), "kernel": (2, 2), "out": (8, 8, 8), "offset": (0, 0)}),
        # Stride 2: from reshuffled planes, or at full resolution keeping one pixel of four.
        (Layer(9, 12, stride=2), {"in": (7, 6, 16), "kernel": (2, 2), "out": (6, 5, 8), "offset": (0, 0)}),
        (Layer(stride=2, kernel=5), {"in": (6, 6, 16), "kernel": (3, 3), "out": (4, 4, 8), "offset": (0, 0)}),
        (Layer(stride=2, kernel=1), {"in": (8, 8, 4), "out": (8, 8, 8), "pooling": (3, 0)}),
        (Layer(7, stride=2, kernel=1), {"in": (7, 7, 4), "out": (8, 8, 8), "pooling": (3, 0)}),
        (Layer(depthwise=True), {"in": (8, 8, 4), "kernel": (3, 3), "out": (8, 8, 4), "offset": (-1, -1)}),
        (Layer(depthwise=True, stride=2), {"out": (8, 8, 4), "pooling": (3, 0), "offset": (0, 0)}),
        (Layer(9, depthwise=True, stride=2), {"out": (10, 10, 4), "pooling": (3, 0), "offset": (-1, -1)}),
        (Layer(2, depthwise=True, stride=2), {"out": (2, 2, 4), "pooling": (3, 0), "offset": (0, 0)}),
        *(
            (Layer(rows, depthwise=True, stride=2), {"kernel": (2, 2), "pooling": (0, 1), "offset": (0, 0)})
            for rows in (3, 4, 5, 6, 7)
        ),
        (Layer(depthwise=True, inputs=1, stride=2), {"out": (8, 8, 1), "pooling": (3, 0)}),
        (
            Layer(5, depthwise=True, kernel=5, stride=2),
            {"in": (5, 5, 16), "kernel": (3, 3), "out": (3, 3, 4), "offset": (0, 0)},
        ),
    ],
    ids=lambda value: (
        f"{'dw' if value.depthwise else 'conv'}{value.rows}k{value.kernel}s{value.stride}c{value.inputs}"
        if isinstance(value, Layer)
        else ""
    ),
)
def test_descriptor_of_each_path(layer: Layer, expected: dict[str, object]) -> None:
    found = facts(layer)
    assert {key: found[key] for key in expected} == expected


def test_zero_points_relu_and_factor_reach_the_descriptor() -> None:
    d = only_descriptor(Layer(activation=Activation.RELU, input_zero=128))
    assert (d.in_image_border_const, d.coef_zero_point, d.out_zero_point, d.relu) == (128, 7, 3, 1)
    assert (d.shift, d.multiplier) == (24, 0x4CCC)
    assert only_descriptor(Layer()).relu == 0


def test_layouts_coincide_for_one_channel() -> None:
    jobs = list(jobs_of(_submission(Layer(inputs=1, outputs=1))))
    assert len(jobs) == 1


def test_chips_without_first_pixel_pooling_reshuffle_every_stride_of_2() -> None:
    chip = dataclasses.replace(CHIP, first_pixel_pooling=False)
    for layer in (Layer(kernel=1, stride=2), Layer(depthwise=True, stride=2), Layer(stride=2)):
        submission = compile_graph(layer.graph(), Options(chip)).archive.submissions[1]
        ((descriptor, _),) = nn_jobs(submission)
        assert descriptor.pooling == 0 and descriptor.channels == 16


def as_signed(graph: Graph) -> Graph:
    """The same network in int8: every byte and zero point less by 128."""

    def signed(tensor: Tensor) -> Tensor:
        if tensor.type_name != "UINT8":
            return tensor
        assert tensor.quantization is not None
        data = None if tensor.data is None else (tensor.data ^ np.uint8(128)).view(np.int8)
        quantization = affine(tensor.quantization.scale, tensor.quantization.zero_point - 128)
        return dataclasses.replace(
            tensor, type_name="INT8", dtype=np.dtype(np.int8), data=data, quantization=quantization
        )

    return dataclasses.replace(graph, tensors=tuple(signed(tensor) for tensor in graph.tensors))


@pytest.mark.parametrize("layer", [Layer(), WORKED, Layer(kernel=1, outputs=13), Layer(depthwise=True)])
def test_signed_networks_have_the_bytes_of_the_unsigned_ones(layer: Layer) -> None:
    """The device knows unsigned bytes alone; the reference driver forgets to shift version 7's weights."""
    graph = layer.graph()
    unsigned, signed = (
        listing(compile_graph(one, Options(CHIP)).archive.submissions[1]) for one in (graph, as_signed(graph))
    )
    assert unsigned[:-2] == signed[:-2]
    assert "uint8" in unsigned[-1] and "int8" in signed[-1] and "zero point -125" in signed[-1]


def several(builder: ModelBuilder) -> list[Value]:
    """Layers whose coefficients are packed in all ways: with zero runs and without, dense and depthwise, strided."""
    value = builder.input("image", (1, 16, 16, 8), np.uint8, quantization=affine(0.05, 128))
    random = np.random.default_rng(3)
    for number in range(9):
        shape = (1, 3, 3, 8) if number % 3 == 0 else (8, 1, 1, 8) if number % 3 == 1 else (8, 3, 3, 8)
        weights = random.integers(0, 256, shape, dtype=np.uint8)
        weights[random.random(shape) < number / 10] = 128
        bias = random.integers(-1000, 1000, 8, dtype=np.int32)
        add: Callable[..., Value] = builder.depthwise_conv2d if number % 3 == 0 else builder.conv2d
        scales = {"weights_quantization": affine(0.01, 128), "quantization": affine(0.05, 128)}
        value = add(value, weights, bias, **scales)
    return [value]


@pytest.mark.parametrize("chip", ["vipnano-qi", "vipnano-si-plus"])
@pytest.mark.parametrize("level", ["proven", "wide", "fast"])
@pytest.mark.parametrize("as_reference", [False, True])
def test_number_of_threads_makes_no_difference(chip: str, level: str, as_reference: bool) -> None:
    plan = make_plan(made(several), Options(find_chip(chip), find_level(level), as_reference=as_reference))
    found = []
    for workers in (1, 2, 7):
        content = io.BytesIO()
        pack_archive(content, compile_plan(plan, workers=workers).archive)
        found.append(content.getvalue())
    assert found[0] == found[1] == found[2]
    assert sum(len(jobs) for jobs in compile_plan(plan).jobs) >= 9
