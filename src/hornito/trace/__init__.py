# SPDX-License-Identifier: MIT
"""Recordings of what programs send to an NPU: kept, imported, shown, compared."""
