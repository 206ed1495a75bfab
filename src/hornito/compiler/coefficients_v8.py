# SPDX-License-Identifier: MIT
"""How are the kernels of an NN job packed into version 8's coefficient blob?

Source: databook, nn-coefficients.md ("Version 8"); the golden files of the i.MX8M Plus compare every byte.
"""

import functools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.compiler.bit_stream import scatter
from hornito.compiler.coefficients import Coefficients, Size
from hornito.compiler.tiling import ceil_div
from hornito.compiler.weights import Kernels
from hornito.hardware import coefficients_v8 as facts


@dataclass(frozen=True)
class BlobShape:
    """What the blob depends on beside the kernels. ``depthwise``: each kernel sees its own plane alone;
    ``by_residual``: the shortest codes go to what is coded most often, not, as the reference driver's, to the
    commonest weights."""

    superblocks: int
    depthwise: bool
    by_residual: bool = False


def encode(kernels: Kernels, shape: BlobShape, input_zero_point: int, cores: int) -> Coefficients:
    """Pack ``kernels`` for ``cores`` NN cores."""
    used = min(kernels.count, cores)
    depthwise, superblocks = shape.depthwise, shape.superblocks
    residuals, symbol_map = _coded(kernels, shape)
    table = _code_table(symbol_map)
    blocks = ceil_div(residuals.shape[1], facts.BLOCK)
    padded = np.zeros((kernels.count, blocks, facts.BLOCK), np.uint8)
    padded.reshape(kernels.count, -1)[:, : residuals.shape[1]] = residuals
    deal = _deal_depthwise if depthwise else _deal
    streams, sizes = [], []
    for core in range(used):
        groups = deal(core, kernels.count, used, cores, superblocks)
        count = sum(len(group) for group in groups)
        head = np.array([count & 0xFF, count >> 8], np.uint8)
        # Kernels take turns with blocks of nine weights, but a depthwise kernel is written in one go.
        ordered = [padded[group] if depthwise else padded[group].swapaxes(0, 1) for group in groups]
        stream, bits = _encode_bytes(np.concatenate([head, *(block.ravel() for block in ordered)]), table)
        streams.append(stream)
        sizes.append(bits)
    bias = kernels.bias + (facts.MANTISSA_OFFSET - input_zero_point) * kernels.sums
    header = np.zeros(facts.HEADER_BYTES, np.uint8)
    header[0] = facts.VERSION_BYTE
    nibbles = sum(symbol_class << 4 * place for place, symbol_class in enumerate(symbol_map))
    header[facts.SYMBOL_MAP_OFFSET : facts.SYMBOL_MAP_OFFSET + 4] = np.array([nibbles], "<u4").view(np.uint8)
    header[facts.SIZES_OFFSET : facts.SIZES_OFFSET + 4 * used] = np.array(sizes, "<u4").view(np.uint8)
    biases = (bias & 0xFFFFFFFF).astype("<u4").view(np.uint8)
    blob = np.concatenate([header, *streams, biases])
    return Coefficients(blob, 0, len(blob))


def _coded(kernels: Kernels, shape: BlobShape) -> tuple[NDArray[np.uint8], tuple[int, ...]]:
    """What is coded of each kernel, and the class of each symbol."""
    values = kernels.values if shape.depthwise else kernels.written_out()
    residuals = (values - np.uint8(kernels.zero)).reshape(kernels.count, -1)  # modulo 256
    return residuals, _symbols_by_residual(residuals) if shape.by_residual else _symbol_map(values)


def measure(kernels: Kernels, shape: BlobShape, cores: int) -> Size:
    """What ``encode`` would give, counted without packing."""
    used = min(kernels.count, cores)
    depthwise, superblocks = shape.depthwise, shape.superblocks
    residuals, symbol_map = _coded(kernels, shape)
    table = _code_table(symbol_map)
    lengths = facts.FIRST_BITS + table.second_bits + table.third_bits
    padding = -residuals.shape[1] % facts.BLOCK
    each = lengths[residuals].sum(axis=1) + padding * int(lengths[0])
    weights = residuals.shape[1] + padding
    total = facts.HEADER_BYTES + 4 * kernels.count
    deal = _deal_depthwise if depthwise else _deal
    for core in range(used):
        own = np.concatenate(deal(core, kernels.count, used, cores, superblocks))
        content = np.array([len(own) & 0xFF, len(own) >> 8])
        bits = int(each[own].sum() + lengths[content].sum())
        count = 2 + len(own) * weights
        bits += count % 2 * int(lengths[0]) + 2 * facts.END_PAIRS * facts.FIRST_BITS
        total += ceil_div(bits, 8 * facts.ALIGNMENT) * facts.ALIGNMENT
    return Size(total, total, 0)


def _deal(core: int, outputs: int, used: int, cores: int, superblocks: int) -> list[NDArray[np.int64]]:
    """The output channels of one core, by superblock: each superblock is a run of channels, each core a run of it."""
    full = ceil_div(outputs, cores * superblocks)
    groups = []
    for block in range(superblocks):
        count, first = _share(core, block, outputs, used, superblocks, full)
        groups.append(block * full * used + first + np.arange(count))
    return groups


def _deal_depthwise(core: int, outputs: int, used: int, cores: int, superblocks: int) -> list[NDArray[np.int64]]:
    """The output channels of one core of a depthwise layer: round robin, the last core first."""
    full = ceil_div(outputs, cores * superblocks)
    rest = outputs % cores
    groups = []
    for block in range(superblocks):
        count, _ = _share(core, block, outputs, used, superblocks, full)
        channels = used - 1 - core + used * full * block + np.arange(count) * cores
        if outputs > 1:
            channels = np.where(channels >= outputs - rest, channels - (cores - rest), channels)
        groups.append(channels)
    return groups


def _share(core: int, block: int, outputs: int, used: int, superblocks: int, full: int) -> tuple[int, int]:
    """How many kernels of a superblock a core has, and how many of it earlier cores have."""
    if block < superblocks - 1:
        return full, core * full
    rest = outputs - used * (superblocks - 1) * full
    each, more = divmod(rest, used)
    return each + (core < more), core * each + min(core, more)


_CLASSES, _COUNTED_CLASSES = (
    np.array([class_of(byte) for byte in range(256)]) for class_of in (facts.byte_class, facts.histogram_class)
)


def _symbol_map(values: NDArray[np.uint8]) -> tuple[int, ...]:
    """The class of each symbol, the commonest first, counted over the raw weights as the reference driver does."""
    number = np.bincount(values.ravel(), minlength=256)
    count = np.bincount(_COUNTED_CLASSES, number, minlength=facts.CLASSES).tolist()
    order = list(range(facts.CLASSES))
    for a, b in facts.SORTING_NETWORK:
        if count[order[a]] < count[order[b]]:
            order[a], order[b] = order[b], order[a]
    return tuple(order)


def _symbols_by_residual(residuals: NDArray[np.uint8]) -> tuple[int, ...]:
    """The class of each symbol, the commonest first, counted over what is coded."""
    number = np.bincount(residuals.ravel(), minlength=256)
    count = np.bincount(_CLASSES, number, minlength=facts.CLASSES)
    return tuple(int(each) for each in np.argsort(-count, kind="stable"))


# Where a byte's code has its parts, each with its length behind it.
_FIRST = (1 << facts.FIRST_BITS) - 1
_THIRD_BITS, _LENGTH_BITS = 8, 4
_SECOND_AT = facts.FIRST_BITS
_THIRD_AT = _SECOND_AT + facts.SECOND_BITS + _LENGTH_BITS


@dataclass(frozen=True, eq=False)
class _CodeTable:
    """For each byte: the value of its first part, and value and length of its second part and its mantissa."""

    first: NDArray[np.int64]
    second: NDArray[np.int64]
    second_bits: NDArray[np.int64]
    third: NDArray[np.int64]
    third_bits: NDArray[np.int64]

    @functools.cached_property
    def packed(self) -> NDArray[np.uint32]:
        """All of it in one number for each byte."""
        found = self.first | self.second << _SECOND_AT | self.second_bits << (_SECOND_AT + facts.SECOND_BITS)
        found |= self.third << _THIRD_AT | self.third_bits << (_THIRD_AT + _THIRD_BITS)
        return found.astype(np.uint32)


@functools.lru_cache(maxsize=64)
def _code_table(symbol_map: tuple[int, ...]) -> _CodeTable:
    symbol_of = {symbol_class: facts.SYMBOLS[place] for place, symbol_class in enumerate(symbol_map)}
    rows = []
    for byte in range(256):
        sign = byte >> 7
        magnitude = 255 - byte if sign else byte
        length = magnitude.bit_length()
        mantissa_bits = max(length - 1, 0)
        mantissa = magnitude - (1 << mantissa_bits) if length else 0
        symbol = symbol_of[length]
        first, second, second_bits = symbol.first, 0, 0
        if symbol.second is not None:
            second, second_bits = symbol.second, facts.SECOND_BITS
        if not symbol.sign_in_prefix:
            rows.append((first, second, second_bits, sign | mantissa << 1, max(length, 1)))
        elif second_bits:
            rows.append((first, second + 2 * sign, second_bits, mantissa, mantissa_bits))
        else:
            rows.append((first + 4 * sign, 0, 0, mantissa, mantissa_bits))
    return _CodeTable(*np.array(rows, np.int64).T)


def _encode_bytes(content: NDArray[np.uint8], table: _CodeTable) -> tuple[NDArray[np.uint8], int]:
    """A core's stream, padded with zeros to whole blocks, and its size in bits.

    Bytes go in pairs; step t writes the first parts of pair t, the second parts of pair t - 1, the mantissas of t - 2.
    """
    added = len(content) % 2
    if added:
        content = np.append(content, np.uint8(0))
    pairs = len(content) // 2
    steps = pairs + facts.END_PAIRS
    codes = table.packed[content]
    a, b = codes[0::2], codes[1::2]
    mark = facts.END_MARK_ADDED if added else 0
    value = np.full(steps, mark | mark << facts.FIRST_BITS, np.uint32)
    value[:pairs] = a & _FIRST | (b & _FIRST) << facts.FIRST_BITS
    bits = np.full(steps, 2 * facts.FIRST_BITS, np.uint32)
    parts = ((_SECOND_AT, facts.SECOND_BITS, facts.PAIR_LAG), (_THIRD_AT, _THIRD_BITS, 2 * facts.PAIR_LAG))
    for begin, width, lag in parts:
        part, length = (1 << width) - 1, (1 << _LENGTH_BITS) - 1
        length_a, length_b = a >> (begin + width) & length, b >> (begin + width) & length
        both = a >> begin & part | (b >> begin & part) << length_a
        here = slice(lag, lag + pairs)
        value[here] |= both << bits[here]
        bits[here] += length_a + length_b
    ends = np.cumsum(bits, dtype=np.int64)
    size = int(ends[-1])
    return scatter(ends - bits, value, -(-size // (8 * facts.ALIGNMENT)) * facts.ALIGNMENT), size
