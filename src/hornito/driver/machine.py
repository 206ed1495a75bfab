# SPDX-License-Identifier: MIT
"""Which render nodes does this machine have, and what does its device tree say of an NPU?"""

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hornito.hardware.boards import CORE_COMPATIBLE, OKAY, VENDOR_DRIVER, find_soc
from hornito.uapi.kernel import Kernel, RealKernel

_DEEPEST = 4  # levels of the device tree below which no core lies


@dataclass(frozen=True)
class Board:
    """What the device tree says. ``npu``: path of an NPU's node in it, "" if there is none; ``enabled``: its status;
    ``vendor``: there is a node for the vendor's own kernel driver."""

    model: str
    compatible: tuple[str, ...]
    npu: str = ""
    enabled: bool = False
    vendor: bool = False

    @property
    def is_known(self) -> bool:
        """Its SoC is known to have an NPU."""
        return find_soc(self.compatible) is not None


@dataclass(frozen=True)
class Machine:
    """Where to look: the folder of nodes, sysfs, the device tree, and the kernel that opens nodes. ``timeout``: how
    many seconds a job there may take; None: as long as its kernel lets it."""

    nodes: Path = Path("/dev/dri")
    sysfs: Path = Path("/sys")
    device_tree: Path = Path("/proc/device-tree")
    kernel: Callable[[], Kernel] = RealKernel
    timeout: float | None = None

    def render_nodes(self) -> list[str]:
        """Paths of all render nodes, whatever their driver is, in order of their numbers."""
        try:
            names = os.listdir(self.nodes)
        except OSError:
            return []
        numbers = [name.removeprefix("renderD") for name in names if name.startswith("renderD")]
        return [f"{self.nodes}/renderD{number}" for number in sorted(filter(str.isdecimal, numbers), key=int)]

    def driver(self, node: str) -> str | None:
        """The kernel driver of a render node as sysfs has it, or None where it does not say."""
        places = [self.sysfs / "class" / "drm" / Path(node).name]
        with contextlib.suppress(OSError):
            status = os.stat(node)
            if stat.S_ISCHR(status.st_mode):
                number = status.st_rdev
                places.insert(0, self.sysfs / "dev" / "char" / f"{os.major(number)}:{os.minor(number)}")
        for place in places:
            with contextlib.suppress(OSError):
                return Path(os.readlink(place / "device" / "driver")).name
        return None

    def board(self) -> Board | None:
        """What the device tree says; None on machines without one."""
        compatible = _strings(self.device_tree / "compatible")
        model = _strings(self.device_tree / "model")
        if not compatible and not model:
            return None
        npu, enabled, vendor = "", False, False
        for path, kinds in self._kinds():
            vendor = vendor or any(VENDOR_DRIVER in kind for kind in kinds)
            if CORE_COMPATIBLE in kinds and path.name.startswith("npu") and not enabled:
                npu = f"/{path.relative_to(self.device_tree)}"
                enabled = "".join(_strings(path / "status")) in OKAY
        return Board(" ".join(model), compatible, npu, enabled, vendor)

    def _kinds(self) -> Iterator[tuple[Path, tuple[str, ...]]]:
        """Every node of the device tree with its "compatible" strings."""
        for folder, below, files in os.walk(self.device_tree):
            path = Path(folder)
            if len(path.relative_to(self.device_tree).parts) >= _DEEPEST:
                below.clear()
            if "compatible" in files:
                yield path, _strings(path / "compatible")

    def cure(self) -> str:
        """What to do where no node of an NPU is, as one sentence."""
        board = self.board()
        if board is None:
            return "is the kernel's etnaviv driver loaded, and the NPU enabled in the device tree?"
        name = board.model or board.compatible[0]
        soc = find_soc(board.compatible)
        if board.npu and board.enabled:
            return f"{name}: its device tree enables the NPU ({board.npu}); load the driver: sudo modprobe etnaviv"
        if board.vendor:
            return f"{name}: this kernel is for the vendor's driver {VENDOR_DRIVER}; start a mainline one, with etnaviv"
        if soc is not None:
            return f"{name}: {soc.cure}"
        if board.npu:
            return f'{name}: its device tree has an NPU, but leaves it off; set the status of {board.npu} to "okay"'
        return f"{name}: its device tree has no NPU that the etnaviv driver could take"


def _strings(path: Path) -> tuple[str, ...]:
    """The strings of a device tree's property; none if it is not there."""
    content = b""
    with contextlib.suppress(OSError):
        content = path.read_bytes()
    return tuple(part.decode("utf-8", "replace") for part in content.split(b"\0") if part)
