# SPDX-License-Identifier: MIT
"""Gives unmodified programs a virtual render node, by seccomp user notification."""

from hornito.supervisor.supervise import run_program

__all__ = ["run_program"]
