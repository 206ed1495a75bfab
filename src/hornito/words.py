# SPDX-License-Identifier: MIT
"""How is a count said? In any layer's results and errors."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """``1 run``, ``2 runs``; ``plural`` where an s is not enough."""
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"
