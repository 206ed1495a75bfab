# SPDX-License-Identifier: MIT
"""``hornito trace record``: what a program sends to an NPU, kept in a file."""

import argparse
import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hornito import __version__
from hornito.cli.exec import add_virtual_node, program, run_on_virtual_node, tell_recorded
from hornito.cli.options import file_name, remark
from hornito.errors import BadInput, DeviceError, HornitoError, Unsupported

if TYPE_CHECKING:
    from hornito.supervisor.served import Served

_VIRTUAL, _AUTO = "virtual", "auto"
_VIRTUAL_ALONE = ("chip", "fault", "kmsg", "coredump")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "hornito trace record [options] -o F -- PROGRAM ARGS..."
    parser.epilog = (
        "With a real device, the program opens the node itself, and each of its calls is made for it; --chip, --fault, "
        "--kmsg and --coredump are the virtual device's alone. The exit status is the program's; 125 for failures of "
        "the recording itself."
    )
    parser.add_argument("-o", "--output", metavar="F", type=file_name, required=True, help="the recording (.trace)")
    parser.add_argument(
        "--device",
        metavar="NAME",
        default=_VIRTUAL,
        help="virtual: as 'hornito exec' (the default); a node of this machine such as /dev/dri/renderD128; auto: the "
        "first one that has an NPU, or else the virtual one",
    )
    add_virtual_node(parser)


def run(options: argparse.Namespace) -> int:
    if options.device == _VIRTUAL:
        return run_on_virtual_node(options, options.output, tell=True)
    if options.device != _AUTO and not options.device.startswith("/"):
        raise BadInput(
            f"--device {options.device}: programs can be recorded on the virtual device (virtual) and on nodes of this "
            "machine such as /dev/dri/renderD128 (auto: the first with an NPU)"
        )
    command = program(options)
    node = _find_node(options.device)
    if node.path == _VIRTUAL:
        from hornito.hardware.chips import DEFAULT_CHIP, find_chip

        remark(f"device: {node.path} ({find_chip(options.chip or DEFAULT_CHIP).name})")
        return run_on_virtual_node(options, options.output, tell=True)
    given = [f"--{name}" for name in _VIRTUAL_ALONE if getattr(options, name)]
    if given:
        raise BadInput(f"{given[0]} with --device {options.device}: only the virtual device has that; leave it out")
    remark(f"device: {node.path} ({node.chip or 'no NPU that Hornito knows'})")
    from hornito.supervisor import can_be_found, run_program

    if not can_be_found(command):
        return run_on_virtual_node(options, None)  # that it can't be started is told there; an older recording stays
    made: list[Served[Any]] = []
    status = run_program(command, lambda: _relayed(node, command, options.output, made), own_node=True)
    tell_recorded(node.path, options.output, made, status)
    return status


@dataclass(frozen=True)
class _Node:
    """A node, or the virtual one; its chip's name, if that is known."""

    path: str
    chip: str


@contextlib.contextmanager
def _relayed(node: _Node, command: Sequence[str], trace: str, made: "list[Served[Any]]") -> Iterator["Served[Any]"]:
    """The node, recorded to the file ``trace``; it is added to ``made``."""
    from hornito.supervisor.relay.device import RelayedDevice
    from hornito.supervisor.relay.files import NodeByNumber
    from hornito.trace.recorded_relay import recorded_node
    from hornito.uapi.kernel import RealKernel

    device = RelayedDevice(RealKernel(), NodeByNumber(node.path))
    with recorded_node(device, trace, node.chip, command, f"hornito {__version__}") as recorded:
        made.append(recorded)
        yield recorded


def _find_node(name: str) -> _Node:
    """The node that is meant. Asked for in a child: what it takes to find out starts threads, and none may run here
    when the program is forked. Raises DeviceError."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            os.write(writer, json.dumps(_look(name)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        content = answer.read()
    os.waitpid(child, 0)
    found = json.loads(content or b'{"error": "the device could not be looked at"}')
    if "error" in found:
        raise DeviceError(found["error"])
    return _Node(**found)


def _look(name: str) -> dict[str, str]:
    """The fields of a ``_Node``, or {"error": one line}."""
    from hornito.driver.node import look_at
    from hornito.runtime.devices import resolve
    from hornito.uapi.kernel import RealKernel

    try:
        path = resolve(name)
        if path == _VIRTUAL:
            return {"path": path, "chip": ""}  # the chosen one
        node = look_at(RealKernel(), path)
        if not node.is_etnaviv:
            return {"error": f"{path}: a node of the driver {node.driver!r}, not of etnaviv; name another --device"}
        chip = ""
        with contextlib.suppress(Unsupported):  # what an NPU that nobody knows is sent is worth seeing too
            chip = node.npu()[1].name
        return {"path": path, "chip": chip}
    except HornitoError as error:
        return {"error": str(error)}
