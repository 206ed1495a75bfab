# SPDX-License-Identifier: MIT
"""Where Hornito keeps files, and how it writes them; what it keeps from one start to the next. Open to all packages."""

from hornito.files.reading import check_ordinary
from hornito.files.store import LIMIT_VARIABLE, Store, cache_limit
from hornito.files.trust import make_folder, private_folder
from hornito.files.writing import atomic_writer, cache_directory, model_directories, write_atomically

__all__ = [
    "LIMIT_VARIABLE",
    "Store",
    "atomic_writer",
    "cache_directory",
    "cache_limit",
    "check_ordinary",
    "make_folder",
    "model_directories",
    "private_folder",
    "write_atomically",
]
