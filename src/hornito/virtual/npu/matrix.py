# SPDX-License-Identifier: MIT
"""How are small integers multiplied at the processor's full speed? One tile of a matrix product, as LLVM code.

Many processors add up the products of two pairs of 16-bit integers, or of four pairs of bytes, in one instruction.
Compilers find the former where the tile is spelt out in vectors, but not in a loop; the latter has to be named. What is
multiplied therefore lies in 32-bit lanes of so many integers each. Where vectors are short ``lanes()`` is 0 and float
matrices do.
"""

import functools
import os
from dataclasses import dataclass
from typing import Any

LINE_VECTORS = 6  # of a tile of one row
_BYTES_DOT = "llvm.x86.avx512.vpdpbusd.{bits}"  # sums + unsigned bytes * signed bytes; AVX-VNNI has it as well


@dataclass(frozen=True)
class _Way:
    """What the processor must have; the 32-bit lanes of its vectors then, and the integers multiplied in each.

    ``rows`` and ``vectors`` to a row: of a tile. Its sums, what they are made of and what comes in between must fit the
    processor's registers, 32 of them or 16. ``LINE_VECTORS`` is a multiple of ``vectors``.
    """

    features: tuple[str, ...]
    lanes: int
    group: int
    rows: int
    vectors: int


# Best first.
_WAYS = (
    _Way(("avx512bw", "avx512vnni"), 16, 4, 8, 3),
    _Way(("avx512bw",), 16, 2, 8, 3),
    _Way(("avx2", "avxvnni"), 8, 4, 4, 3),
    _Way(("avx2",), 8, 2, 6, 2),
    _Way(("sse4.1",), 4, 2, 6, 2),
)
_NONE = _Way((), 0, 0, 0, 0)


@functools.cache
def _way() -> _Way:
    features = _features()
    for way in _WAYS:
        if features.issuperset(way.features) and (way.group == 2 or _knows(way.lanes)):
            return way
    return _NONE


def _features() -> set[str]:
    """What the processor that code is made for can do; nothing where nobody knows."""
    import llvmlite.binding

    if named := os.environ.get("NUMBA_CPU_FEATURES"):
        return {part[1:] for part in named.split(",") if part.startswith("+")}
    if os.environ.get("NUMBA_CPU_NAME"):
        return set()  # code for another processor than this one
    try:
        return {name for name, present in llvmlite.binding.get_host_cpu_features().items() if present}
    except RuntimeError:
        return set()  # LLVM does not know this processor


def _knows(lanes: int) -> bool:
    """Whether this LLVM has the instruction for bytes under the name and the types used here."""
    import llvmlite.binding

    vector = f"<{lanes} x i32>"
    try:
        llvmlite.binding.parse_assembly(
            f"declare {vector} @{_BYTES_DOT.format(bits=32 * lanes)}({vector}, {vector}, {vector})"
        ).verify()
    except RuntimeError:
        return False
    return True


def lanes() -> int:
    """32-bit lanes of a vector; 0 where this processor's are short, and its BLAS as good."""
    return _way().lanes


def group() -> int:
    """Integers in a lane: 4 are bytes, those of the inputs unsigned, of the weights signed; 2 have 16 bits, signed."""
    return _way().group


def arithmetic() -> str:
    """What to call the way that convolutions take here; speeds can be compared where it is the same."""
    return f"{lanes()} lanes of {group()}" if lanes() else "float matrices"


def tile_rows() -> int:
    """Rows of a tile."""
    return _way().rows


def tile_vectors() -> int:
    """Vectors to a row of a tile."""
    return _way().vectors


def tile_columns() -> int:
    """Columns of a tile."""
    return lanes() * tile_vectors()


def line_columns() -> int:
    """Columns of a tile of one row; a multiple of the other's."""
    return lanes() * LINE_VECTORS


@functools.cache
def tile_function(rows: int, vectors: int) -> Any:
    """For use in compiled code: tile(weights, at, inputs, at, offsets, count, sums, at, row length).

    weights: int32 lanes, ``rows`` of them for each of ``count`` places; inputs: int32 lanes, those of place k begin
    offsets[k] behind ``at``; sums: int32, written: rows of ``vectors`` * lanes() of them.
    """
    from llvmlite import ir
    from numba.core import cgutils, types
    from numba.extending import intrinsic

    width, bytes_wide = lanes(), group() == 4
    int32, int64 = ir.IntType(32), ir.IntType(64)
    wide, pairs_of = ir.VectorType(int32, width), ir.VectorType(ir.IntType(16), 2 * width)
    products = ir.VectorType(int32, 2 * width)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weights, weights_at, inputs, inputs_at, offsets, count, sums, sums_at, sums_stride = arguments

        def pointer(array: Any, number: int) -> Any:
            return context.make_array(signature.args[number])(context, builder, array).data

        left = builder.gep(pointer(weights, 0), [weights_at])
        right = builder.gep(pointer(inputs, 2), [inputs_at])
        places = pointer(offsets, 4)
        out = builder.gep(pointer(sums, 6), [sums_at])

        def add_products(total: Any, one: Any, many: Any) -> Any:
            """What the processor has one instruction for, or two."""
            if bytes_wide:
                kind = ir.FunctionType(wide, [wide, wide, wide])
                name = _BYTES_DOT.format(bits=32 * width)
                dot = cgutils.get_or_insert_function(builder.module, kind, name)
                return builder.call(dot, [total, many, one])
            a, b = (builder.sext(builder.bitcast(each, pairs_of), products) for each in (one, many))
            product = builder.mul(a, b)
            even, odd = (
                builder.shuffle_vector(product, product, ir.Constant(wide, [2 * lane + part for lane in range(width)]))
                for part in range(2)
            )
            return builder.add(total, builder.add(even, odd))

        before = builder.block
        loop = builder.append_basic_block("place")
        after = builder.append_basic_block("store")
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(int64)
        index.add_incoming(int64(0), before)
        totals = [[builder.phi(wide) for _ in range(vectors)] for _ in range(rows)]
        place = builder.gep(right, [builder.load(builder.gep(places, [index]))])
        loaded = []
        for vector in range(vectors):
            address = builder.bitcast(builder.gep(place, [int64(vector * width)]), wide.as_pointer())
            loaded.append(builder.load(address, align=4))
        first = builder.gep(left, [builder.mul(index, int64(rows))])
        nobody = ir.Constant(wide, [0] * width)
        sums_now = []
        for row in range(rows):
            one = builder.load(builder.gep(first, [int64(row)]), align=4)
            single = builder.insert_element(ir.Constant(wide, ir.Undefined), one, int32(0))
            every = builder.shuffle_vector(single, single, nobody)
            sums_now.append([add_products(totals[row][v], every, loaded[v]) for v in range(vectors)])
        following = builder.add(index, int64(1))
        index.add_incoming(following, loop)
        for row in range(rows):
            for vector in range(vectors):
                totals[row][vector].add_incoming(nobody, before)
                totals[row][vector].add_incoming(sums_now[row][vector], loop)
        builder.cbranch(builder.icmp_signed("<", following, count), loop, after)
        builder.position_at_end(after)
        for row in range(rows):
            for vector in range(vectors):
                at = builder.add(builder.mul(sums_stride, int64(row)), int64(vector * width))
                address = builder.bitcast(builder.gep(out, [at]), wide.as_pointer())
                builder.store(sums_now[row][vector], address, align=4)
        return context.get_dummy_value()

    def tile(context: Any, w: Any, wa: Any, i: Any, ia: Any, o: Any, n: Any, s: Any, sa: Any, ss: Any) -> Any:
        return types.void(w, types.int64, i, types.int64, o, types.int64, s, types.int64, types.int64), generate

    return intrinsic(tile)
