# SPDX-License-Identifier: MIT
"""What does a TFLite delegate make of models? Arguments: the delegate, a file with a path of a model on each line; and,
if they are to be fed a picture instead of noise, that (.npy). Prints a JSON line a model.

A stranger's client: LiteRT alone, with the delegate and without.
"""

import contextlib
import json
import os
import sys
import zlib
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType, load_delegate


def prepare(path: str, **options: Any) -> Any:
    interpreter = Interpreter(path, num_threads=1, **options)
    interpreter.allocate_tensors()
    return interpreter


def compare(delegate: Any, path: str, picture: "np.ndarray[Any, Any] | None") -> dict[str, Any]:
    """Worst difference of the outputs to the reference kernels', and the operators that are left outside."""
    given = prepare(path, experimental_delegates=[delegate])
    kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if picture is None else OpResolverType.BUILTIN_REF
    judge = prepare(path, experimental_op_resolver_type=kernels)  # of single operators they differ by 1 at most
    seed = zlib.crc32(os.path.basename(path).encode())
    for one, other in zip(given.get_input_details(), judge.get_input_details(), strict=True):
        noise = np.random.default_rng(seed).integers(0, 256, one["shape"], dtype=np.uint8)
        value = noise if picture is None else picture
        given.set_tensor(one["index"], value)
        judge.set_tensor(other["index"], value)
    given.invoke()
    judge.invoke()
    worst, best = 0, []
    for one, other in zip(given.get_output_details(), judge.get_output_details(), strict=True):
        found, right = (i.get_tensor(d["index"]).astype(float) for i, d in ((given, one), (judge, other)))
        worst = max(worst, int(np.abs(found - right).max()))
        best.append(int(found.argmax()))
    names = [operator["op_name"] for operator in given._get_ops_details()]
    return {"path": path, "worst": worst, "best": best, "delegated": "DELEGATE" in names}


def main(library: str, models: str, picture: str | None = None) -> None:
    fed = None if picture is None else np.load(picture)
    with open(models, encoding="utf-8") as file:
        paths = file.read().split("\n")
    for path in filter(None, paths):
        # One each, as a program has it: an opened node, a context of its own.
        delegate = load_delegate(library)
        with contextlib.redirect_stdout(sys.stderr):
            result = compare(delegate, path, fed)
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
