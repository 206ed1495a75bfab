# SPDX-License-Identifier: MIT
"""Which NPU cores are there, and what does each have?

Source: the core database of Mesa 25.0.7 (three vendor tables merged). ``features`` and ``limits``: GET_PARAM of a real
A311D as the databook lists it. The pairing of cores with SoCs is public knowledge, or inferred where it says so.
"""

import enum
from dataclasses import dataclass, field
from typing import Any

from hornito.errors import BadInput


class CoefficientFormat(enum.Enum):
    """How a core wants its weights and biases packed."""

    V7 = "v7"  # zero runs and plain bytes; proven on the 0x7d and 0x88 cores
    V8 = "v8"  # eight symbol classes; proven on the NN_XYDP0 cores
    UNPROVEN = "unproven"  # version 7 arithmetic, but a stream nobody has documented


@dataclass(frozen=True)
class Identity:
    """The five numbers by which the kernel and the database know a core."""

    model: int
    revision: int
    product_id: int
    eco_id: int
    customer_id: int

    def matches(self, other: "Identity") -> bool:
        """As the reference driver looks cores up: the revision's low four bits don't count (no entry is final)."""
        return (self.model, self.revision & 0xFFF0, self.product_id, self.eco_id, self.customer_id) == (
            other.model,
            other.revision & 0xFFF0,
            other.product_id,
            other.eco_id,
            other.customer_id,
        )


@dataclass(frozen=True)
class Chip:
    """One row of the core database. Sizes in bytes, depths in the hardware's own units."""

    name: str
    database_name: str
    identity: Identity
    nn_cores: int
    tp_cores: int
    vip_sram: int
    axi_sram: int
    zrl_bits: int  # widest zero-run length of a coefficient stream
    input_depth: int  # rows of an input tile's buffer
    accumulator_depth: int
    xydp0: bool  # NN_XYDP0: the mark of version 8
    offset_bits: int  # size of the signed input offset in the NN descriptor
    max_kernel: int  # largest kernel in x and y
    first_pixel_pooling: bool
    depthwise: bool
    compression_enhancement: bool
    soc: str = "in no SoC known"
    in_driver_ci: bool = False  # boards with it run the reference driver's tests (Mesa 25.0.7, src/etnaviv/ci)
    features: tuple[int, ...] = ()  # the kernel's feature words 0..12, where they are known
    limits: dict[str, int] = field(default_factory=dict, hash=False)  # its other GET_PARAM answers, likewise

    @property
    def nn_version(self) -> int:
        """Generation of the NN unit: 7 or 8 (every core here has VIP_V7)."""
        return 8 if self.xydp0 else 7

    @property
    def coefficient_format(self) -> CoefficientFormat:
        """COEF_COMPRESSION_ENHANCEMENT parts the two kinds of version 7 core. Inferred, from vendor streams."""
        if self.xydp0:
            return CoefficientFormat.V8
        return CoefficientFormat.UNPROVEN if self.compression_enhancement else CoefficientFormat.V7

    @property
    def max_offset(self) -> int:
        """Largest absolute window offset in x and y."""
        return (1 << (self.offset_bits - 1)) - 1


MAC_PER_CORE = 64  # all cores of the database
_A311D_FEATURES = (
    *(0xE0287CAC, 0xC1799EFF, 0xFEFBFADB, 0xEB9D6FBF, 0xEDFFFCED, 0xD30DAFC7, 0x7B5AC333),
    *(0xFC8EE200, 0x03FFFA6F, 0x00FE0EF0, 0x0088003C, 0x108048C0, 0x00000010),
)
_A311D_LIMITS = {
    "stream_count": 8,
    "register_max": 64,
    "thread_count": 256,
    "vertex_cache_size": 16,
    "shader_core_count": 1,
    "pixel_pipes": 1,
    "vertex_output_buffer_size": 1024,
    "buffer_size": 0,
    "instruction_count": 512,
    "num_constants": 320,
    "num_varyings": 16,
}


_COLUMNS = (
    *("nn_cores", "tp_cores", "vip_sram", "axi_sram", "zrl_bits", "input_depth", "accumulator_depth"),
    *("xydp0", "offset_bits", "max_kernel", "first_pixel_pooling", "depthwise", "compression_enhancement"),
)
_FLAGS = frozenset({"xydp0", "first_pixel_pooling", "depthwise", "compression_enhancement"})


def _row(
    name: str, database_name: str, identity: tuple[int, int, int, int, int], numbers: tuple[int, ...], **more: Any
) -> Chip:
    """A row of the table; ``numbers`` are in the order of _COLUMNS."""
    columns = dict(zip(_COLUMNS, numbers, strict=True))
    values: dict[str, Any] = {key: bool(value) if key in _FLAGS else value for key, value in columns.items()}
    return Chip(name=name, database_name=database_name, identity=Identity(*identity), **values, **more)


CHIPS: tuple[Chip, ...] = (
    _row(
        "vipnano-qi-88-0",
        "vipnano-qi",
        (0x8000, 0x7120, 0x45080009, 0, 0x88),
        (8, 4, 524288, 1048576, 5, 12, 64, 0, 4, 11, 1, 0, 0),
        soc="Amlogic A311D (Khadas VIM3, Libre Computer Alta)",
        in_driver_ci=True,
        features=_A311D_FEATURES,
        limits=_A311D_LIMITS,
    ),
    _row(
        "vipnano-qi-7d-0",
        "vipnano-qi",
        (0x8000, 0x7004, 0x45080009, 0, 0x7D),
        (8, 4, 524288, 1048576, 5, 12, 64, 0, 3, 11, 0, 0, 0),
    ),
    _row(
        "vipnano-qi-7d-1",
        "vipnano-qi",
        (0x8000, 0x7004, 0x45080009, 1, 0x7D),
        (8, 4, 524288, 1048576, 5, 12, 64, 0, 3, 11, 0, 0, 0),
    ),
    _row(
        "vipnano-qi-a1-8000000",
        "vipnano-qi",
        (0x8000, 0x7131, 0x5000009, 0x8000000, 0xA1),
        (8, 6, 1048576, 4452352, 8, 12, 64, 0, 4, 11, 1, 0, 1),
    ),
    _row(
        "vippico-v3-99-2000000",
        "vippico_v3",
        (0x8000, 0x7131, 0x8000001, 0x2000000, 0x99),
        (2, 1, 524288, 0, 8, 6, 64, 0, 4, 11, 1, 0, 1),
        soc="Amlogic S905D3 (Khadas VIM3L), inferred",
    ),
    _row(
        "vipnano-si-plus-9f-6000000",
        "vipnano-si+",
        (0x8000, 0x8002, 0x5080009, 0x6000000, 0x9F),
        (6, 3, 262144, 0, 8, 9, 32, 1, 5, 15, 1, 1, 1),
        soc="NXP i.MX8M Plus",
        in_driver_ci=True,
    ),
    _row(
        "vipnano-si-plus-a0-6000000",
        "vipnano-si+",
        (0x8000, 0x8002, 0x5080009, 0x6000000, 0xA0),
        (6, 3, 262144, 0, 8, 9, 32, 1, 5, 15, 1, 1, 1),
    ),
    _row(
        "vip9000nano-si-b9-4000000",
        "vip9000nano-si",
        (0x9000, 0x8101, 0x5090009, 0x4000000, 0xB9),
        (4, 1, 524288, 0, 8, 9, 32, 1, 5, 15, 1, 1, 1),
    ),
    _row(
        "vip9000nano-di-be-8000000",
        "vip9000nano-di",
        (0x9000, 0x8102, 0x5090009, 0x8000000, 0xBE),
        (8, 3, 1048576, 253952, 8, 9, 32, 1, 5, 15, 1, 1, 1),
    ),
    _row(
        "vip9000nano-di-e8-8000000",
        "vip9000nano-di",
        (0x9000, 0x8302, 0x5090009, 0x8000000, 0xE8),
        (8, 1, 1048576, 0, 8, 9, 32, 1, 5, 15, 1, 1, 1),
    ),
    _row(
        "gcnanoultra31-vip2-13-0",
        "GCNANOULTRA31_VIP2",
        (0x7000, 0x6204, 0x70007, 0, 0x13),
        (2, 1, 512, 0, 8, 6, 64, 0, 4, 11, 1, 0, 1),
    ),
    _row(
        "gcnanoultra31-vip2-15-0",
        "GCNANOULTRA31_VIP2",
        (0x8000, 0x6205, 0x80003, 0, 0x15),
        (2, 1, 131072, 0, 8, 6, 64, 0, 4, 11, 1, 0, 1),
        soc="STM32MP255",
    ),
)

ALIASES = {
    "vipnano-qi": "vipnano-qi-88-0",
    "a311d": "vipnano-qi-88-0",
    "vipnano-si-plus": "vipnano-si-plus-9f-6000000",
    "imx8mp": "vipnano-si-plus-9f-6000000",
}
DEFAULT_CHIP = "vipnano-qi"


def find_chip(name: str) -> Chip:
    """The chip of that name or alias. Raises BadInput, listing the names, for any other."""
    wanted = ALIASES.get(name.lower(), name.lower())
    for chip in CHIPS:
        if chip.name == wanted:
            return chip
    raise BadInput(f"unknown chip {name!r}; known are {', '.join([*ALIASES, *(chip.name for chip in CHIPS)])}")


def identify(identity: Identity) -> Chip | None:
    """The database entry of a core that a kernel reports, or None for one that is no known NPU."""
    return next((chip for chip in CHIPS if chip.identity.matches(identity)), None)
