# SPDX-License-Identifier: MIT
"""How does a command that takes one model see many, under one supervisor? This program runs it for each, and between
two makes a call of its own on the render node, by which the recording can be cut into pieces.

``main`` is given SECONDS MODEL... -- COMMAND...: beside each model a file ``.status`` tells how the command ended.
``{model}`` in the command stands for the model's path; without it, that is the last argument.
"""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from hornito.uapi import drm
from hornito.uapi.kernel import RealKernel

PLACE = "{model}"
_TOLD = 4000  # bytes of what a command printed last


def mark() -> None:
    """Make the call that no client is to be blamed for: it is known by this process."""
    kernel = RealKernel()
    fd = kernel.open(drm.RENDER_NODE, os.O_RDWR)
    try:
        drm.VERSION(kernel, fd)
    finally:
        kernel.close(fd)


def command_for(command: Sequence[str], model: str) -> list[str]:
    """The command with the model's path in its place."""
    if not any(PLACE in argument for argument in command):
        return [*command, model]
    return [argument.replace(PLACE, model) for argument in command]


def main(arguments: Sequence[str]) -> None:
    """Run it for each model."""
    split = arguments.index("--")
    seconds, models, command = float(arguments[0]), arguments[1:split], arguments[split + 1 :]
    for model in models:
        mark()
        status = {"runner": os.getpid()} | run(command_for(command, model), seconds)
        Path(model).with_suffix(".status").write_text(json.dumps(status), "utf-8")


def run(command: Sequence[str], seconds: float) -> dict[str, int | str]:
    """How it ended: its status (negative: by which signal), and what it said last. That goes to a file: whoever it left
    behind may keep a pipe open for as long as they like."""
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            return {"status": 127, "said": f"{command[0]}: {error.strerror}"}
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return {"status": process.wait(), "said": f"it took more than {seconds:g} seconds"}
        return {"status": process.returncode, "said": _last_line(output)}


def _last_line(file: IO[bytes]) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - _TOLD))
    text = file.read(_TOLD).decode(errors="replace").strip()
    return text.splitlines()[-1] if text else ""
