# SPDX-License-Identifier: MIT
"""A ``Device`` at the other end of a socket: addresses, what travels, the client. ``hornito.server`` is its peer."""

from hornito.remote.address import Address, is_remote
from hornito.remote.client import RemoteDevice

__all__ = ["Address", "RemoteDevice", "is_remote"]
