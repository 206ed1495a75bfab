# SPDX-License-Identifier: MIT
"""Which device can be given to a tree of processes? The virtual one, or one that looks on as it works."""

from collections.abc import Callable
from typing import Protocol

from hornito.supervisor.caller import RemoteCaller
from hornito.virtual.etnaviv.caller import FileIdentity
from hornito.virtual.etnaviv.client import OpenFile
from hornito.virtual.etnaviv.pool import Pool


class Served(Protocol):
    """As ``VirtualDevice`` (hornito.virtual.etnaviv.device), whose docstrings say what each does."""

    @property
    def pool(self) -> Pool: ...

    def open(self) -> OpenFile: ...

    def file(self, number: int) -> OpenFile | None: ...

    def sweep(self) -> list[OpenFile]: ...

    def call(self, file: OpenFile, request: int, arg: int, caller: RemoteCaller) -> None: ...

    def is_sync_file(self, identity: FileIdentity) -> bool: ...

    def is_dma_buf(self, identity: FileIdentity) -> bool: ...

    def sync_call(self, identity: FileIdentity, request: int, arg: int, caller: RemoteCaller) -> None: ...

    def tell(self, logged: Callable[[str], None] | None, dumped: Callable[[bytes], None] | None) -> None: ...

    def rearm(self) -> None: ...
