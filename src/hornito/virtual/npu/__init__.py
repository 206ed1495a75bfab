# SPDX-License-Identifier: MIT
"""The virtual NPU's engines: front end, units, and the arithmetic between a descriptor and its output bytes."""
