# SPDX-License-Identifier: MIT
"""How is long work shown? A bar on a terminal, plain lines elsewhere, nothing for work that turns out short."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from hornito.cli.options import remark

PATIENCE = 1.5  # seconds of work before anything is shown


class Progress:
    """Shows how much of one piece of work is done. ``of_bytes``: its amounts are bytes rather than steps; ``patience``:
    seconds of work before anything is shown."""

    def __init__(self, title: str, *, of_bytes: bool = False, patience: float = PATIENCE) -> None:
        self._title = title
        self._patience = patience
        self._of_bytes = of_bytes
        self._begin = time.monotonic()
        self._announced = False
        self._bar: Any = None
        self._task: Any = None

    def update(self, done: int, total: int | None) -> None:
        """``done`` of ``total`` (None: nobody knows) is done."""
        if not self._announced and time.monotonic() - self._begin < self._patience:
            return
        if not self._announced:
            self._announced = True
            if sys.stderr is not None and sys.stderr.isatty():
                self._open_bar()
            else:
                remark(f"{self._title} ...")
        if self._bar is not None:
            self._bar.update(self._task, completed=done, total=total)

    def _open_bar(self) -> None:
        # Imported only now: loading it takes longer than most commands.
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bars

        amount = DownloadColumn() if self._of_bytes else MofNCompleteColumn()
        columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeElapsedColumn())
        self._bar = Bars(*columns, console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(self._title, total=None)
        self._bar.start()

    def close(self) -> None:
        """Take the bar away, and say how long it took if anything was shown."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if self._announced:
            remark(f"{self._title}: {time.monotonic() - self._begin:.1f} s")
            self._announced = False


@contextlib.contextmanager
def shown(title: str, *, of_bytes: bool = False) -> Iterator[Progress]:
    """A ``Progress`` for the time of a block."""
    progress = Progress(title, of_bytes=of_bytes)
    try:
        yield progress
    finally:
        progress.close()


def preparation() -> Callable[[int, int, str], None]:
    """Follows the virtual NPU's arithmetic being compiled, which happens once on each machine."""
    progress: Progress | None = None

    def report(done: int, total: int, name: str) -> None:
        nonlocal progress
        if progress is None:  # what went before, such as reading the model, is no preparation
            # By now one part was compiled, so there is much to do.
            from hornito.virtual.npu.machine_code import kept

            once = ", once on this machine" if kept() else ""
            progress = Progress(f"preparing the virtual NPU{once}", patience=0.0)
        progress.update(done, total)
        if done >= total:
            progress.close()

    return report
