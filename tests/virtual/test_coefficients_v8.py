# SPDX-License-Identifier: MIT
"""Is version 8's code read as the databook writes it, and is every malformed blob refused by name?"""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.hardware.chips import CHIPS, Chip, CoefficientFormat
from hornito.virtual.faults import Fault
from hornito.virtual.npu.coefficients import READERS
from hornito.virtual.npu.weights import KernelShape
from tests.virtual.machine import CHIP_V8, Bytes
from tests.virtual.reference import Weights, blob_v8, bytes_v8, encode_v8, stream_v8

READER = READERS[CoefficientFormat.V8]
CHIPS_V8 = [chip for chip in CHIPS if chip.coefficient_format is CoefficientFormat.V8]
PLAIN = list(range(8))  # symbol i stands for class i


def as_blob(data: bytes) -> Bytes:
    return np.frombuffer(bytearray(data), np.uint8)


def decode(blob: Bytes, shape: KernelShape, chip: Chip = CHIP_V8) -> tuple[Weights, list[int]]:
    """Raw weights [output, plane, row, column] and biases."""
    assert READER.size(blob[: READER.header(shape, chip)], shape, chip) == len(blob)
    found = READER.decode(blob, shape, chip)
    assert (found.values != 0).all()
    weights = np.full((shape.outputs, shape.planes * shape.rows * shape.columns), shape.zero_point, np.int64)
    weights[found.outputs, found.places] += found.values
    return weights.reshape(shape.outputs, shape.planes, shape.rows, shape.columns), found.biases.tolist()


def worked_example() -> bytes:
    header = "10" + "00" * 19 + "43501276" + "00000000" + "43000000" + "00" * 32
    return bytes.fromhex(header + "BADFE549775E499002" + "00" * 55 + "31090000")


def test_worked_example() -> None:
    weights, biases = decode(as_blob(worked_example()), KernelShape(1, 1, 3, 3, 1, 7, 64))
    assert weights[0, 0].tolist() == [[10, 7, 6], [8, 7, 20], [7, 9, 0]]
    assert biases == [2353]


def test_the_plain_encoder_writes_the_worked_example() -> None:
    weights = np.array([10, 7, 6, 8, 7, 20, 7, 9, 0]).reshape(1, 1, 3, 3)
    assert encode_v8(weights, [2353], 7, 1, symbols=[3, 4, 0, 5, 2, 1, 6, 7]) == worked_example()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_what_a_plain_encoder_writes_is_read_back(data: st.DataObject) -> None:
    chip = data.draw(st.sampled_from(CHIPS_V8), "chip")
    depthwise = data.draw(st.booleans(), "depthwise")
    outputs = data.draw(st.integers(1, 60), "outputs")
    if depthwise and 1 < outputs < chip.nn_cores:
        outputs = 1
    planes = outputs if depthwise else data.draw(st.integers(1, 20), "planes")
    rows, columns = data.draw(st.sampled_from([(1, 1), (2, 2), (3, 3), (5, 5), (1, 4), (7, 2)]), "kernel")
    per_core = data.draw(st.integers(1, -(-outputs // min(outputs, chip.nn_cores))), "per core")
    symbols = data.draw(st.permutations(PLAIN), "symbols")
    spread = data.draw(st.sampled_from([0, 1, 20, 255]), "spread")
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32), "seed"))
    zero_point = int(rng.integers(0, 256))
    shape = KernelShape(outputs, planes, rows, columns, per_core, zero_point, 1, depthwise)
    low, high = max(0, zero_point - spread), min(255, zero_point + spread)
    weights = rng.integers(low, high, (outputs, 1 if depthwise else planes, rows, columns), endpoint=True)
    biases = rng.integers(-(1 << 31), 1 << 31, outputs).tolist()
    blob = as_blob(encode_v8(weights, biases, zero_point, per_core, chip.nn_cores, depthwise, symbols))
    found, found_biases = decode(blob, shape, chip)
    if depthwise:
        assert (found[~np.eye(outputs, dtype=bool)] == zero_point).all()
        found = found[np.arange(outputs), np.arange(outputs)][:, None]
    assert (found == weights).all()
    assert found_biases == biases


SHAPE = KernelShape(13, 3, 3, 3, 2, 7, 36)  # three kernels on core 0, two on the others
LENGTH = 2 + 3 * 27


def some_weights() -> Weights:
    return np.random.default_rng(3).integers(0, 256, (13, 3, 3, 3))


def good() -> Bytes:
    return as_blob(encode_v8(some_weights(), [5] * 13, 7, 2))


def poke(place: int, value: int) -> Callable[[Bytes], Bytes]:
    def change(blob: Bytes) -> Bytes:
        blob[place] = value
        return blob

    return change


def with_core_0(change: Callable[[list[int]], list[int]], marks: str = "") -> Bytes:
    """The good blob, but core 0 gets other bytes or another end."""
    streams = bytes_v8(some_weights(), 7, 2)
    coded = [stream_v8(change(streams[0]), PLAIN, marks)] + [stream_v8(stream, PLAIN) for stream in streams[1:]]
    return as_blob(blob_v8(coded, [5] * 13, PLAIN))


def with_size_0(bits: int) -> Callable[[Bytes], Bytes]:
    """Core 0's stream says that it is so much longer, within the same 64 bytes."""

    def change(blob: Bytes) -> Bytes:
        sizes = blob[28:52].view("<i4")
        assert (sizes[0] + bits - 1) // 512 == (sizes[0] - 1) // 512
        sizes[0] += bits
        return blob

    return change


def refuse(blob: Bytes, why: str, shape: KernelShape = SHAPE) -> None:
    with pytest.raises(Fault, match=why) as caught:
        READER.size(blob[:64], shape, CHIP_V8)
        READER.decode(blob, shape, CHIP_V8)
    assert caught.value.unit == "NN"


def test_the_good_blob_is_read() -> None:
    weights, biases = decode(good(), SHAPE)
    assert (weights == some_weights()).all() and biases == [5] * 13


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (poke(0, 0x11), "the header begins with 0x11; known is 0x10"),
        (poke(0, 0x20), "the header begins with 0x20"),
        (poke(1, 4), "run_length_size = 4"),
        (poke(2, 1), "run_length_table is 01 00"),
        (poke(19, 1), "run_length_table is 00 00"),
        (poke(20, 0x11), "symbol map 0x76543211 is no permutation"),
        (poke(23, 0x78), "symbol map 0x78543210 is no permutation"),
        (poke(24, 1), "avg_bias is 01 00"),
        (poke(27, 2), "what follows avg_bias is 00 02"),
        (poke(28 + 4 * 6, 1), "bits set behind the header's 6 stream sizes"),
        (poke(63, 1), "bits set behind the header's 6 stream sizes"),
        (with_size_0(1), "core 0: more bytes than the 83 of its kernels, from bit 873 on"),
        (with_size_0(6), "core 0: more bytes than the 83 of its kernels, from bit 873 on"),
        (with_size_0(-1), "core 0: the stream of .* bits ends early, within the step at bit"),
        (poke(127, 0x80), "core 0: bits are set behind the stream's end"),
    ],
)
def test_a_malformed_blob_is_refused(change: Callable[[Bytes], Bytes], why: str) -> None:
    blob = good()
    if "behind the stream's end" in why:
        bits = int(blob[28:32].view("<u4")[0])
        change = poke(64 + -(-bits // 512) * 64 - 1, 0x80)
    refuse(change(blob), why)


def test_a_core_without_a_stream_is_refused() -> None:
    blob = good()
    blob[32:36] = 0
    refuse(blob, "core 1: a stream of 0 bits, but 13 kernels need 6 cores")


def test_a_stream_for_a_core_that_is_not_needed_is_refused() -> None:
    blob = as_blob(encode_v8(some_weights()[:3], [5] * 3, 7, 1))
    blob[28 + 4 * 3] = 1
    refuse(blob, "core 3: a stream of 1 bits, but 3 kernels need 3 cores", KernelShape(3, 3, 3, 3, 1, 7, 36))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda data: [2, *data[1:]], "core 0: 2 kernels; 13 on the cores used make 3"),
        (lambda data: [3, 1, *data[2:]], "core 0: 259 kernels"),
        (lambda data: data[:-9], f"core 0: {LENGTH - 9} bytes; its kernels make {LENGTH}"),
        (lambda data: data[:-1], f"core 0: {LENGTH - 1} bytes; its kernels make {LENGTH}"),
        (lambda data: [*data, 0], f"core 0: {LENGTH + 1} bytes; its kernels make {LENGTH}"),
        (lambda data: [*data, 0, 0], f"core 0: more bytes than the {LENGTH} of its kernels"),
        (lambda data: data * 50, f"core 0: more bytes than the {LENGTH} of its kernels"),
        (lambda data: data[:1], "core 0: 3 kernels|core 0: 1 bytes"),
        (lambda data: [], "core 0: 0 bytes"),
    ],
)
def test_other_bytes_than_the_kernels_need_are_refused(change: Callable[[list[int]], list[int]], why: str) -> None:
    refuse(with_core_0(change), why)


def test_a_symbol_in_place_of_the_end_is_refused() -> None:
    refuse(with_core_0(lambda data: data, "001001001000"), "core 0: the stream ends in 0o4440; known are 0 and 0o4444")


def test_a_stream_too_short_for_its_end_is_refused() -> None:
    blob = blob_v8([(6, bytes(64))], [0], PLAIN)
    refuse(as_blob(blob), "core 0: the stream of 6 bits ends early", KernelShape(1, 1, 3, 3, 1, 7, 36))


def test_a_byte_that_completes_a_pair_must_be_zero() -> None:
    bits, data = stream_v8([1, 0, *[0] * 9, 5], PLAIN, "001001001001")
    blob = as_blob(blob_v8([(bits, data)], [0], PLAIN))
    refuse(blob, "core 0: the byte added to complete a pair is 5", KernelShape(1, 1, 3, 3, 1, 7, 36))


@pytest.mark.parametrize("depthwise", [False, True])
def test_padding_behind_a_kernels_weights_must_be_zero(depthwise: bool) -> None:
    bits, data = stream_v8([1, 0, *[0] * 8, 1], PLAIN)
    blob = as_blob(blob_v8([(bits, data)], [0], PLAIN))
    shape = KernelShape(1, 1, 2, 2, 1, 7, 36, depthwise)
    refuse(blob, "core 0: padding behind a kernel's 4 weights is not zero", shape)


@pytest.mark.parametrize("per_core", [0, 4, 127])
def test_kernels_per_core_that_do_not_fit_are_refused(per_core: int) -> None:
    shape = KernelShape(13, 3, 3, 3, per_core, 7, 36)
    refuse(good(), f"{per_core} kernels per core and superblock do not fit the 3", shape)


@pytest.mark.parametrize("outputs", [2, 5])
def test_fewer_depthwise_kernels_than_cores_are_refused(outputs: int) -> None:
    blob = as_blob(encode_v8(some_weights()[:outputs, :1], [0] * outputs, 7, 1))
    shape = KernelShape(outputs, outputs, 3, 3, 1, 7, 36, True)
    refuse(blob, f"dealing {outputs} depthwise kernels to 6 cores gives it channel -", shape)


def test_a_huge_size_costs_no_memory() -> None:
    """The descriptor wants more weights than memory could hold; the stream does not."""
    refuse(good(), "its kernels make|ends early", KernelShape(13, 1 << 20, 15, 15, 2, 7, 36))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_bytes_are_a_result_or_a_fault(data: st.DataObject) -> None:
    blob = good()
    used = 64 + sum(-(-int(bits) // 512) * 64 for bits in blob[28:52].view("<u4"))
    begin = data.draw(st.sampled_from([0, 64]), "from")
    for _ in range(data.draw(st.integers(1, 4), "times")):
        blob[data.draw(st.integers(begin, used - 1), "place")] = data.draw(st.integers(0, 255), "byte")
    try:
        if READER.size(blob[:64], SHAPE, CHIP_V8) != len(blob):
            return
        found = READER.decode(blob, SHAPE, CHIP_V8)
    except Fault as fault:
        assert fault.unit == "NN" and "\n" not in str(fault)
        return
    assert found.places.min() >= 0 and found.places.max() < 27
    assert (np.abs(found.values + 7 - 127.5) <= 127.5).all()
