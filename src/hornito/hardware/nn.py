# SPDX-License-Identifier: MIT
"""What does the NN unit read to run one convolution? Its descriptor, field by field.

Source: the layout that Mesa 25.0.7's etnaviv driver writes, replayed byte for byte against it; names are the driver's.
Versions 7 and 8 of the unit share the layout.
"""

import enum
from dataclasses import dataclass
from typing import ClassVar

from hornito.bits import Confidence, Packed, bits

UNKNOWN = Confidence.UNKNOWN
INFERRED = Confidence.INFERRED

BYTES = 136  # the descriptor lies alone in a page-aligned buffer
MAX_TILE_X = 64
NO_CIRCULAR_END = 0x3FFFFFF
POSITIVE_INFINITY = 0x7F800000
NEGATIVE_INFINITY = 0xFF800000


class Pooling(enum.IntEnum):
    """What the unit does with each 2x2 outputs. MAX and AVERAGE are known by name only."""

    NONE = 0
    MAX = 1
    AVERAGE = 2
    FIRST_PIXEL = 3


class CachingMode(enum.IntEnum):
    """How much of the image or the coefficients is kept in on-chip SRAM."""

    NONE = 0
    FULL = 1
    PARTIAL = 2


@dataclass(frozen=True)
class Arithmetic:
    """What the versions of the unit compute differently. The factor of a job is (2 ** ``mantissa_bits`` + multiplier) /
    2 ** (``shift_base`` + shift); ``centre`` is subtracted from each input byte, the border's too."""

    mantissa_bits: int
    shift_base: int
    centre: int


ARITHMETIC = {7: Arithmetic(15, 0, 0), 8: Arithmetic(23, 23, 128)}
NEGATIVE_SHIFT = (
    64  # version 8: shifts from here on stand for factors of 2 and more. Inferred: nobody has seen one work
)


@dataclass(frozen=True)
class NNDescriptor(Packed):
    """One convolution, as the NN unit fetches it: 34 words. Sizes in elements, addresses and strides in bytes."""

    WORDS: ClassVar[int] = 34
    SOURCE: ClassVar[str] = "Mesa 25.0.7 etnaviv_ml_nn.c"

    layer_type: int = bits(0, 0, only=(0,))
    no_z_offset: int = bits(0, 1, default=0)
    kernel_xy_size: int = bits(0, 5, 2)
    kernel_z_size: int = bits(0, 19, 6)
    kernels_per_core: int = bits(0, 26, 20)
    pooling: int = bits(0, 28, 27, only=(0, 3), kind=Pooling)
    pooling_xy_size: int = bits(0, 29, only=(1, 0), confidence=UNKNOWN)
    prelu: int = bits(0, 30, only=(0,))
    nn_layer_flush: int = bits(0, 31, only=(1,), confidence=UNKNOWN)

    kernel_data_type: int = bits(1, 1, 0, only=(0,), confidence=UNKNOWN)
    in_image_data_type: int = bits(1, 3, 2, only=(0,), confidence=UNKNOWN)
    out_image_data_type: int = bits(1, 5, 4, only=(0,), confidence=UNKNOWN)
    in_image_x_size: int = bits(1, 18, 6)
    in_image_y_size: int = bits(1, 31, 19)

    in_image_x_offset: int = bits(2, 2, 0, default=0)
    in_image_y_offset: int = bits(2, 5, 3, default=0)
    brick_mode: int = bits(2, 7, only=(0,))
    brick_distance: int = bits(2, 23, 8, only=(0,))
    relu: int = bits(2, 24, default=0)
    post_multiplier: int = bits(2, 26)
    post_shift: int = bits(2, 31, 27)

    no_flush: int = bits(3, 3, default=0, confidence=UNKNOWN)
    out_image_x_size: int = bits(3, 18, 6)  # before pooling
    out_image_y_size: int = bits(3, 31, 19)

    out_image_z_size: int = bits(4, 13, 0)
    rounding_mode: int = bits(4, 15, 14, only=(1,), confidence=UNKNOWN)
    in_image_x_offset_bit_3: int = bits(4, 16, default=0)
    in_image_y_offset_bit_3: int = bits(4, 17, default=0)
    out_image_tile_x_size: int = bits(4, 24, 18)
    out_image_tile_y_size: int = bits(4, 31, 25)

    kernel_address: int = bits(5, 25, 0, address=6)
    kernel_z_size2: int = bits(5, 31, 26, default=0, confidence=INFERRED)  # input channels, bits 19:14
    in_image_address: int = bits(6, 31, 0, address=0)
    out_image_address: int = bits(7, 31, 0, address=0)

    image_caching_mode: int = bits(8, 1, 0, only=(0, 1, 2), kind=CachingMode)
    kernel_caching_mode: int = bits(8, 3, 2, only=(0, 1, 2), kind=CachingMode)
    partial_cache_data_unit: int = bits(8, 5, 4, only=(0,))
    kernel_pattern_msb: int = bits(8, 11, 6, default=0, confidence=INFERRED)
    kernel_y_size: int = bits(8, 15, 12)
    out_image_y_stride: int = bits(8, 31, 16)  # rows per output plane
    kernel_pattern_low: int = bits(9, 31, 0, default=0, confidence=INFERRED)
    kernel_pattern_high: int = bits(10, 31, 0, default=0, confidence=INFERRED)
    kernel_cache_start_address: int = bits(11, 31, 0)  # SRAM byte offsets from here on
    kernel_cache_end_address: int = bits(12, 31, 0)
    image_cache_start_address: int = bits(13, 31, 0)
    image_cache_end_address: int = bits(14, 31, 0)

    in_image_border_mode: int = bits(15, 1, 0, only=(0,))
    in_image_border_const: int = bits(15, 17, 2)
    kernel_data_type_bit_2: int = bits(15, 19, only=(0,), confidence=UNKNOWN)
    in_image_data_type_bit_2: int = bits(15, 20, only=(0,), confidence=UNKNOWN)
    out_image_data_type_bit_2: int = bits(15, 21, only=(0,), confidence=UNKNOWN)
    post_multiplier_1_to_6: int = bits(15, 27, 22)
    post_shift_bit_5_6: int = bits(15, 29, 28)
    in_image_x_stride: int = bits(16, 15, 0)
    in_image_y_stride: int = bits(16, 31, 16)  # rows per input plane
    out_image_x_stride: int = bits(17, 15, 0)
    post_multiplier_7_to_14: int = bits(17, 31, 24)
    out_image_circular_buf_size: int = bits(18, 25, 0, only=(0,))
    per_channel_post_mul: int = bits(18, 26, only=(0,), confidence=UNKNOWN)
    in_image_x_offset_bit_4: int = bits(18, 29, default=0, confidence=INFERRED)
    in_image_y_offset_bit_4: int = bits(18, 31, 30, only=(0, 1), confidence=INFERRED)
    out_image_circular_buf_end_addr_plus_1: int = bits(19, 25, 0, only=(NO_CIRCULAR_END,))
    in_image_circular_buf_size: int = bits(20, 25, 0, only=(0,))
    in_image_circular_buf_end_addr_plus_1: int = bits(21, 25, 0, only=(NO_CIRCULAR_END,))

    coef_zero_point: int = bits(22, 7, 0)
    out_zero_point: int = bits(22, 15, 8)
    kernel_direct_stream_from_vip_sram: int = bits(22, 16, only=(0,))
    depthwise: int = bits(22, 17, default=0)
    post_multiplier_15_to_22: int = bits(22, 25, 18, default=0)
    further3: int = bits(28, 31, 0, only=(0x03FFFFFF,), confidence=UNKNOWN)
    further4: int = bits(29, 31, 0, only=(POSITIVE_INFINITY,), confidence=UNKNOWN)
    further5: int = bits(30, 31, 0, only=(NEGATIVE_INFINITY,), confidence=UNKNOWN)

    @property
    def channels(self) -> int:
        """Input channels, from both of their fields."""
        return self.kernel_z_size | self.kernel_z_size2 << 14

    @property
    def shift(self) -> int:
        """The requantisation's shift, 0..127."""
        return self.post_shift | self.post_shift_bit_5_6 << 5

    @property
    def multiplier(self) -> int:
        """The requantisation's mantissa without its leading one: 15 bits on version 7, 23 on version 8."""
        return (
            self.post_multiplier
            | self.post_multiplier_1_to_6 << 1
            | self.post_multiplier_7_to_14 << 7
            | self.post_multiplier_15_to_22 << 15
        )

    def offsets(self, width: int) -> tuple[int, int]:
        """Signed start (x, y) of the kernel window, of which the chip reads the low ``width`` bits (3, 4 or 5)."""
        x = self.in_image_x_offset | self.in_image_x_offset_bit_3 << 3 | self.in_image_x_offset_bit_4 << 4
        y = self.in_image_y_offset | self.in_image_y_offset_bit_3 << 3 | (self.in_image_y_offset_bit_4 & 1) << 4
        return _sign_extend(x, width), _sign_extend(y, width)


KERNEL_ADDRESS_SHIFT = NNDescriptor.addresses()["kernel_address"]


def split_multiplier(multiplier: int, shift: int) -> dict[str, int]:
    """The descriptor's fields for a requantisation of (leading one + ``multiplier``) / 2 ** ``shift``."""
    return {
        "post_multiplier": multiplier & 1,
        "post_multiplier_1_to_6": multiplier >> 1 & 0x3F,
        "post_multiplier_7_to_14": multiplier >> 7 & 0xFF,
        "post_multiplier_15_to_22": multiplier >> 15,
        "post_shift": shift & 0x1F,
        "post_shift_bit_5_6": shift >> 5,
    }


def split_offsets(x: int, y: int, width: int) -> dict[str, int]:
    """The descriptor's fields for a signed window start; ``width`` is the chip's NN_INIMAGE_OFFSET_BITS."""
    fields = {
        "in_image_x_offset": x & 7,
        "in_image_y_offset": y & 7,
        "in_image_x_offset_bit_3": x >> 3 & 1,
        "in_image_y_offset_bit_3": y >> 3 & 1,
    }
    if width > 4:
        fields |= {"in_image_x_offset_bit_4": x >> 4 & 1, "in_image_y_offset_bit_4": y >> 4 & 1}
    return fields


def _sign_extend(value: int, width: int) -> int:
    value &= (1 << width) - 1
    return value - (1 << width) if value >> (width - 1) else value
