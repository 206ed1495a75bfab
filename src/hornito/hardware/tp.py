# SPDX-License-Identifier: MIT
"""What does a TP core read to move one tensor? Its descriptor, field by field.

Source: the layout that Mesa 25.0.7's etnaviv driver writes, replayed byte for byte against it; names are the driver's.
The address generator that gives the loops their meaning is a model inferred from the four kinds of job it makes.
"""

from dataclasses import dataclass
from typing import ClassVar

from hornito.bits import Confidence, Packed, bits

UNKNOWN = Confidence.UNKNOWN
INFERRED = Confidence.INFERRED

BYTES = 124  # the descriptor lies alone in a page-aligned buffer
NO_CIRCULAR_END = 0x3FFFFFF
COUNTED_LOOPS = 6  # loops 0..5 have counts; loop 6 takes the rest


@dataclass(frozen=True)
class TPDescriptor(Packed):
    """One TP core's part of a job: 31 words. Sizes in elements, strides and increments in bytes."""

    WORDS: ClassVar[int] = 31
    SOURCE: ClassVar[str] = "Mesa 25.0.7 etnaviv_ml_tp.c"

    in_image_x_size: int = bits(0, 15, 0)
    in_image_y_size: int = bits(1, 15, 0)
    in_image_z_size: int = bits(1, 31, 16)
    in_image_stride: int = bits(2, 15, 0)
    in_image_slice: int = bits(3, 31, 0)
    in_window_x_start: int = bits(4, 15, 0, default=0, signed=True)
    in_window_y_start: int = bits(4, 31, 16, default=0, signed=True)
    in_window_x_end: int = bits(5, 15, 0, signed=True)  # inclusive
    in_window_y_end: int = bits(5, 31, 16, signed=True)

    in_tile_sequence: int = bits(6, 1, 0, only=(0,), confidence=UNKNOWN)
    in_tile_global_mem: int = bits(6, 2, only=(0,), confidence=UNKNOWN)
    in_image_global_mem: int = bits(6, 3, only=(1,))
    alu_i2f_enable: int = bits(6, 4, only=(1,))
    alu_square_enable: int = bits(6, 5, only=(0,))
    alu_horz_processing: int = bits(6, 8, 6, only=(0,))
    alu_horz_proc_count: int = bits(6, 14, 9, only=(0,))
    alu_horz_proc_stride: int = bits(6, 15, only=(0,))
    alu_vert_processing: int = bits(6, 17, 16, only=(0,))
    alu_vert_proc_count: int = bits(6, 24, 19, only=(0,))
    alu_vert_proc_stride: int = bits(6, 25, only=(0,))
    alu_nms_enable: int = bits(6, 26, only=(0,))
    alu_pwl_enable: int = bits(6, 27, only=(0,))
    alu_mult_enable: int = bits(6, 28, only=(0,))
    alu_f2i_enable: int = bits(6, 29, only=(1,))
    alu_load_pwl_lut: int = bits(6, 30, only=(0,))
    alu_load_pwl_lut_global_mem: int = bits(6, 31, only=(0,))
    in_tile_list_address: int = bits(7, 31, 0, only=(0,))

    in_tile_x_size: int = bits(8, 15, 0)
    in_tile_y_size: int = bits(8, 31, 16)
    in_tile_x_inc: int = bits(9, 15, 0)
    in_tile_y_inc: int = bits(9, 31, 16)
    in_image_base_address: int = bits(10, 31, 0, address=0)
    alu_load_pwl_lut_address: int = bits(11, 31, 0, only=(0,))

    out_tile_skip_at_border: int = bits(12, 0, only=(0,), confidence=UNKNOWN)
    out_image_global_mem: int = bits(12, 1, only=(1,))
    out_loop_1_reset: int = bits(12, 2, default=0, confidence=INFERRED)
    out_loop_2_reset: int = bits(12, 3, default=0, confidence=INFERRED)
    out_loop_3_reset: int = bits(12, 4, default=0, confidence=INFERRED)
    out_brick_mode: int = bits(12, 5, only=(0,))
    alu_z_filter_mode: int = bits(12, 6, only=(0,))
    in_window_z_start_overfetch: int = bits(12, 9, 8, only=(0,), confidence=UNKNOWN)
    in_window_z_end_overfetch: int = bits(12, 12, 11, only=(0,), confidence=UNKNOWN)
    alu_square_preshift: int = bits(12, 17, 14, only=(0,))
    in_image_data_type: int = bits(12, 20, 18, only=(0,), confidence=UNKNOWN)
    out_image_data_type: int = bits(12, 23, 21, only=(0,), confidence=UNKNOWN)
    alu_pwl_sign_support: int = bits(12, 28, only=(0,))
    alu_relu_enable: int = bits(12, 29, only=(0,))
    no_flush: int = bits(12, 30, default=0)  # 1 on all cores of a job but the last
    last: int = bits(12, 31, only=(1,))

    out_image_base_address: int = bits(13, 31, 0, address=0)
    out_loop_0_inc: int = bits(14, 31, 0, default=1, signed=True)
    out_loop_1_inc: int = bits(15, 31, 0, default=0, signed=True)
    out_loop_0_count: int = bits(16, 15, 0, default=1)
    out_loop_1_count: int = bits(16, 31, 16, default=1)
    out_loop_2_inc: int = bits(17, 31, 0, default=0, signed=True)
    out_loop_3_inc: int = bits(18, 31, 0, default=0, signed=True)
    out_loop_2_count: int = bits(19, 15, 0, default=1)
    out_loop_3_count: int = bits(19, 31, 16, default=1)
    out_loop_4_inc: int = bits(20, 31, 0, default=0, signed=True)
    out_loop_5_inc: int = bits(21, 31, 0, default=0, signed=True)
    out_loop_4_count: int = bits(22, 15, 0, default=1)
    out_loop_5_count: int = bits(22, 31, 16, default=1)
    out_loop_6_inc: int = bits(23, 31, 0, default=0, signed=True)

    alu_filter_pwl_swap: int = bits(24, 0, only=(0,))
    flat_rounding_mode: int = bits(24, 2, 1, only=(1,), confidence=UNKNOWN)
    integer_rounding_mode: int = bits(24, 4, 3, only=(1,), confidence=UNKNOWN)
    alu_input_preshift: int = bits(24, 9, 5, only=(0,))
    alu_output_postshift: int = bits(24, 14, 10, only=(0,))
    alu_reorder_bits_used: int = bits(24, 18, 15, only=(0,))
    alu_reorder_loop_2_mode: int = bits(24, 19, only=(0,))
    in_image_border_mode: int = bits(24, 25, 24, only=(0,))
    alu_output_postshift_5_6: int = bits(24, 27, 26, only=(0,))
    in_image_circular_buf_size: int = bits(25, 31, 0, only=(0,))
    in_image_circular_buf_end_address_plus_1: int = bits(26, 31, 0, only=(NO_CIRCULAR_END,))
    out_image_circular_buf_size: int = bits(27, 31, 0, only=(0,))
    out_image_circular_buf_end_address_plus_1: int = bits(28, 31, 0, only=(NO_CIRCULAR_END,))
    in_image_border_const: int = bits(29, 15, 0, only=(0,))
    coef_zp: int = bits(29, 23, 16, only=(0,), confidence=UNKNOWN)
    in_zp: int = bits(29, 31, 24)
    out_zp: int = bits(30, 7, 0)
    alu_output_post_multiplier: int = bits(30, 22, 8, only=(0,))

    @property
    def loop_increments(self) -> tuple[int, ...]:
        """Bytes that each of the loops 0..6 adds to the output address."""
        return tuple(getattr(self, f"out_loop_{loop}_inc") for loop in range(COUNTED_LOOPS + 1))

    @property
    def loop_counts(self) -> tuple[int, ...]:
        """Counts of the loops 0..5."""
        return tuple(getattr(self, f"out_loop_{loop}_count") for loop in range(COUNTED_LOOPS))
