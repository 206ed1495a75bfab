# SPDX-License-Identifier: MIT
"""Which of the ways to carry out jobs is the fastest, by the cost model? Plan level fast asks; others get the reference
driver's answer. Deterministic; what was found for a job is kept in memory for others like it."""

from hornito.compiler.search.division import divide
from hornito.compiler.search.seconds import Alternative, fastest, seconds
from hornito.compiler.search.shapings import shaping_of

__all__ = ["Alternative", "divide", "fastest", "seconds", "shaping_of"]
