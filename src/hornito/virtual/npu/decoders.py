# SPDX-License-Identifier: MIT
"""Which inner loops read coefficient streams, and make weights ready for multiplication? See ``kernels``."""

import numpy as np

from hornito.virtual.npu.kernels import inlined, kernel

# What the decoders found: a code, and the bit at which it stopped.
DECODED, ENDS_EARLY, ZEROS_BEFORE_BIAS, ZEROS_BEFORE_OFFSET, TOO_LONG = 0, 1, 2, 3, 4


@kernel(
    "void(uint32[::1], UniTuple(int64, 8), int32[::1], int64[::1], int64[::1], int32[::1], int32[::1], int16[::1],"
    "uint8[:,::1], int64[::1])"
)
def decode_core(  # type: ignore[no-untyped-def]
    words, shape, order, biases, offsets, rows, indices, weights, table, result
):
    """Read one core's kernels from its stream (version 7). result: code, bit position, number of weights found.

    shape: kernels, kernels per superblock, chunks per kernel, weights per chunk, weights of the last chunk, width of a
    zero run, zero point, first bit. A chunk is what comes of one kernel before the next kernel's turn: a plane, or six
    planes of a 1x1 kernel; order gives the place of each of its weights. Non-zero weights are put into table, as bytes,
    where it has rows; else into rows (the kernel's number), indices (place within the kernel) and weights (zero point
    subtracted).
    """
    kernels, full, chunks, size, last_size, zrl_bits, zero_point, bit = shape
    end = 32 * len(words)
    token = 8 + zrl_bits
    run_mask = (1 << zrl_bits) - 1
    many = len(table) > 0
    result[:] = 0
    found = 0
    first = 0  # kernel with which the superblock begins
    while first < kernels:
        count = min(full, kernels - first)
        chunk = 0
        kernel = 0
        inside = 0
        length = last_size if chunks == 1 else size
        is_bias = True  # the next 32-bit field, and whose
        owner = 0
        left = 1  # weights before it
        while True:
            while left > 0:
                if bit + token > end:
                    result[0], result[1] = ENDS_EARLY, bit
                    return
                at = bit >> 5
                pair = np.uint64(words[at])
                if at + 1 < len(words):
                    pair |= np.uint64(words[at + 1]) << np.uint64(32)
                value = np.int64(pair >> np.uint64(bit & 31))
                bit += token
                run = value & run_mask
                left -= run + 1
                if left < 0:
                    result[0], result[1] = ZEROS_BEFORE_BIAS if is_bias else ZEROS_BEFORE_OFFSET, bit - token
                    return
                inside += run
                while inside >= length:
                    inside -= length
                    kernel += 1
                    if kernel == count:
                        kernel = 0
                        chunk += 1
                        length = last_size if chunk == chunks - 1 else size
                weight = (value >> zrl_bits & 0xFF) - zero_point
                if many:
                    table[first + kernel, chunk * size + order[inside]] = weight + zero_point
                elif weight != 0:
                    rows[found] = first + kernel
                    indices[found] = chunk * size + order[inside]
                    weights[found] = weight
                    found += 1
                inside += 1
                if inside == length:
                    inside = 0
                    kernel += 1
                    if kernel == count:
                        kernel = 0
                        chunk += 1
                        length = last_size if chunk == chunks - 1 else size
            if bit + 32 > end:
                result[0], result[1] = ENDS_EARLY, bit
                return
            at = bit >> 5
            pair = np.uint64(words[at])
            if at + 1 < len(words):
                pair |= np.uint64(words[at + 1]) << np.uint64(32)
            field = np.int64((pair >> np.uint64(bit & 31)) & np.uint64(0xFFFFFFFF))
            bit += 32
            if is_bias:
                biases[first + owner] = field - ((field >> 31) << 32)
                if chunks == 1:
                    is_bias = False
                    left = last_size - 1
                elif owner + 1 < count:
                    owner += 1
                    left = size
                else:
                    is_bias = False
                    owner = 0
                    left = size - 1 + (chunks - 2) * count * size + last_size
            else:
                offsets[first + owner] = field
                if owner + 1 == count:
                    break
                owner += 1
                if chunks == 1:
                    is_bias = True
                    left = 1
                else:
                    left = last_size
        first += count
    result[1], result[2] = bit, found


@inlined
def field_at(stream, at):  # type: ignore[no-untyped-def]
    """The 32-bit number that begins at a byte."""
    low = np.int64(stream[at]) | np.int64(stream[at + 1]) << 8
    return low | np.int64(stream[at + 2]) << 16 | np.int64(stream[at + 3]) << 24


@kernel("void(uint8[::1], UniTuple(int64, 6), int32[::1], int64[::1], int64[::1], uint8[:,::1])")
def copy_core(stream, shape, order, biases, offsets, table):  # type: ignore[no-untyped-def]
    """What ``decode_core`` does where there are no zero runs and all is whole bytes. The stream must be long enough.

    shape: as there, up to the weights of the last chunk; then the first byte.
    """
    kernels, full, chunks, size, last_size, at = shape
    for first in range(0, kernels, full):
        for chunk in range(chunks):
            last = chunk == chunks - 1
            for number in range(first, min(first + full, kernels)):
                row = table[number, chunk * size :]
                begin = 0
                if chunk == 0:
                    row[order[0]] = stream[at]
                    bias = field_at(stream, at + 1)
                    biases[number] = bias - ((bias >> 31) << 32)
                    begin = 1
                    at += 5
                length = last_size if last else size
                for i in range(begin, length):
                    row[order[i]] = stream[at + i - begin]
                at += length - begin
                if last:
                    offsets[number] = field_at(stream, at)
                    at += 4


@kernel("void(uint32[::1], int64, int64[:,::1], uint8[::1], int64[::1])")
def decode_symbols(words, end, prefixes, found, result):  # type: ignore[no-untyped-def]
    """Read one core's bytes from its stream of ``end`` bits (version 8). result: code, bit position, number of bytes,
    the first parts of the last four symbols as octal digits.

    prefixes: a row each for the 3-bit first parts 0..7, then the 2-bit second parts 0..3 that follow the escape: class
    and sign, -1 if that stands in front of the mantissa. A step is the first parts of a pair of bytes, then the second
    parts of the pair before, then the mantissas of the pair before that. The last two pairs are dummies. The escape has
    class -1.
    """
    result[:] = 0
    mantissas = np.zeros(2, np.int64)  # prefixes of the pair whose mantissas come next
    seconds = np.zeros(2, np.int64)  # of the pair after it, whose second parts come next
    marks = np.int64(0)
    length = 0
    bit = 0
    step = 0
    while bit < end:
        at = bit >> 5
        pair = np.uint64(words[at])
        if at + 1 < len(words):
            pair |= np.uint64(words[at + 1]) << np.uint64(32)
        window = np.int64(pair >> np.uint64(bit & 31)) & 0xFFFFFFFF  # of which a step takes 24 at most
        used = 6
        first, second = window & 7, window >> 3 & 7
        window >>= 6
        if step >= 2 and length + 2 > len(found):
            result[0] = TOO_LONG
            break
        for i in range(2):
            if step >= 1 and prefixes[seconds[i], 0] < 0:
                seconds[i] = 8 + (window & 3)
                window >>= 2
                used += 2
        if step >= 2:
            for symbol in mantissas:
                bits, sign = prefixes[symbol]
                if sign < 0:
                    sign = window & 1
                    window >>= 1
                    used += 1
                value = 0
                if bits > 0:
                    leading = 1 << (bits - 1)
                    value = leading | window & (leading - 1)
                    window >>= bits - 1
                    used += bits - 1
                found[length] = 255 - value if sign else value
                length += 1
        if bit + used > end:
            result[0] = ENDS_EARLY
            break
        bit += used
        mantissas[0], mantissas[1] = seconds
        seconds[0], seconds[1] = first, second
        marks = (marks << 6 | first << 3 | second) & 0o7777
        step += 1
    if step < 2 and result[0] == DECODED:
        result[0] = ENDS_EARLY
    result[1], result[2], result[3] = bit, length, marks


@kernel("void(uint8[:,::1], int64, int64[::1], int64[::1])")
def add_up_bytes(table, zero_point, magnitudes, totals):  # type: ignore[no-untyped-def]
    """What ``add_up`` does, for all weights of each output as bytes."""
    for output in range(len(table)):
        row = table[output]
        above, total = np.uint32(0), np.uint32(0)
        zero = np.uint8(zero_point)
        for i in range(len(row)):
            total += np.uint32(row[i])
            above += np.uint32(max(row[i], zero))
        all_zero = np.int64(zero_point) * len(row)
        totals[output] += np.int64(total) - all_zero
        # What is above the zero point, twice, less all there is.
        magnitudes[output] += 2 * (np.int64(above) - all_zero) - (np.int64(total) - all_zero)


@kernel("void(int64[:], int16[::1], int64[::1], int64[::1])")
def add_up(outputs, weights, magnitudes, totals):  # type: ignore[no-untyped-def]
    """Add each weight to its output's total, and its size to the magnitude."""
    for i in range(len(outputs)):
        output, weight = outputs[i], np.int64(weights[i])
        magnitudes[output] += abs(weight)
        totals[output] += weight
