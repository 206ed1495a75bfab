# SPDX-License-Identifier: MIT
"""How are 16-bit integers multiplied at the processor's full speed? One tile of a matrix product, as LLVM code.

Products of pairs of 16-bit integers, both added up, are one instruction on some processors. Compilers find it when the
tile is spelt out in vectors, but not in a loop. Where vectors are short ``lanes()`` is 0 and float matrices do.
"""

import functools
import os
from typing import Any

TILE_ROWS = 8
TILE_VECTORS = 3
# What the processor must have, and the 32-bit lanes of its vectors then; best first.
_LONG_VECTORS = (("avx512bw", 16), ("avx2", 8))


@functools.cache
def lanes() -> int:
    """32-bit lanes of a vector; 0 where this processor's are short, and its BLAS as good."""
    import llvmlite.binding

    if os.environ.get("NUMBA_CPU_NAME") or os.environ.get("NUMBA_CPU_FEATURES"):
        return 0  # code for another processor than this one
    try:
        features = llvmlite.binding.get_host_cpu_features()
    except RuntimeError:
        return 0  # LLVM does not know this processor
    return next((width for feature, width in _LONG_VECTORS if features.get(feature)), 0)


def arithmetic() -> str:
    """What to call the way that convolutions take here; speeds can be compared where it is the same."""
    return f"16-bit pairs, {lanes()} lanes" if lanes() else "float matrices"


def tile_rows() -> int:
    """Rows of a tile: its sums must fit the processor's registers (32 of them, or 16 narrower ones)."""
    return TILE_ROWS if lanes() == 16 else TILE_ROWS // 2


def tile_columns() -> int:
    """Columns of a tile."""
    return lanes() * TILE_VECTORS


@functools.cache
def tile_function(vectors: int) -> Any:
    """For use in compiled code: multiply_tile(weights, at, columns, at, row length, pairs, sums, at, row length).

    weights: int32 pairs, tile_rows() of them for each pair of places; columns: int32 pairs, a row for each pair of
    places; sums: int32, written.
    """
    from llvmlite import ir
    from numba.core import types
    from numba.extending import intrinsic

    width, rows = lanes(), tile_rows()
    int32, int64 = ir.IntType(32), ir.IntType(64)
    wide, pairs_of = ir.VectorType(int32, width), ir.VectorType(ir.IntType(16), 2 * width)
    products = ir.VectorType(int32, 2 * width)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        weights, weights_at, columns, columns_at, columns_stride, pairs, sums, sums_at, sums_stride = arguments

        def pointer(array: Any, number: int, at: Any) -> Any:
            data = context.make_array(signature.args[number])(context, builder, array).data
            return builder.gep(data, [at])

        left, right = pointer(weights, 0, weights_at), pointer(columns, 2, columns_at)
        out = pointer(sums, 6, sums_at)

        def multiply(a: Any, b: Any) -> Any:
            """Products of pairs, both added: what the processor may have one instruction for."""
            product = builder.mul(builder.sext(a, products), builder.sext(b, products))
            even, odd = (
                builder.shuffle_vector(product, product, ir.Constant(wide, [2 * lane + part for lane in range(width)]))
                for part in range(2)
            )
            return builder.add(even, odd)

        before = builder.block
        loop = builder.append_basic_block("pair")
        after = builder.append_basic_block("store")
        builder.branch(loop)
        builder.position_at_end(loop)
        index = builder.phi(int64)
        index.add_incoming(int64(0), before)
        totals = [[builder.phi(wide) for _ in range(vectors)] for _ in range(rows)]
        place = builder.gep(right, [builder.mul(index, columns_stride)])
        inputs = []
        for vector in range(vectors):
            address = builder.bitcast(builder.gep(place, [int64(vector * width)]), wide.as_pointer())
            inputs.append(builder.bitcast(builder.load(address, align=4), pairs_of))
        first = builder.gep(left, [builder.mul(index, int64(rows))])
        nobody = ir.Constant(ir.VectorType(int32, width), [0] * width)
        sums_now = []
        for row in range(rows):
            one = builder.load(builder.gep(first, [int64(row)]), align=4)
            single = builder.insert_element(ir.Constant(wide, ir.Undefined), one, int32(0))
            every = builder.bitcast(builder.shuffle_vector(single, single, nobody), pairs_of)
            sums_now.append([builder.add(totals[row][v], multiply(every, inputs[v])) for v in range(vectors)])
        following = builder.add(index, int64(1))
        index.add_incoming(following, loop)
        for row in range(rows):
            for vector in range(vectors):
                totals[row][vector].add_incoming(nobody, before)
                totals[row][vector].add_incoming(sums_now[row][vector], loop)
        builder.cbranch(builder.icmp_signed("<", following, pairs), loop, after)
        builder.position_at_end(after)
        for row in range(rows):
            for vector in range(vectors):
                at = builder.add(builder.mul(sums_stride, int64(row)), int64(vector * width))
                address = builder.bitcast(builder.gep(out, [at]), wide.as_pointer())
                builder.store(sums_now[row][vector], address, align=4)
        return context.get_dummy_value()

    def multiply_tile(context: Any, w: Any, wa: Any, c: Any, ca: Any, cs: Any, n: Any, s: Any, sa: Any, ss: Any) -> Any:
        return types.void(
            w, types.int64, c, types.int64, types.int64, types.int64, s, types.int64, types.int64
        ), generate

    return intrinsic(multiply_tile)
