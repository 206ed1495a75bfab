# SPDX-License-Identifier: MIT
"""Which registers of the core does a kernel read, and what do their bits mean? By byte address.

Source: databook, drm-uapi.md ("Device registers", "Hangs", "Core dump"), by Linux and the etnaviv project's database.
"""

import enum

HI_CLOCK_CONTROL = 0x000
HI_IDLE_STATE = 0x004
HI_AXI_CONFIG = 0x008
HI_AXI_STATUS = 0x00C
HI_INTR_ENABLE = 0x014
HI_CHIP_IDENTITY = 0x018
HI_CHIP_FEATURE = 0x01C
HI_CHIP_MODEL = 0x020
HI_CHIP_REVISION = 0x024
HI_CHIP_DATE = 0x028
HI_CHIP_TIME = 0x02C
HI_CHIP_MINOR_FEATURE_0 = 0x034
FE_DMA_STATUS = 0x65C
FE_DMA_DEBUG_STATE = 0x660
FE_DMA_ADDRESS = 0x664
FE_DMA_LOW = 0x668
FE_DMA_HIGH = 0x66C

# What a core dump holds, in this order.
DUMPED = (
    *(HI_AXI_STATUS, HI_CLOCK_CONTROL, HI_IDLE_STATE, HI_AXI_CONFIG, HI_INTR_ENABLE, HI_CHIP_IDENTITY),
    *(HI_CHIP_FEATURE, HI_CHIP_MODEL, HI_CHIP_REVISION, HI_CHIP_DATE, HI_CHIP_TIME, HI_CHIP_MINOR_FEATURE_0),
    *(0x038, 0x070, 0x100, 0x104, 0x108, 0x10C),
    *(0x400, 0x404, 0x408, 0x40C, 0x410, 0x414, 0x418, 0x41C, 0x420, 0x424, 0x428, 0x42C, 0x480),
    *(FE_DMA_STATUS, FE_DMA_DEBUG_STATE, FE_DMA_ADDRESS, FE_DMA_LOW, FE_DMA_HIGH, 0x670),
)

CLOCK_IDLE = 0x30000 | 0x40 << 2  # full clock, both pipes idle
AXI_DEFAULT = 0x2200  # what the kernel writes to HI_AXI_CONFIG
ALL_INTERRUPTS = 0xFFFFFFFF
ALL_IDLE = 0x7FFFFFFF
IDLE_BITS = {"FE": 0, "NN": 17, "TP": 18}  # of HI_IDLE_STATE: 1 = the unit is idle


class FrontEndState(enum.IntEnum):
    """The low five bits of FE_DMA_DEBUG_STATE."""

    IDLE = 0x00
    DECODE = 0x01
    LOAD_STATE = 0x03
    WAIT_FOR_FIFO = 0x11
    WAIT = 0x12
    LINK = 0x13
    END = 0x14
    STALL = 0x15
