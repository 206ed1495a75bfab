# SPDX-License-Identifier: MIT
"""Which weights and biases does a version 8 coefficient blob hold? Read from its bytes and the descriptor alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.hardware import coefficients_v8 as v8
from hornito.hardware.chips import Chip
from hornito.virtual.npu import decoders
from hornito.virtual.npu.weights import CoefficientReader, CoreStream, KernelShape, Weights, fault

_COUNT_BYTES = 2  # with which a core's stream begins: its number of kernels
_RUN_LENGTH_SIZE = 1  # offset of the byte in the header
_END_MARKS_ADDED = 0o4444  # the first parts of the dummies, three bits each, if a byte was added


@dataclass(frozen=True)
class _Dealing:
    """How kernels are dealt out. ``rounds``: of each superblock, its first channel and how many kernels a core has."""

    used: int
    rounds: list[tuple[int, list[int]]]

    def count(self, core: int) -> int:
        """Kernels of a core, in all superblocks."""
        return sum(counts[core] for _, counts in self.rounds)


def _header(shape: KernelShape, chip: Chip) -> int:
    return v8.HEADER_BYTES


def _size(header: NDArray[np.uint8], shape: KernelShape, chip: Chip) -> int:
    return v8.HEADER_BYTES + sum(map(_stored, _stream_bits(header, shape, chip))) + 4 * shape.outputs


def _stored(bits: int) -> int:
    """Bytes that a stream takes."""
    return -(-bits // (8 * v8.ALIGNMENT)) * v8.ALIGNMENT


def _stream_bits(header: NDArray[np.uint8], shape: KernelShape, chip: Chip) -> list[int]:
    """Check the header, the symbol map aside; gives the size in bits of each used core's stream."""
    if header[0] != v8.VERSION_BYTE:
        raise fault(f"the header begins with {header[0]:#04x}; known is {v8.VERSION_BYTE:#04x} only")
    if header[_RUN_LENGTH_SIZE]:
        raise fault(f"run_length_size = {header[_RUN_LENGTH_SIZE]}: streams with coded zero runs are not understood")
    for name, begin, end in (
        ("run_length_table", _RUN_LENGTH_SIZE + 1, v8.SYMBOL_MAP_OFFSET),
        ("avg_bias", v8.SYMBOL_MAP_OFFSET + 4, v8.SIZES_OFFSET - 2),
        ("what follows avg_bias", v8.SIZES_OFFSET - 2, v8.SIZES_OFFSET),
    ):
        if header[begin:end].any():
            raise fault(f"{name} is {header[begin:end].tobytes().hex(' ')}; known are zeros only")
    sizes: list[int] = header[v8.SIZES_OFFSET :].view("<u4").tolist()
    if any(sizes[chip.nn_cores :]):
        raise fault(f"bits set behind the header's {chip.nn_cores} stream sizes")
    used = min(shape.outputs, chip.nn_cores)
    for core, size in enumerate(sizes[: chip.nn_cores]):
        if (size != 0) != (core < used):
            raise fault(f"core {core}: a stream of {size} bits, but {shape.outputs} kernels need {used} cores")
    return sizes[:used]


def _prefix_table(header: NDArray[np.uint8]) -> NDArray[np.int64]:
    """What each prefix means: class and sign (-1: in front of the mantissa). Rows 0..7 are first parts, 8..11 the
    second parts that follow the escape."""
    word = int(header[v8.SYMBOL_MAP_OFFSET : v8.SYMBOL_MAP_OFFSET + 4].view("<u4")[0])
    classes = [word >> 4 * symbol & 15 for symbol in range(v8.CLASSES)]
    if sorted(classes) != list(range(v8.CLASSES)):
        raise fault(f"symbol map {word:#010x} is no permutation of 0..{v8.CLASSES - 1}")
    firsts, seconds = 1 << v8.FIRST_BITS, 1 << v8.SECOND_BITS
    table = np.full((firsts + seconds, 2), -1, np.int64)
    for symbol, bit_class in zip(v8.SYMBOLS, classes, strict=True):
        row, step = (symbol.first, firsts // 2) if symbol.second is None else (firsts + symbol.second, seconds // 2)
        if symbol.sign_in_prefix:
            table[row], table[row + step] = (bit_class, 0), (bit_class, 1)
        else:
            table[row] = bit_class, -1
    return table


def _deal(shape: KernelShape, chip: Chip) -> _Dealing:
    used = min(shape.outputs, chip.nn_cores)
    most = -(-shape.outputs // used)
    if not 1 <= shape.per_core <= most:
        raise fault(f"{shape.per_core} kernels per core and superblock do not fit the {most} kernels of a core")
    superblocks = -(-most // shape.per_core)
    rounds = [(b * shape.per_core * used, [shape.per_core] * used) for b in range(superblocks - 1)]
    first = (superblocks - 1) * shape.per_core * used
    each, more = divmod(shape.outputs - first, used)
    rounds.append((first, [each + (core < more) for core in range(used)]))
    return _Dealing(used, rounds)


def _channels(dealing: _Dealing, core: int, shape: KernelShape, chip: Chip) -> list[NDArray[np.int64]]:
    """The output channels of a core's kernels, superblock by superblock."""
    found = []
    for first, counts in dealing.rounds:
        if not shape.depthwise:  # a run of channels a core
            found.append(first + sum(counts[:core]) + np.arange(counts[core]))
            continue
        # One by one, the last core first; the cores that have one kernel more than others have moved up.
        channels = dealing.used - 1 - core + first + chip.nn_cores * np.arange(counts[core])
        odd = shape.outputs % chip.nn_cores
        if shape.outputs > 1:
            channels[channels >= shape.outputs - odd] -= chip.nn_cores - odd
        if (channels < 0).any() or (channels >= shape.outputs).any():
            raise fault(
                f"core {core}: dealing {shape.outputs} depthwise kernels to {chip.nn_cores} cores gives it channel "
                f"{channels.min()}, which there is not"
            )
        found.append(channels)
    return found


def _decode(blob: NDArray[np.uint8], shape: KernelShape, chip: Chip) -> Weights:
    """Decode a version 8 blob: header, a stream a core, biases. Raises Fault for any malformed shape, naming it."""
    header = blob[: v8.HEADER_BYTES]
    sizes = _stream_bits(header, shape, chip)
    table = _prefix_table(header)
    dealing = _deal(shape, chip)
    channels = [_channels(dealing, core, shape, chip) for core in range(dealing.used)]
    streams = []
    found = []
    begin = v8.HEADER_BYTES
    for core, size in enumerate(sizes):
        found.append(CoreStream(begin, _stored(size), size, dealing.count(core)))
        streams.append(_core_bytes(blob[begin : begin + _stored(size)], size, core, dealing.count(core), shape, table))
        begin += _stored(size)
    taps = shape.rows * shape.columns
    places = taps if shape.depthwise else shape.planes * taps
    residuals = np.zeros((shape.outputs, places), np.uint8)
    for core, (stream, blocks) in enumerate(zip(streams, channels, strict=True)):
        at = _COUNT_BYTES
        for owners in blocks:
            count = len(owners) * _kernel_bytes(shape)
            kernels_here = _kernels(stream[at : at + count], len(owners), shape)
            if kernels_here[:, places:].any():
                raise fault(f"core {core}: padding behind a kernel's {places} weights is not zero")
            residuals[owners] = kernels_here[:, :places]
            at += count
    biases = blob[begin:].view("<i4").astype(np.int64)
    # The residual has 8 bits of 9: the byte that differs from the zero point by it, modulo 256, is the weight.
    if not shape.depthwise:
        return Weights(biases, residuals + np.uint8(shape.zero_point), shape.zero_point, None, tuple(found))
    outputs, at_places = np.nonzero(residuals)
    values = (residuals[outputs, at_places] + np.uint8(shape.zero_point)).astype(np.int16) - np.int16(shape.zero_point)
    few = outputs, (at_places + outputs * taps).astype(np.int32), values
    return Weights(biases, None, shape.zero_point, few, tuple(found))


def _kernel_bytes(shape: KernelShape) -> int:
    """Bytes that a kernel takes in its core's stream."""
    planes = 1 if shape.depthwise else shape.planes
    return -(-planes * shape.rows * shape.columns // v8.BLOCK) * v8.BLOCK


def _kernels(part: NDArray[np.uint8], count: int, shape: KernelShape) -> NDArray[np.uint8]:
    """The kernels of a core in a superblock, a row each. They take turns block by block; a depthwise kernel is one
    block, however large."""
    if shape.depthwise:
        return part.reshape(count, _kernel_bytes(shape))
    blocks = part.reshape(_kernel_bytes(shape) // v8.BLOCK, count, v8.BLOCK)
    return blocks.transpose(1, 0, 2).reshape(count, _kernel_bytes(shape))


def _core_bytes(
    stream: NDArray[np.uint8], bits: int, core: int, count: int, shape: KernelShape, table: NDArray[np.int64]
) -> NDArray[np.uint8]:
    """The bytes of one core's stream, checked: so many that ``count`` kernels are whole."""
    expected = _COUNT_BYTES + count * _kernel_bytes(shape)
    room = min(expected, bits // v8.FIRST_BITS) + 1  # one byte may have been added to make pairs
    found = np.zeros(room + room % 2, np.uint8)
    result = np.empty(4, np.int64)
    decoders.decode_symbols(stream.view("<u4"), bits, table, found, result)
    code, bit, length, marks = result.tolist()
    kernels_here = int(found[0]) | int(found[1]) << 8
    if length and kernels_here != count:
        raise fault(f"core {core}: {kernels_here} kernels; {shape.outputs} on the cores used make {count}")
    if code == decoders.TOO_LONG:
        raise fault(f"core {core}: more bytes than the {expected} of its kernels, from bit {bit} on")
    if code == decoders.ENDS_EARLY:
        raise fault(f"core {core}: the stream of {bits} bits ends early, within the step at bit {bit}")
    added = marks == _END_MARKS_ADDED
    if marks and not added:
        raise fault(f"core {core}: the stream ends in {marks:#06o}; known are 0 and {_END_MARKS_ADDED:#06o} only")
    if added:
        length -= 1
        if found[length]:
            raise fault(f"core {core}: the byte added to complete a pair is {found[length]}, not 0")
    if length != expected:
        raise fault(f"core {core}: {length} bytes; its kernels make {expected}")
    used_bytes, used_bits = divmod(bits, 8)
    if (used_bits and stream[used_bytes] >> used_bits) or stream[used_bytes + (used_bits > 0) :].any():
        raise fault(f"core {core}: bits are set behind the stream's end at bit {bits}")
    return found[:length]


READER = CoefficientReader(_header, _size, _decode)
