# SPDX-License-Identifier: MIT
"""The virtual kernel's etnaviv driver: what it answers to ioctls, and what becomes of a submission."""
