# SPDX-License-Identifier: MIT
"""Which performance counters does the kernel offer? Domains and their signals, by kind of core.

Source: databook, drm-uapi.md ("Performance monitor"); Linux, etnaviv_perfmon.c, for the names that it leaves out.
"""

from typing import NamedTuple

from hornito.uapi.etnaviv import ExecState

LAST_DOMAIN, LAST_SIGNAL = 0xFF, 0xFFFF  # what the iterators are behind the last


class Signal(NamedTuple):
    """A counter's name, and that of its domain."""

    domain: str
    name: str


def _domain(name: str, signals: str) -> tuple[str, tuple[Signal, ...]]:
    return name, tuple(Signal(name, signal) for signal in signals.split())


TOTAL_CYCLES = Signal("HI", "TOTAL_CYCLES")
IDLE_CYCLES = Signal("HI", "IDLE_CYCLES")
READS = Signal("MC", "TOTAL_READ_REQ_8B_FROM_PIPELINE")
WRITES = Signal("MC", "TOTAL_WRITE_REQ_8B_FROM_PIPELINE")
REQUEST_BYTES = 8  # of what READS and WRITES count

# By exec_state: each domain's name and signals; what numbers them is their place.
DOMAINS: dict[ExecState, tuple[tuple[str, tuple[Signal, ...]], ...]] = {
    ExecState.PIPE_3D: (
        _domain(
            "HI",
            "TOTAL_CYCLES IDLE_CYCLES AXI_CYCLES_READ_REQUEST_STALLED AXI_CYCLES_WRITE_REQUEST_STALLED "
            "AXI_CYCLES_WRITE_DATA_STALLED",
        ),
        _domain(
            "PE",
            "PIXEL_COUNT_KILLED_BY_COLOR_PIPE PIXEL_COUNT_KILLED_BY_DEPTH_PIPE PIXEL_COUNT_DRAWN_BY_COLOR_PIPE "
            "PIXEL_COUNT_DRAWN_BY_DEPTH_PIPE",
        ),
        _domain(
            "SH",
            "SHADER_CYCLES PS_INST_COUNTER RENDERED_PIXEL_COUNTER VS_INST_COUNTER RENDERED_VERTICE_COUNTER "
            "VTX_BRANCH_INST_COUNTER VTX_TEXLD_INST_COUNTER PXL_BRANCH_INST_COUNTER PXL_TEXLD_INST_COUNTER",
        ),
        _domain(
            "PA",
            "INPUT_VTX_COUNTER INPUT_PRIM_COUNTER OUTPUT_PRIM_COUNTER DEPTH_CLIPPED_COUNTER TRIVIAL_REJECTED_COUNTER "
            "CULLED_COUNTER",
        ),
        _domain("SE", "CULLED_TRIANGLE_COUNT CULLED_LINES_COUNT"),
        _domain(
            "RA",
            "VALID_PIXEL_COUNT TOTAL_QUAD_COUNT VALID_QUAD_COUNT_AFTER_EARLY_Z TOTAL_PRIMITIVE_COUNT "
            "PIPE_CACHE_MISS_COUNTER PREFETCH_CACHE_MISS_COUNTER CULLED_QUAD_COUNT",
        ),
        _domain(
            "TX",
            "TOTAL_BILINEAR_REQUESTS TOTAL_TRILINEAR_REQUESTS TOTAL_DISCARDED_TEXTURE_REQUESTS TOTAL_TEXTURE_REQUESTS "
            "MEM_READ_COUNT MEM_READ_IN_8B_COUNT CACHE_MISS_COUNT CACHE_HIT_TEXEL_COUNT CACHE_MISS_TEXEL_COUNT",
        ),
        _domain("MC", f"{READS.name} TOTAL_READ_REQ_8B_FROM_IP {WRITES.name}"),
    ),
    ExecState.PIPE_2D: (_domain("PE", "PIXELS_RENDERED_2D"),),
    ExecState.PIPE_VG: (),
}
