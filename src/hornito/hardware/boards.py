# SPDX-License-Identifier: MIT
"""On which boards does the NPU have to be switched on first, and how? By what their device trees say of the SoC.

Sources: Linux, meson-g12-common.dtsi (the node ``npu`` and its status; commit 507b3e756ffc, Linux 6.9, for the clocks;
the review of its first version, December 2022, for why boards leave it off) and imx8mp.dtsi (the node ``npu``, and the
fuse NPU_DISABLE).
"""

from collections.abc import Sequence
from dataclasses import dataclass

CORE_COMPATIBLE = "vivante,gc"  # of a node that the etnaviv driver takes
OKAY = ("", "okay", "ok")  # the status of a node that is enabled; none at all is one too
VENDOR_DRIVER = "galcore"  # the vendor's own kernel driver, part of its nodes' "compatible"


@dataclass(frozen=True)
class Soc:
    """A SoC with an NPU. ``compatible`` is its own entry in the root of the device tree; ``source``: a file of Linux.

    ``disabled``: mainline device trees leave the NPU switched off. ``clocks``: what its clocks should run at.
    """

    compatible: str
    name: str
    node: str
    disabled: bool
    clocks: str
    note: str
    source: str

    @property
    def cure(self) -> str:
        """How a user enables the NPU, in one sentence."""
        if not self.disabled:
            return f"{self.source} enables its NPU ({self.node}), so look in the board's own device tree; {self.note}"
        return (
            f"the device tree leaves its NPU off: in the board's .dts (or an overlay) write "
            f"'&npu {{ status = \"okay\"; }};' for {self.node}, with {self.clocks}; {self.note}"
        )


_AMLOGIC_CLOCKS = (
    "assigned-clock-rates of 800 MHz for CLKID_NNA_CORE_CLK and CLKID_NNA_AXI_CLK (in Linux 6.9 and newer they are; "
    "before, the NPU runs at 24 MHz)"
)
_AMLOGIC_NOTE = "then rebuild the device tree and restart"
SOCS: tuple[Soc, ...] = (
    Soc(
        "amlogic,a311d",
        "Amlogic A311D",
        "npu@ff100000",
        True,
        _AMLOGIC_CLOCKS,
        _AMLOGIC_NOTE,
        "meson-g12-common.dtsi",
    ),
    Soc(
        "amlogic,sm1",
        "Amlogic S905D3",
        "npu@ff100000",
        True,
        _AMLOGIC_CLOCKS,
        _AMLOGIC_NOTE,
        "meson-g12-common.dtsi",
    ),
    Soc(
        "fsl,imx8mp",
        "NXP i.MX8M Plus",
        "npu@38500000",
        False,
        "core and bus at 800 MHz or more",
        "variants of the SoC without an NPU exist (fuse NPU_DISABLE)",
        "imx8mp.dtsi",
    ),
)


def find_soc(compatible: Sequence[str]) -> Soc | None:
    """The SoC of a board with these "compatible" entries in its device tree's root, or None for one not known here."""
    return next((soc for soc in SOCS if soc.compatible in compatible), None)
