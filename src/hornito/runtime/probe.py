# SPDX-License-Identifier: MIT
"""Does LiteRT survive this model? Run as a program: the model comes on stdin, a crash is the answer.

LiteRT is native code that trusts a model's contents; what would take a user's process down takes this one instead.
"""

import hashlib
import os
import subprocess
import sys
from typing import Any

from hornito.errors import BadInput
from hornito.files import cache_directory, make_folder, write_atomically

TIME_LIMIT = 120  # seconds
MEMORY_LIMIT = 16 << 30  # bytes of address space
DEFAULT_RESOLVER = "AUTO"
SURVIVED, REFUSED = 0, 3  # exit codes; Python's own failures are 1 and 2


def check(model: bytes, name: str, resolver: Any = None, digest: str | None = None) -> None:
    """Try ``model`` once in a process of its own; a model that passed is known by its content from then on.

    ``resolver``: which kernels LiteRT is to use, an ``OpResolverType``; ``digest``: the model's SHA-256 (hexadecimal),
    where that is known. Raises BadInput where LiteRT crashes on the
    model or does not come back. What LiteRT itself refuses is left to it.
    """
    if not sys.executable:
        return
    kernels = getattr(resolver, "name", DEFAULT_RESOLVER)
    digest = digest or hashlib.sha256(model).hexdigest()
    known = hashlib.sha256(f"{_version()}:{kernels}:{digest}".encode()).hexdigest()
    marker = cache_directory() / "probed" / known
    if marker.exists():
        return
    try:
        result = subprocess.run(
            # -P: nothing is imported from the folder of this file, nor from the one that the user happens to be in.
            [sys.executable, "-P", "-W", "ignore", os.path.abspath(__file__), kernels],
            input=model,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=TIME_LIMIT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(os.path.abspath(folder) for folder in sys.path)},
        )
    except subprocess.TimeoutExpired:
        raise BadInput(f"{name}: LiteRT does not finish it within {TIME_LIMIT} s; convert the model again") from None
    if result.returncode not in (SURVIVED, REFUSED):
        code = result.returncode
        end = f"signal {-code}" if code < 0 else f"exit code {code}"
        raise BadInput(f"{name}: LiteRT crashes on it ({end}); convert the model again")
    try:
        make_folder(marker.parent)
        write_atomically(marker, b"")
    except (OSError, BadInput):
        pass  # it is only a note that saves the next probe


def _version() -> str:
    import ai_edge_litert

    if found := getattr(ai_edge_litert, "__version__", None):
        return str(found)
    from importlib.metadata import version  # slower

    return version("ai-edge-litert")


def main() -> int:
    """Load the model on stdin with the kernels that the first argument names, and run it once on what memory holds."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = MEMORY_LIMIT if hard == resource.RLIM_INFINITY else min(MEMORY_LIMIT, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit if soft == resource.RLIM_INFINITY else min(soft, limit), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    try:
        interpreter = Interpreter(
            model_content=sys.stdin.buffer.read(),
            num_threads=1,
            experimental_op_resolver_type=OpResolverType[sys.argv[1]],
        )
        interpreter.allocate_tensors()
        interpreter.invoke()
    except (ValueError, RuntimeError, MemoryError):
        return REFUSED  # the caller's own LiteRT will say the same
    return SURVIVED


if __name__ == "__main__":
    sys.exit(main())
