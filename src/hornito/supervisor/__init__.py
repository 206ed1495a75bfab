# SPDX-License-Identifier: MIT
"""Gives unmodified programs a virtual render node, by seccomp user notification."""

from hornito.supervisor.records import Records
from hornito.supervisor.supervise import run_program

__all__ = ["Records", "run_program"]
