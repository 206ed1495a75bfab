# SPDX-License-Identifier: MIT
"""How are the kernels of an NN job packed into version 7's coefficient blob?

Every core's stream has the same shape (as many kernels, as many weights), so each step works on all cores at once, and
on the weights that differ from zero only: a depthwise layer, dense to the hardware, costs no more than its own weights.

Source: databook, nn-coefficients.md ("Version 7"); the golden files compare every byte.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.compiler.bit_stream import scatter
from hornito.compiler.tiling import ceil_div
from hornito.compiler.weights import Kernels
from hornito.hardware import coefficients as facts

_HEADER_BITS = facts.ZRL_FIELD_BITS + facts.KERNEL_COUNT_BITS
_FIELD_BITS = facts.BIAS_BITS
Indices = NDArray[np.int64] | np.int64
_SIZE_STEP = 32  # bits; zero-run widths are compared by streams in whole words


@dataclass(frozen=True, eq=False)
class Coefficients:
    """An encoded blob (uint8), its zero-run width in bits, and what it takes in SRAM (bytes)."""

    blob: NDArray[np.uint8]
    zrl_bits: int
    cached_bytes: int


@dataclass(frozen=True, eq=False)
class _Sequence:
    """The weights of all cores in stream order, one core behind the other (``length`` weights each).

    ``fields`` [n, 2]: after which position each 32-bit field stands, ascending, and
    its value. ``flushes_found``: after which positions pending zeros are written out, in any order.
    """

    cores: int
    length: int
    kernels_per_core: int
    fields: NDArray[np.int64]
    flushes_found: NDArray[np.int64]

    @functools.cached_property
    def flushes(self) -> NDArray[np.int64]:
        """Those found, ascending, each once."""
        found = np.sort(self.flushes_found)
        return np.asarray(found[np.concatenate([[True], found[1:] != found[:-1]])])


@dataclass(frozen=True, eq=False)
class _Weights:
    """The weights that differ from zero: ``positions`` in the sequence (ascending) and ``values``."""

    positions: NDArray[np.int64]
    values: NDArray[np.uint8]


def encode(kernels: Kernels, job: "StreamShape", input_zero_point: int, cores: int, zrl_bits: int) -> Coefficients:
    """Pack ``kernels`` for ``cores`` NN cores with zero runs of at most ``zrl_bits`` bits."""
    order = _Order(kernels, job, min(kernels.count, cores))
    sequence = order.sequence(input_zero_point)
    if job.pointwise and kernels.dense:
        width, streams = 0, _write_bytes(sequence, order.dense_weights())
    else:
        weights = order.weights()
        runs, tails = _runs(sequence, weights)
        sizes = _stream_bits(sequence, weights, runs, tails, zrl_bits)
        width = 0 if job.pointwise else job.zero_runs if job.zero_runs is not None else _choose_width(sizes)
        if width:
            streams = _write_runs(sequence, weights, runs, tails, width, kernels.zero)
        else:
            dense = np.full((sequence.cores, sequence.length), kernels.zero, np.uint8)
            dense.ravel()[weights.positions] = weights.values
            streams = _write_bytes(sequence, dense)
    header = np.zeros(facts.header_bytes(cores), np.uint8)
    header[: 4 * len(streams)] = np.array([len(stream) for stream in streams], "<u4").view(np.uint8)
    cached = max(len(stream) for stream in streams) * len(streams)
    return Coefficients(np.concatenate([header, *streams]), width, cached)


@dataclass(frozen=True)
class StreamShape:
    """What the stream's order depends on beside the kernels: kernels per core and superblock, the size of an output
    plane (bytes), whether this is a 1x1 convolution (then without zero runs), and whether wide kernels keep their rows
    whole (which is wrong). ``zero_runs``: their width in bits, None for the one that the reference driver finds."""

    kernels_per_core: int
    plane_bytes: int
    pointwise: bool
    rows_whole: bool = False
    zero_runs: int | None = None


@dataclass(frozen=True)
class Size:
    """What coefficients would take: bytes of the blob, what they take in SRAM, and the width of zero runs for that."""

    bytes: int
    cached_bytes: int
    zero_runs: int


def measure(kernels: Kernels, job: "StreamShape", cores: int, zrl_bits: int) -> Size:
    """What ``encode`` would give with the best width of zero runs up to ``zrl_bits``, counted without packing."""
    order = _Order(kernels, job, min(kernels.count, cores))
    width = 0
    if job.pointwise:
        fixed = _HEADER_BITS + 2 * order.per_core * _FIELD_BITS
        bits = np.full(order.cores, order.length * facts.WEIGHT_BITS + fixed)
    else:
        sequence, weights = order.sequence(0), order.weights()
        tried = _stream_bits(sequence, weights, *_runs(sequence, weights), zrl_bits)
        width = int(np.argmin((-(-tried // _SIZE_STEP)).sum(axis=1)))
        bits = tried[width]
    sizes = -(-bits // (8 * facts.ALIGNMENT)) * facts.ALIGNMENT
    return Size(facts.header_bytes(cores) + int(sizes.sum()), int(sizes.max()) * len(sizes), width)


class _Order:
    """Where each kernel's weights and fields stand in the streams of the cores."""

    def __init__(self, kernels: Kernels, job: StreamShape, cores: int) -> None:
        self.kernels, self.job, self.cores = kernels, job, cores
        self.per_core = ceil_div(kernels.count, cores)
        self.by_six = job.pointwise and kernels.count > facts.GROUPED_ABOVE_OUTPUTS
        self.plane = facts.row_pair_order(kernels.rows, kernels.columns, False if job.rows_whole else None)
        self.kernel_weights = kernels.planes * len(self.plane)
        self.length = self.per_core * self.kernel_weights
        # Padding kernels, where the channels don't divide by the cores: all zeros, bias 0, the regular offset.
        extra = cores * self.per_core - kernels.count
        values = kernels.values.reshape(kernels.count, kernels.values.shape[1], -1)[:, :, self.plane]
        self.values = np.concatenate([values, np.full((extra, *values.shape[1:]), kernels.zero, np.uint8)])
        self.first_plane = np.concatenate([kernels.first_plane, np.zeros(extra, np.int64)])

    def _superblocks(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Each superblock: how many kernels per core come before it, and its output channels [core, kernel]."""
        for done in range(0, self.per_core, self.job.kernels_per_core):
            count = min(self.job.kernels_per_core, self.per_core - done)
            yield done, np.arange(self.cores)[:, np.newaxis] * count + np.arange(count) + done * self.cores

    def _at(self, kernels: int, kernel: Indices, plane: Indices, weight: Indices) -> NDArray[np.int64]:
        """Position within a superblock of ``kernels`` kernels per core."""
        if not self.by_six:
            # For each plane, for each kernel: that plane's weights.
            return np.asarray((plane * kernels + kernel) * len(self.plane) + weight)
        # For each group of planes, for each kernel: the group's weights; the last group may be smaller.
        size = min(self.kernels.planes, facts.GROUP_PLANES)
        first = plane // size * size
        own = np.minimum(size, self.kernels.planes - first)
        return np.asarray(first * kernels + kernel * own + plane - first)

    def sequence(self, input_zero_point: int) -> _Sequence:
        """The fields and flushes between the weights."""
        kernels = self.kernels
        bias = np.zeros(len(self.values), np.int64)
        bias[: kernels.count] = kernels.bias - input_zero_point * kernels.sums
        fields, flushes = [], []
        for done, channels in self._superblocks():
            count = channels.shape[1]
            kernel = np.arange(count)
            starts = np.arange(self.cores)[:, np.newaxis] * self.length + done * self.kernel_weights
            firsts = starts + self._at(count, kernel, np.int64(0), np.int64(0))
            lasts = starts + self._at(count, kernel, np.int64(kernels.planes - 1), np.int64(len(self.plane) - 1))
            fields.append(np.stack([firsts.ravel(), bias[channels].ravel()], axis=1))
            fields.append(np.stack([lasts.ravel(), channels.ravel() * self.job.plane_bytes], axis=1))
            flushes += [firsts.ravel(), lasts.ravel()]
            if done + count == self.per_core and not self.by_six:
                planes = np.arange(kernels.planes)
                ends = starts + self._at(count, np.int64(count - 1), planes, np.int64(len(self.plane) - 1))
                flushes.append(ends.ravel())
        field = np.concatenate(fields)
        field = field[np.argsort(field[:, 0], kind="stable")]
        return _Sequence(self.cores, self.length, self.per_core, field, np.concatenate(flushes))

    def weights(self) -> _Weights:
        """The weights that differ from zero."""
        zero = self.kernels.zero
        if self.kernels.dense:
            dense = self.dense_weights().ravel()
            positions = np.flatnonzero(dense != zero)
            return _Weights(positions, dense[positions])
        found_positions, found_values = [], []
        for done, channels in self._superblocks():
            block = self.values[channels]
            core, kernel, group, weight = np.nonzero(block != zero)
            plane = self.first_plane[channels[core, kernel]] + group
            base = core * self.length + done * self.kernel_weights
            found_positions.append(base + self._at(channels.shape[1], kernel, plane, weight))
            found_values.append(block[core, kernel, group, weight])
        positions, values = np.concatenate(found_positions), np.concatenate(found_values)
        order = np.argsort(positions, kind="stable")
        return _Weights(positions[order], values[order])

    def dense_weights(self) -> NDArray[np.uint8]:
        """Every weight of dense kernels, [core, position]."""
        blocks = []
        for _, channels in self._superblocks():
            block = self.values[channels]  # [core, kernel, plane, weight]
            if not self.by_six:
                blocks.append(block.transpose(0, 2, 1, 3).reshape(self.cores, -1))
                continue
            size = min(self.kernels.planes, facts.GROUP_PLANES)
            whole = self.kernels.planes // size * size
            groups = block[:, :, :whole].reshape(*channels.shape, -1, size).transpose(0, 2, 1, 3)
            blocks += [groups.reshape(self.cores, -1), block[:, :, whole:].reshape(self.cores, -1)]
        return np.concatenate(blocks, axis=1)


def _runs(sequence: _Sequence, weights: _Weights) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many zeros stand before each weight since the last weight or flush, and before each flush since the last."""
    positions, flushes = weights.positions, sequence.flushes
    before = np.searchsorted(positions, flushes, side="right")  # weights up to each flush
    span = _numbered(before, len(positions))  # flushes before each weight
    span_starts = np.concatenate([[0], flushes[:-1] + 1])
    previous = np.concatenate([[-1], positions[:-1]]) + 1
    runs = positions - np.maximum(previous, span_starts[span])
    last = np.concatenate([[-1], positions])[before] + 1
    return runs, flushes + 1 - np.maximum(last, span_starts)


def _numbered(ends: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """For each of ``count`` things how many of the groups have ended, which end before the things ``ends``."""
    lengths = np.diff(ends, prepend=0, append=count)
    return np.asarray(np.repeat(np.arange(len(ends) + 1), lengths))


def _tokens(zeros: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Tokens that consist of zeros alone, in front of a weight."""
    return zeros >> width


def _tail_tokens(zeros: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """Tokens that a flush writes for pending zeros."""
    return -(-zeros >> width)


def _stream_bits(
    sequence: _Sequence, weights: _Weights, runs: NDArray[np.int64], tails: NDArray[np.int64], widest: int
) -> NDArray[np.int64]:
    """The bits of each core's stream for each width of zero runs, [width, core]."""
    tail_core = sequence.flushes // sequence.length
    limits = np.arange(1, sequence.cores + 1) * sequence.length
    counts = np.diff(np.searchsorted(weights.positions, limits), prepend=0)
    long = np.flatnonzero(runs > 1)  # no other may take a token of its own
    runs, weight_core = runs[long], weights.positions[long] // sequence.length
    fixed = _HEADER_BITS + 2 * sequence.kernels_per_core * _FIELD_BITS
    found = [np.full(sequence.cores, sequence.length * facts.WEIGHT_BITS + fixed)]
    for width in range(1, widest + 1):
        zeros = np.bincount(weight_core, _tokens(runs, width), minlength=sequence.cores)
        # Not in place: without any weights the first count is of another type.
        zeros = zeros + np.bincount(tail_core, _tail_tokens(tails, width), minlength=sequence.cores)
        found.append((counts + zeros.astype(np.int64)) * (width + facts.WEIGHT_BITS) + fixed)
    return np.stack(found)


def _choose_width(bits: NDArray[np.int64]) -> int:
    """The zero-run width (bits) with the smallest streams, as the reference driver looks for it: from the widest down,
    ties to the narrower, stopping at the first that is worse."""
    sizes = (-(-bits // _SIZE_STEP)).sum(axis=1).tolist()
    chosen = len(sizes) - 1
    for width in range(len(sizes) - 2, -1, -1):
        if sizes[width] > sizes[chosen]:
            break
        chosen = width
    return chosen


def _write_runs(
    sequence: _Sequence,
    weights: _Weights,
    runs: NDArray[np.int64],
    tails: NDArray[np.int64],
    width: int,
    zero: int,
) -> list[NDArray[np.uint8]]:
    """The bytes of each core's stream with zero runs, in whole blocks."""
    positions = weights.positions
    token_bits = width + facts.WEIGHT_BITS
    longest = (1 << width) - 1
    full = longest | zero << width  # a token of zeros alone
    weight_tokens, tail_tokens = _tokens(runs, width), _tail_tokens(tails, width)
    weight_values = (runs & longest) | weights.values.astype(np.int64) << width
    partial = tails & longest
    tail_values = np.where(partial > 0, partial - 1 | zero << width, full)

    # Sizes of what stands between the weights, in order: flushed zeros, then fields.
    flush_bits = tail_tokens * token_bits
    places = np.concatenate([sequence.flushes, sequence.fields[:, 0]])
    order = np.argsort(places, kind="stable")  # at one position the flush comes first, then bias, then offset
    between_bits = np.concatenate([flush_bits, np.full(len(sequence.fields), _FIELD_BITS)])[order]
    weights_before = np.searchsorted(positions, places[order], side="right")

    weight_ends = np.cumsum((weight_tokens + 1) * token_bits)
    between_ends = np.cumsum(between_bits)
    between_starts = between_ends - between_bits + np.concatenate([[0], weight_ends])[weights_before]
    betweens_before = _numbered(weights_before, len(positions))
    weight_starts = (
        weight_ends - (weight_tokens + 1) * token_bits + np.concatenate([[0], between_ends])[betweens_before]
    )

    # So far all cores stand behind each other; give each its header and its place in whole blocks.
    limits = np.arange(1, sequence.cores + 1) * sequence.length
    last_weight = np.searchsorted(positions, limits)
    last_between = np.searchsorted(places[order], limits)
    core_ends = np.concatenate([[0], weight_ends])[last_weight] + np.concatenate([[0], between_ends])[last_between]
    core_bits = np.diff(core_ends, prepend=0)
    sizes = -(-(core_bits + _HEADER_BITS) // (8 * facts.ALIGNMENT)) * facts.ALIGNMENT
    bases = (np.cumsum(sizes) - sizes) * 8
    move = bases + _HEADER_BITS - (core_ends - core_bits)
    weight_starts += move[positions // sequence.length]
    between_starts += move[places[order] // sequence.length]
    starts = np.empty_like(between_starts)
    starts[order] = between_starts
    flush_starts, field_starts = starts[: len(tails)], starts[len(tails) :]

    # Tokens of zeros alone, one by one; the last token of each weight and flush follows them.
    zeros = np.concatenate([weight_tokens, np.maximum(tail_tokens - 1, 0)])
    heads = np.concatenate([weight_starts, flush_starts])
    repeated = np.repeat(heads, zeros)
    within = np.arange(len(repeated)) - np.repeat(np.cumsum(zeros) - zeros, zeros)
    some = tail_tokens > 0
    headers = np.full(sequence.cores, width | sequence.kernels_per_core << facts.ZRL_FIELD_BITS)
    at = np.concatenate(
        [
            repeated + within * token_bits,
            weight_starts + weight_tokens * token_bits,
            (flush_starts + (tail_tokens - 1) * token_bits)[some],
            field_starts,
            bases,
        ]
    )
    what = np.concatenate(
        [np.full(len(repeated), full), weight_values, tail_values[some], sequence.fields[:, 1] & 0xFFFFFFFF, headers]
    )
    blob = scatter(at, what, int(sizes.sum()))
    return np.split(blob, np.cumsum(sizes)[:-1])


def _write_bytes(sequence: _Sequence, weights: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Without zero runs everything is whole bytes, at the same places in each core's stream; weights [core, length]."""
    cores, length = sequence.cores, sequence.length
    fields = sequence.fields.reshape(cores, -1, 2)
    after = fields[0, :, 0]
    header = _HEADER_BITS // 8
    used = header + length + 4 * len(after)
    streams = np.zeros((cores, -(-used // facts.ALIGNMENT) * facts.ALIGNMENT), np.uint8)
    streams[:, 1] = sequence.kernels_per_core & 0xFF
    streams[:, 2] = sequence.kernels_per_core >> 8
    body = streams[:, header:used]
    is_weight = np.ones(used - header, bool)
    places = (after + 1 + 4 * np.arange(len(after)))[:, np.newaxis] + np.arange(4)
    is_weight[places.ravel()] = False
    body[:, is_weight] = weights
    body[:, places.ravel()] = (fields[:, :, 1] & 0xFFFFFFFF).astype("<u4").view(np.uint8).reshape(cores, -1)
    return list(streams)
