# SPDX-License-Identifier: MIT
"""Lets programs use the machine's own render node by way of the supervisor, which sees each call and what it gives."""
