# SPDX-License-Identifier: MIT
"""Which device can be given to a tree of processes? The virtual one, the machine's own by way of us, or one that looks
on as either works."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from hornito.virtual.etnaviv.caller import Caller, FileIdentity

F = TypeVar("F", bound="ServedFile")


class ServedFile(Protocol):
    """One open file of a device."""

    @property
    def number(self) -> int:
        """Which one: no other ever has the same."""

    @property
    def client_fd(self) -> int:
        """The descriptor that its client gets, where the device has opened it."""


class ServedCaller(Caller, Protocol):
    """A caller that also says which of its calls that is."""

    @property
    def ticket(self) -> int:
        """A number that no other call has; a call that is made again after ``Pending`` keeps its own."""

    @property
    def descriptor(self) -> int:
        """On which of its descriptors the call is made."""


class PassOn(Exception):
    """The call is the kernel's own business: it is to do it as if nobody had looked."""


class Served(Protocol[F]):
    """As ``VirtualDevice`` (hornito.virtual.etnaviv.device), whose docstrings say what each does; calls of a device may
    also raise ``PassOn``."""

    @property
    def wake_fd(self) -> int: ...

    def open(self) -> F: ...

    def find(self, pid: int, fd: int) -> F | None: ...

    def find_other(self, caller: ServedCaller, fd: int) -> FileIdentity | None: ...

    def sweep(self) -> Sequence[F]: ...

    def call(self, file: F, request: int, arg: int, caller: ServedCaller) -> None: ...

    def sync_call(self, identity: FileIdentity, request: int, arg: int, caller: ServedCaller) -> None: ...

    def tell(self, logged: Callable[[str], None] | None, dumped: Callable[[bytes], None] | None) -> None: ...

    def rearm(self) -> None: ...

    @property
    def unfinished(self) -> bool:
        """There is something to do that can wait until nobody has called for some milliseconds."""

    def rest(self) -> None:
        """Do it."""
