# SPDX-License-Identifier: MIT
"""Gives unmodified programs a virtual render node, by seccomp user notification."""
