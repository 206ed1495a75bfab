# SPDX-License-Identifier: MIT
"""Which state registers does NPU work touch, and which values are ever written to them?

Source: Mesa 25.0.7's etnaviv driver and its state database; a state's index is its byte address / 4.
"""

import enum
from dataclasses import dataclass
from typing import ClassVar

from hornito.bits import Confidence, Packed, bits

_DATABASE = "etnaviv register database (rnndb) as shipped with Mesa 25.0.7"
_DRIVER = "Mesa 25.0.7 etnaviv_ml.c"


@dataclass(frozen=True)
class State:
    """A register of the front end's address space. ``only``: the values that are ever written (None: any). ``fields``
    names its bits, where anybody knows them."""

    name: str
    address: int
    only: tuple[int, ...] | None = None
    confidence: Confidence = Confidence.REPLAYED
    fields: type[Packed] | None = None
    source: str = _DRIVER

    @property
    def index(self) -> int:
        return self.address >> 2

    def meaning(self, value: int) -> str:
        """The fields that are not zero, in words; "" where no field is known."""
        if self.fields is None:
            return ""
        found = []
        for name, field in self.fields.layout().items():
            part = field.extract([value])
            if part:
                found.append(name if field.width == 1 else f"{name} = {field.text(part)}")
        rest = self.fields.unnamed([value])[0]
        return ", ".join([*found, f"unnamed {rest:#x}"] if rest else found)


class Api(enum.IntEnum):
    """For whom the shader cores work."""

    OPENGL = 0
    OPENVG = 1
    OPENCL = 2


@dataclass(frozen=True)
class SystemMode(Packed):
    """PA_SYSTEM_MODE."""

    WORDS: ClassVar[int] = 1
    SOURCE: ClassVar[str] = _DATABASE

    provoking_vertex_last: int = bits(0, 0, default=0)
    half_pixel_centre: int = bits(0, 4, default=0)


@dataclass(frozen=True)
class FlushCache(Packed):
    """GL_FLUSH_CACHE: which caches are written back."""

    WORDS: ClassVar[int] = 1
    SOURCE: ClassVar[str] = _DATABASE

    depth: int = bits(0, 0, default=0)
    colour: int = bits(0, 1, default=0)
    texture: int = bits(0, 2, default=0)
    pe_2d: int = bits(0, 3, default=0)
    texture_vertex: int = bits(0, 4, default=0)
    shader_l1: int = bits(0, 5, default=0)
    shader_l2: int = bits(0, 6, default=0)
    unknown_10: int = bits(0, 10, default=0, confidence=Confidence.UNKNOWN)
    unknown_11: int = bits(0, 11, default=0, confidence=Confidence.UNKNOWN)
    texture_descriptor_12: int = bits(0, 12, default=0)
    texture_descriptor_13: int = bits(0, 13, default=0)
    unknown_14: int = bits(0, 14, default=0, confidence=Confidence.UNKNOWN)


@dataclass(frozen=True)
class ApiMode(Packed):
    """GL_API_MODE."""

    WORDS: ClassVar[int] = 1
    SOURCE: ClassVar[str] = _DATABASE

    api: int = bits(0, 1, 0, default=2, kind=Api)


@dataclass(frozen=True)
class NNConfig(Packed):
    """GL_NN_CONFIG. A core count of 0: all cores are on."""

    WORDS: ClassVar[int] = 1
    SOURCE: ClassVar[str] = _DATABASE

    unknown_0: int = bits(0, 1, 0, default=0, confidence=Confidence.UNKNOWN)
    disable_zdpn: int = bits(0, 2, default=0)
    disable_software_tiling: int = bits(0, 3, default=0)
    small_batch: int = bits(0, 4, default=0)
    ddr_burst_size: int = bits(0, 6, 5, default=0)
    unknown_7: int = bits(0, 7, default=0, confidence=Confidence.UNKNOWN)
    nn_core_count: int = bits(0, 11, 8, default=0)
    unknown_12: int = bits(0, 12, default=0, confidence=Confidence.UNKNOWN)


PA_SYSTEM_MODE = State("PA_SYSTEM_MODE", 0x00A28, (0x11,), Confidence.UNKNOWN, SystemMode)  # once, at init
PS_NN_INST_ADDR = State("PS_NN_INST_ADDR", 0x010A0)  # descriptor address + job tag; starts an NN job
PS_UNK10A4 = State("PS_UNK10A4", 0x010A4, confidence=Confidence.INFERRED)  # the job tag again, after each job
PS_TP_INST_ADDR = State("PS_TP_INST_ADDR", 0x010B8)  # descriptor address + job tag; starts one TP core
FRONT_END_WAITS = 0x701  # from the front end (1) to the pixel engine (7): until everything before is done
GL_SEMAPHORE_TOKEN = State(  # before a STALL of the same value
    "GL_SEMAPHORE_TOKEN", 0x03808, (FRONT_END_WAITS,), Confidence.INFERRED, source="Linux 6.12 etnaviv_buffer.c"
)
GL_FLUSH_CACHE = State("GL_FLUSH_CACHE", 0x0380C, (0xC23, 0x403), Confidence.UNKNOWN, FlushCache)
GL_API_MODE = State("GL_API_MODE", 0x0384C, (2,), fields=ApiMode)  # 2 = OpenCL; once, at init
GL_NN_CONFIG = State("GL_NN_CONFIG", 0x03930, (0x10, 0x00), fields=NNConfig)  # bit 4: small batch; 0 in parallel mode
GL_OCB_REMAP_START = State("GL_OCB_REMAP_START", 0x0393C, (0,))
GL_OCB_REMAP_END = State("GL_OCB_REMAP_END", 0x03940, (0,))
GL_TP_CONFIG = State("GL_TP_CONFIG", 0x0394C, (0,), Confidence.UNKNOWN)
GL_UNK03950 = State("GL_UNK03950", 0x03950, (0, 8), Confidence.UNKNOWN)

STATES: dict[int, State] = {
    state.index: state
    for state in (
        PA_SYSTEM_MODE,
        PS_NN_INST_ADDR,
        PS_UNK10A4,
        PS_TP_INST_ADDR,
        GL_SEMAPHORE_TOKEN,
        GL_FLUSH_CACHE,
        GL_API_MODE,
        GL_NN_CONFIG,
        GL_OCB_REMAP_START,
        GL_OCB_REMAP_END,
        GL_TP_CONFIG,
        GL_UNK03950,
    )
}

# Values that the reference driver writes.
SYSTEM_MODE = 0x11
OPENCL = 2
SMALL_BATCH = 0x10
FLUSH_ALL = 0xC23
FLUSH_PARALLEL = 0x403
PAD_NOT_LAST_CORE = 8

# Job tags: the low bits of a descriptor's address in the trigger word.
TAG_ALIGNMENT = 64
TAG_NOT_LAST_CORE = 1  # default mode
TAG_NOT_LAST_CORE_PARALLEL = 0x1F
LEADING_ZERO_WORDS = 8
TRAILING_ZERO_WORDS = 2
