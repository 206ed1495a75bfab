# SPDX-License-Identifier: MIT
"""Are weights read as the databook writes them, and is every malformed stream refused by name?"""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.hardware.chips import Chip, CoefficientFormat, find_chip
from hornito.virtual.faults import Fault
from hornito.virtual.npu.coefficients import READERS
from hornito.virtual.npu.weights import KernelShape
from tests.virtual.machine import CHIP, Bytes
from tests.virtual.reference import BitWriter, Weights, encode

READER = READERS[CoefficientFormat.V7]
HEADER = 64


def as_blob(data: bytes) -> Bytes:
    return np.frombuffer(bytearray(data), np.uint8)


def one_core(hexadecimal: str, chip: Chip = CHIP) -> Bytes:
    """A blob of one core's stream, zeros behind it."""
    stream = bytes.fromhex(hexadecimal)
    stream += bytes(-len(stream) % 64)
    return as_blob(len(stream).to_bytes(4, "little") + bytes(60) + stream)


def decode(blob: Bytes, shape: KernelShape, chip: Chip = CHIP) -> tuple[Weights, list[int]]:
    """Raw weights [output, plane, row, column] and biases."""
    assert READER.size(blob[: READER.header(shape, chip)], shape, chip) == len(blob)
    found = READER.decode(blob, shape, chip)
    weights = np.full((shape.outputs, shape.planes * shape.rows * shape.columns), shape.zero_point, np.int64)
    weights[found.outputs, found.places] += found.values
    assert (found.values != 0).all()
    return weights.reshape(shape.outputs, shape.planes, shape.rows, shape.columns), found.biases.tolist()


def test_worked_example_1_sequential_without_runs() -> None:
    weights, biases = decode(
        one_core("00 01 00 0A 8E 03 00 00 07 07 07 07 14 07 09 07"), KernelShape(1, 1, 3, 3, 1, 7, 64)
    )
    assert weights[0, 0].tolist() == [[10, 7, 7], [7, 7, 20], [7, 9, 7]]
    assert biases == [910]


def test_worked_example_2_interleaved_without_runs() -> None:
    planes = " ".join(f"{value:02X}" for value in (*range(2, 10), *range(0x11, 0x1A)))
    weights, biases = decode(one_core(f"00 01 00 01 FD FF FF FF {planes}"), KernelShape(1, 2, 3, 3, 1, 0, 36))
    assert weights.reshape(-1).tolist() == [*range(1, 10), *range(17, 26)]
    assert biases == [-3]


def test_worked_example_3_interleaved_with_runs() -> None:
    stream = "03 01 00 38 68 D5 FF FF 47 82 0F 7E 80 2A 18 FC E0 07 40 06 00 00 00 00"
    weights, biases = decode(one_core(stream), KernelShape(1, 4, 3, 3, 1, 7, 36))
    expected = np.full((4, 3, 3), 7)
    expected[0, 0, 1], expected[1, 2, 2], expected[2, 0, 0], expected[3, 2, 2] = 9, 0x55, 6, 200
    assert (weights[0] == expected).all()
    assert biases == [-1363]


def test_worked_example_4_by_six() -> None:
    weights = np.array([[7 * oc + z + 1 for z in range(7)] for oc in range(16)]).reshape(16, 7, 1, 1)
    blob = as_blob(encode(weights, [0x100 * oc for oc in range(16)], 0, 0, 2, 16))
    core_0 = "00 02 00 01 00 00 00 00 02 03 04 05 06 08 00 01 00 00 09 0A 0B 0C 0D 07 00 00 00 00 0E 10 00 00 00"
    core_1 = "00 02 00 0F 00 02 00 00 10 11 12 13 14 16 00 03 00 00 17 18 19 1A 1B 15 20 00 00 00 1C 30 00 00 00"
    assert blob[64:97].tobytes() == bytes.fromhex(core_0)
    assert blob[128:161].tobytes() == bytes.fromhex(core_1)
    found, biases = decode(blob, KernelShape(16, 7, 1, 1, 2, 0, 16))
    assert (found == weights).all()
    assert biases == [0x100 * oc for oc in range(16)]


def test_an_addition_reads_as_two_planes() -> None:
    weights, biases = decode(one_core("00 01 00 FF 10 00 00 00 00 00 00 80"), KernelShape(1, 2, 2, 2, 1, 0, 6400))
    assert weights.reshape(-1).tolist() == [255, 0, 0, 0, 128, 0, 0, 0]
    assert biases == [16]


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_what_a_plain_encoder_writes_is_read_back(data: st.DataObject) -> None:
    outputs = data.draw(st.integers(1, 40), "outputs")
    planes = data.draw(st.integers(1, 20), "planes")
    rows, columns = data.draw(st.sampled_from([(1, 1), (2, 2), (3, 3), (5, 5), (1, 4), (7, 2)]), "kernel")
    zrl = data.draw(st.integers(0, 8), "zrl")
    density = data.draw(st.sampled_from([0.0, 0.01, 0.3, 1.0]), "density")
    rng = np.random.default_rng(data.draw(st.integers(0, 1 << 32), "seed"))
    count = -(-outputs // min(outputs, 8))
    per_core = data.draw(st.integers(1, count), "per core")
    zero_point = int(rng.integers(0, 256))
    weights = rng.integers(0, 256, (outputs, planes, rows, columns))
    weights[rng.random(weights.shape) >= density] = zero_point
    biases = rng.integers(-(1 << 31), 1 << 31, outputs).tolist()
    blob = as_blob(encode(weights, biases, zero_point, zrl, per_core, 123))
    shape = KernelShape(outputs, planes, rows, columns, per_core, zero_point, 123)
    if zrl > CHIP.zrl_bits:
        with pytest.raises(Fault, match=f"zero runs of {zrl} bits"):
            decode(blob, shape)
        return
    found, found_biases = decode(blob, shape)
    assert (found == weights).all()
    assert found_biases == biases


def test_the_two_other_proven_chips_read_the_same() -> None:
    blob = one_core("00 01 00 0A 8E 03 00 00 07 07 07 07 14 07 09 07")
    shape = KernelShape(1, 1, 3, 3, 1, 7, 64)
    assert (decode(blob, shape, find_chip("vipnano-qi-7d-1"))[0] == decode(blob, shape)[0]).all()


SHAPE = KernelShape(16, 3, 3, 3, 2, 7, 36)


def good() -> Bytes:
    rng = np.random.default_rng(3)
    return as_blob(encode(rng.integers(0, 256, (16, 3, 3, 3)), [5] * 16, 7, 3, 2, 36))


def poke(place: int, value: int) -> Callable[[Bytes], Bytes]:
    def change(blob: Bytes) -> Bytes:
        blob[place] = value
        return blob

    return change


def offset_stream(offset: int) -> Bytes:
    """Two kernels on two cores, the second one's output offset as given."""
    streams = []
    for field in (0, offset):
        writer = BitWriter()
        for value, width in ((0, 8), (1, 16), (9, 8), (0, 32), *[(1, 8)] * 8, (field, 32)):
            writer.put(value, width)
        streams.append(writer.bytes())
    header = np.zeros(16, "<u4")
    header[:2] = [len(stream) for stream in streams]
    return as_blob(header.tobytes() + b"".join(streams))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (poke(0, 65), "core 0: a stream of 65 bytes, no multiple of 64"),
        (poke(4, 0), "core 1: a stream of 0 bytes, but 16 kernels need 8 cores"),
        (poke(40, 1), "bits set behind the header's 8"),
        (poke(64, 6), "zero runs of 6 bits"),
        (poke(65, 3), "core 0: 3 kernels; .* make 2"),
        (poke(66, 1), "258 kernels"),
        (lambda blob: poke(len(blob) - 1, 0x80)(blob), "core 7: bits are set behind the stream's end"),
    ],
)
def test_a_malformed_stream_is_refused(change: Callable[[Bytes], Bytes], why: str) -> None:
    blob = change(good())
    with pytest.raises(Fault, match=why) as caught:
        READER.size(blob[:HEADER], SHAPE, CHIP)
        READER.decode(blob, SHAPE, CHIP)
    assert caught.value.unit == "NN"


def test_a_stream_that_ends_early_is_refused() -> None:
    with pytest.raises(Fault, match="core 0: the stream of 128 bytes ends early"):
        READER.decode(good(), KernelShape(16, 9, 3, 3, 2, 7, 36), CHIP)


def test_zeros_pending_before_a_bias_are_refused() -> None:
    writer = BitWriter()
    for value, width in ((3, 8), (1, 16), (4, 3), (9, 8)):
        writer.put(value, width)
    with pytest.raises(Fault, match="zeros are pending before a bias"):
        decode(one_core(writer.bytes().hex()), KernelShape(1, 1, 3, 3, 1, 7, 64))


def test_zeros_pending_before_an_offset_are_refused() -> None:
    writer = BitWriter()
    for value, width in ((4, 8), (1, 16), (0, 4), (9, 8), (0, 32), (8, 4), (9, 8)):
        writer.put(value, width)
    with pytest.raises(Fault, match="zeros are pending before an output offset"):
        decode(one_core(writer.bytes().hex()), KernelShape(1, 1, 3, 3, 1, 7, 64))


@pytest.mark.parametrize("per_core", [0, 3, 127])
def test_kernels_per_core_that_do_not_fit_are_refused(per_core: int) -> None:
    with pytest.raises(Fault, match=f"{per_core} kernels per core and superblock"):
        READER.decode(good(), KernelShape(16, 3, 3, 3, per_core, 7, 36), CHIP)


@pytest.mark.parametrize(
    ("offset", "why"),
    [(37, "is no plane"), (72, "is no plane"), (0xFFFFFFDC, "is no plane"), (0, "two kernels write output plane 0")],
)
def test_an_output_offset_that_is_no_plane_is_refused(offset: int, why: str) -> None:
    with pytest.raises(Fault, match=why):
        READER.decode(offset_stream(offset), KernelShape(2, 1, 3, 3, 1, 7, 36), CHIP)


def test_planes_in_any_order_are_taken() -> None:
    assert decode(offset_stream(36), KernelShape(2, 1, 3, 3, 1, 7, 36))[1] == [0, 0]


def test_padding_kernels_are_read_and_ignored() -> None:
    rng = np.random.default_rng(4)
    weights = rng.integers(0, 256, (24, 2, 3, 3))
    blob = as_blob(encode(weights, [7] * 24, 3, 2, 3, 36))  # 24 kernels, of which the descriptor wants 21
    found, biases = decode(blob, KernelShape(21, 2, 3, 3, 3, 3, 36))
    assert (found == weights[:21]).all()
    assert biases == [7] * 21


def test_a_missing_plane_is_refused() -> None:
    weights = np.full((24, 1, 3, 3), 9)
    blob = as_blob(encode(weights, [0] * 24, 3, 0, 3, 36))
    shape = KernelShape(21, 1, 3, 3, 3, 3, 36)
    place = int(np.flatnonzero(blob[64:128].view(np.uint8) == 36)[0]) + 64
    blob[place : place + 2] = np.array([22 * 36], "<u2").view(np.uint8)
    with pytest.raises(Fault, match="no kernel writes output plane 1"):
        READER.decode(blob, shape, CHIP)
