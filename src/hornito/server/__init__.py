# SPDX-License-Identifier: MIT
"""Lends a device of this machine to clients at the other end of a socket; ``hornito.remote`` is the client."""

from hornito.server.service import Limits, Server

__all__ = ["Limits", "Server"]
