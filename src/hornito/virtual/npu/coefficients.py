# SPDX-License-Identifier: MIT
"""Which weights and biases does a coefficient stream hold? Read from its bytes and the descriptor, nothing else.

Version 7 is read here; ``READERS`` has all formats.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.hardware import coefficients as v7
from hornito.hardware.chips import Chip, CoefficientFormat
from hornito.virtual.npu import coefficients_v8, decoders
from hornito.virtual.npu.weights import CoefficientReader, CoreStream, KernelShape, Weights, fault

_MANY = 4  # weights are few where the stream has less than a byte for so many of them


@dataclass(eq=False)
class _Found:
    """What the cores' streams hold, in the order of the streams; kernel k of core c is number c * kernels + k.

    ``table``: a row of bytes for each kernel, where there are not just few weights that differ from zero; else none,
    and the lists have those."""

    biases: NDArray[np.int64]
    offsets: NDArray[np.int64]
    table: NDArray[np.uint8]
    kernels: list[NDArray[np.int32]]
    places: list[NDArray[np.int32]]
    values: list[NDArray[np.int16]]
    streams: list[CoreStream]


def _header(shape: KernelShape, chip: Chip) -> int:
    return v7.header_bytes(chip.nn_cores)


def _stream_sizes(header: NDArray[np.uint8], shape: KernelShape, chip: Chip) -> list[int]:
    words: list[int] = header.view("<u4").tolist()
    sizes, rest = words[: chip.nn_cores], words[chip.nn_cores :]
    if any(rest):
        raise fault(f"bits set behind the header's {chip.nn_cores} stream sizes")
    for core, size in enumerate(sizes):
        if size % v7.ALIGNMENT:
            raise fault(f"core {core}: a stream of {size} bytes, no multiple of {v7.ALIGNMENT}")
    used = min(shape.outputs, chip.nn_cores)
    for core, size in enumerate(sizes):
        if (size != 0) != (core < used):
            raise fault(f"core {core}: a stream of {size} bytes, but {shape.outputs} kernels need {used} cores")
    return sizes[:used]


def _size(header: NDArray[np.uint8], shape: KernelShape, chip: Chip) -> int:
    return len(header) + sum(_stream_sizes(header, shape, chip))


def _decode(blob: NDArray[np.uint8], shape: KernelShape, chip: Chip) -> Weights:
    """Decode a version 7 blob: header, then a stream a core. Raises Fault for any malformed shape, naming it."""
    header = v7.header_bytes(chip.nn_cores)
    sizes = _stream_sizes(blob[:header], shape, chip)
    count = -(-shape.outputs // len(sizes))
    if not 1 <= shape.per_core <= count:
        raise fault(f"{shape.per_core} kernels per core and superblock do not fit the {count} kernels of a core")
    kernels_in_all = count * len(sizes)
    places_in_all = shape.planes * shape.rows * shape.columns
    many = _MANY * sum(sizes) > kernels_in_all * places_in_all
    table = np.full((kernels_in_all, places_in_all) if many else (0, 0), shape.zero_point, np.uint8)
    found = _Found(np.zeros(kernels_in_all, np.int64), np.zeros(kernels_in_all, np.int64), table, [], [], [], [])
    begin = header
    for core, size in enumerate(sizes):
        _decode_core(blob[begin : begin + size], core, begin, shape, chip, found)
        begin += size
    owners = _owners(found.offsets, shape)
    real = owners >= 0
    biases = np.zeros(shape.outputs, np.int64)
    biases[owners[real]] = found.biases[real]
    if many:
        kernel_of = np.zeros(shape.outputs, np.int64)
        kernel_of[owners[real]] = np.flatnonzero(real)
        return Weights(biases, found.table[kernel_of], shape.zero_point, None, tuple(found.streams))
    outputs = owners[np.concatenate(found.kernels)]
    places, values = np.concatenate(found.places), np.concatenate(found.values)
    if not real.all():
        kept = outputs >= 0  # padding kernels compute nothing
        outputs, places, values = outputs[kept], places[kept], values[kept]
    return Weights(biases, None, shape.zero_point, (outputs, places, values), tuple(found.streams))


def _decode_core(
    stream: NDArray[np.uint8], core: int, begin: int, shape: KernelShape, chip: Chip, found: _Found
) -> None:
    """Read one core's stream, which begins at byte ``begin`` of the blob, into ``found``."""
    count = -(-shape.outputs // min(shape.outputs, chip.nn_cores))
    zrl_bits = int(stream[0])
    if zrl_bits > chip.zrl_bits:
        raise fault(f"core {core}: zero runs of {zrl_bits} bits; the chip has at most {chip.zrl_bits}")
    kernels_here = int(stream[1]) | int(stream[2]) << 8
    if kernels_here != count:
        raise fault(f"core {core}: {kernels_here} kernels; {shape.outputs} on the cores used make {count}")
    taps = shape.rows * shape.columns
    if taps == 1:  # 1x1: by six planes
        size = min(shape.planes, v7.GROUP_PLANES)
        chunks = -(-shape.planes // size)
        last = shape.planes - (chunks - 1) * size
        order = np.arange(size, dtype=np.int32)
    else:
        size = last = taps
        chunks = shape.planes
        order = np.array(v7.row_pair_order(shape.rows, shape.columns), np.int32)
    first_bit = v7.ZRL_FIELD_BITS + v7.KERNEL_COUNT_BITS
    mine = slice(core * count, (core + 1) * count)
    many = len(found.table) > 0
    table = found.table[mine]
    most = 0 if many else 8 * len(stream) // (v7.WEIGHT_BITS + zrl_bits) + 1
    numbers, places, values = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int16)
    form = count, shape.per_core, chunks, size, last
    biases, offsets = found.biases[mine], found.offsets[mine]
    whole = first_bit + count * (v7.WEIGHT_BITS * shape.planes * taps + 2 * v7.BIAS_BITS)
    if many and zrl_bits == 0 and whole <= 8 * len(stream):
        decoders.copy_core(stream, (*form, first_bit // 8), order, biases, offsets, table)
        code, bit, weights = decoders.DECODED, whole, 0
    else:
        result = np.empty(3, np.int64)
        decoders.decode_core(
            stream.view("<u4"),
            (*form, zrl_bits, shape.zero_point, first_bit),
            order,
            biases,
            offsets,
            numbers,
            places,
            values,
            table,
            result,
        )
        code, bit, weights = result.tolist()
    if code == decoders.ENDS_EARLY:
        raise fault(f"core {core}: the stream of {len(stream)} bytes ends early, at bit {bit}")
    if code in (decoders.ZEROS_BEFORE_BIAS, decoders.ZEROS_BEFORE_OFFSET):
        field = "a bias" if code == decoders.ZEROS_BEFORE_BIAS else "an output offset"
        raise fault(f"core {core}: zeros are pending before {field}, at bit {bit}")
    byte, used_bits = divmod(bit, 8)
    if (used_bits and stream[byte] >> used_bits) or stream[byte + (used_bits > 0) :].any():
        raise fault(f"core {core}: bits are set behind the stream's end at bit {bit}")
    if not many:
        found.kernels.append(numbers[:weights] + np.int32(core * count))
        found.places.append(places[:weights].copy())
        found.values.append(values[:weights].copy())
    fields = (tuple(part[mine].tolist()) for part in (found.biases, found.offsets))
    found.streams.append(CoreStream(begin, len(stream), bit, count, zrl_bits, *fields))


def _owners(offsets: NDArray[np.int64], shape: KernelShape) -> NDArray[np.int64]:
    """The output channel of each kernel, by its output offset; -1 for a padding kernel."""
    owners, rest = np.divmod(offsets, shape.plane)
    bad = np.flatnonzero((rest != 0) | (owners >= len(offsets)))
    if len(bad):
        raise fault(
            f"output offset {offsets[bad[0]]:#x} of kernel {bad[0]} is no plane: those are multiples of "
            f"{shape.plane:#x} below {shape.plane * len(offsets):#x}"
        )
    times = np.bincount(owners, minlength=shape.outputs)[: shape.outputs]
    if (times > 1).any():
        raise fault(f"two kernels write output plane {int(np.argmax(times > 1))}")
    if (times == 0).any():
        raise fault(f"no kernel writes output plane {int(np.argmin(times))}")
    owners[owners >= shape.outputs] = -1
    return owners


READERS: dict[CoefficientFormat, CoefficientReader] = {
    CoefficientFormat.V7: CoefficientReader(_header, _size, _decode),
    CoefficientFormat.V8: coefficients_v8.READER,
}
