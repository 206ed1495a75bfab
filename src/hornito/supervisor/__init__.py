# SPDX-License-Identifier: MIT
"""Gives unmodified programs a virtual render node, by seccomp user notification."""

from hornito.supervisor.launch import can_be_found
from hornito.supervisor.records import Records
from hornito.supervisor.supervise import run_program

__all__ = ["Records", "can_be_found", "run_program"]
