# SPDX-License-Identifier: MIT
"""Where Hornito keeps files, and how it writes them; what it keeps from one start to the next. Open to all packages."""

from hornito.files.store import LIMIT_VARIABLE, Store, cache_limit
from hornito.files.writing import atomic_writer, cache_directory, model_directories, write_atomically

__all__ = [
    "LIMIT_VARIABLE",
    "Store",
    "atomic_writer",
    "cache_directory",
    "cache_limit",
    "model_directories",
    "write_atomically",
]
