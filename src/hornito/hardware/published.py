# SPDX-License-Identifier: MIT
"""How long do boards take? What others have published, and which of it the figures of ``timing`` were fitted to.

Source: databook, timing.md ("Published figures"), which names page and date of each.
"""

import enum
from dataclasses import dataclass


class Stage(enum.Enum):
    """What the driver that was measured could do. Later stages of Mesa's add to the earlier ones."""

    DENSE = "weights as they are, tiles as large as is safe"
    RUNS = "zero runs in the weights"
    CACHED = "the image cached in on-chip SRAM"
    VENDOR = "the vendor's own driver"


@dataclass(frozen=True)
class Published:
    """A time in milliseconds of a whole inference. ``fitted``: one of those that figures were fitted to; ``remark``:
    what makes it hard to compare."""

    chip: str
    network: str
    stage: Stage
    milliseconds: float
    source: str
    fitted: bool = False
    remark: str = ""


MOBILENET_V1 = "mobilenet_v1_1.0_224_quant"
MOBILEDET = "ssdlite_mobiledet_coco_qat_postprocess"
_A311D, _IMX8MP = "vipnano-qi-88-0", "vipnano-si-plus-9f-6000000"
_BEFORE = "Mesa merge request 27513 (1.57 and 1.72 times what it reached), development notes of 2023/11 and 2024/01"
_WEIGHTS = "Mesa, Feb 2024, development notes, update 17"
_DOCS = "Mesa 25.0, teflon.rst"

PUBLISHED = (
    Published(_A311D, MOBILENET_V1, Stage.DENSE, 15.65, _BEFORE, fitted=True),
    Published(_A311D, MOBILENET_V1, Stage.RUNS, 9.9, _WEIGHTS, fitted=True),
    Published(_A311D, MOBILENET_V1, Stage.CACHED, 6.6, _DOCS, fitted=True),
    Published(
        _A311D, MOBILEDET, Stage.DENSE, 56.1, _BEFORE, remark="with more on the CPU, which took 5.7 ms when it went"
    ),
    Published(_A311D, MOBILEDET, Stage.RUNS, 27.0, _WEIGHTS),
    Published(_A311D, MOBILEDET, Stage.CACHED, 24.8, _DOCS),
    Published(_IMX8MP, MOBILENET_V1, Stage.CACHED, 7.9, _DOCS, fitted=True, remark="version 8 caches nothing"),
    Published(_IMX8MP, MOBILEDET, Stage.CACHED, 24.4, _DOCS, remark="version 8 caches nothing"),
    Published(_A311D, MOBILENET_V1, Stage.VENDOR, 5.5, _WEIGHTS, remark="other people's tests: 4.3 to 6.4"),
    Published(_A311D, MOBILEDET, Stage.VENDOR, 19.5, _WEIGHTS),
    Published(_IMX8MP, MOBILENET_V1, Stage.VENDOR, 2.3, "Tengine lite-v1.4"),
)

VENDOR_WORKLOAD = 6_224_800_000  # multiply-accumulates of MobileNetV1 on an A311D, in the vendor's documented profile
VENDOR_COEFFICIENTS = 5_630_000  # bytes of its coefficients there
