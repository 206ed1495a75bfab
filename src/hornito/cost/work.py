# SPDX-License-Identifier: MIT
"""What does a job have to compute and to move over the memory bus? Counts from its descriptors, no times.

Source: databook, README.md ("superblock": the input is read once a superblock) and nn-descriptor.md ("Caching").
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hornito.hardware.chips import Chip
from hornito.hardware.nn import CachingMode, NNDescriptor, Pooling
from hornito.hardware.tp import TPDescriptor


@dataclass(frozen=True)
class Work:
    """``macs`` that the hardware is given to do, and bytes that it reads and writes; coefficients are part of reads.

    ``pointwise_macs``: how many of the ``macs`` belong to 1x1 kernels, which have a rate of their own."""

    macs: int = 0
    coefficient_bytes: int = 0
    read: int = 0
    written: int = 0
    pointwise_macs: int = 0

    @property
    def traffic(self) -> int:
        """Bytes over the memory bus."""
        return self.read + self.written

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.macs + other.macs,
            self.coefficient_bytes + other.coefficient_bytes,
            self.read + other.read,
            self.written + other.written,
            self.pointwise_macs + other.pointwise_macs,
        )


def nn_work(descriptor: NNDescriptor, coefficient_bytes: int, chip: Chip) -> Work:
    """The work of one NN job. Halos between tiles are not counted; an image that is not cached is read again for every
    superblock."""
    outputs = descriptor.out_image_z_size
    pixels = descriptor.out_image_x_size * descriptor.out_image_y_size
    planes = 1 if descriptor.depthwise else descriptor.channels
    places = descriptor.kernel_xy_size * descriptor.kernel_y_size
    macs = pixels * planes * places * outputs
    per_core = -(-outputs // chip.nn_cores)
    passes = -(-per_core // max(descriptor.kernels_per_core, 1))
    if descriptor.image_caching_mode != CachingMode.NONE:
        passes = 1
    image = descriptor.in_image_x_size * descriptor.in_image_y_size * descriptor.channels
    kept = pixels // 4 if descriptor.pooling == Pooling.FIRST_PIXEL else pixels
    pointwise = macs if places == 1 else 0
    return Work(macs, coefficient_bytes, coefficient_bytes + passes * image, kept * outputs, pointwise)


def move_work(descriptors: Sequence[TPDescriptor]) -> Work:
    """The work of one TP job: every element of the window is written, those within the image are read."""
    read = written = 0
    for d in descriptors:
        columns = d.in_window_x_end - d.in_window_x_start + 1
        rows = d.in_window_y_end - d.in_window_y_start + 1
        inside_x = max(min(d.in_window_x_end, d.in_image_x_size - 1) - max(d.in_window_x_start, 0) + 1, 0)
        inside_y = max(min(d.in_window_y_end, d.in_image_y_size - 1) - max(d.in_window_y_start, 0) + 1, 0)
        written += columns * rows * d.in_image_z_size
        read += inside_x * inside_y * d.in_image_z_size
    return Work(read=read, written=written)
