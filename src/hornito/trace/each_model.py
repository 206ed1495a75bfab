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
from collections.abc import Sequence
from pathlib import Path

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
        status = {"runner": os.getpid()} | _run(command_for(command, model), seconds)
        Path(model).with_suffix(".status").write_text(json.dumps(status), "utf-8")


def _run(command: Sequence[str], seconds: float) -> dict[str, int | str]:
    """How it ended: its status (negative: by which signal), and what it said last."""
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
    except OSError as error:
        return {"status": 127, "said": f"{command[0]}: {error.strerror}"}
    late = False
    try:
        said, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        late = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
    text = said[-_TOLD:].decode(errors="replace").strip()
    last = text.splitlines()[-1] if text else ""
    return {"status": process.returncode, "said": f"it took more than {seconds:g} seconds" if late else last}
