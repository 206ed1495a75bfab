# SPDX-License-Identifier: MIT
"""How is long output shown to a person? By a pager, in colour, on a terminal; plainly elsewhere, as git does.

``$PAGER`` names the pager (``less -FRX`` where it is not set, none where it is empty or ``cat``); ``$NO_COLOR`` turns
colours off.
"""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import IO

_LESS = ("less", "-FRX")


def wants_colour(choice: str) -> bool:
    """``--color``: always, never, or auto: on a terminal unless $NO_COLOR says otherwise."""
    if choice != "auto":
        return choice == "always"
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stdout.isatty()


@contextlib.contextmanager
def paged(wanted: bool) -> Iterator[IO[str]]:
    """What to write long output to: a pager's input on a terminal, else stdout. A pager that is left early ends the
    output, not the program."""
    command = _command() if wanted and sys.stdout.isatty() else ()
    if not command:
        yield sys.stdout
        return
    environment = os.environ | {"LESS": os.environ.get("LESS", "FRX"), "LV": os.environ.get("LV", "-c")}
    sys.stdout.flush()
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, env=environment)
    except OSError:
        yield sys.stdout
        return
    assert process.stdin is not None
    try:
        with contextlib.suppress(BrokenPipeError):
            yield process.stdin
    finally:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        _wait(process)


def _command() -> tuple[str, ...]:
    named = os.environ.get("PAGER")
    if named is None:
        return _LESS if shutil.which(_LESS[0]) else ()
    try:
        words = tuple(shlex.split(named))
    except ValueError:
        return ()
    return () if words[:1] in ((), ("cat",)) else words


def _wait(process: "subprocess.Popen[str]") -> None:
    """Wait for the pager to be left; an interrupt is for it, not for us."""
    while True:
        try:
            process.wait()
            return
        except KeyboardInterrupt:
            continue
