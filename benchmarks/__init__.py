# SPDX-License-Identifier: MIT
"""How fast is it? `python -m benchmarks` prints the whole table."""
