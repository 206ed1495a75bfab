# SPDX-License-Identifier: MIT
"""``hornito compile``: from a model to a submission file."""

import argparse

from hornito.cli.memory import keep_freed_memory
from hornito.cli.options import (
    add_json,
    add_plan_options,
    counted,
    file_name,
    keep_apart,
    plan_options,
    print_json,
    remark,
)
from hornito.errors import Unsupported


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a .tflite file, or the name of a fetched model")
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=file_name, required=True, help="the submission file (.npz) to write"
    )
    add_plan_options(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.compiler import nothing_for_npu
    from hornito.model import find_model, read_model
    from hornito.runtime import CompiledModel
    from hornito.stream import write_archive

    keep_freed_memory()
    model = find_model(options.model)
    keep_apart([options.output], [str(model)])
    graph = read_model(model)
    chosen = plan_options(options)
    wanted = CompiledModel(graph, chosen)
    if not wanted.from_cache and not wanted.plan.uses_npu:
        raise Unsupported(f"{graph.name}: {nothing_for_npu(wanted.plan)}; --device cpu runs it as it is")
    if constant := [index for index in graph.outputs if graph.tensor(index).is_constant]:
        raise Unsupported(f"{graph.name}: output T#{constant[0]} is a constant, which a submission file can't give")
    archive, facts = wanted.result()
    write_archive(options.output, archive)
    counts = {
        "output": options.output,
        "chip": chosen.chip.name,
        "submissions": len(archive.submissions),
        "segments": len(archive.segments),
        "jobs": facts.jobs,
        "cpu_operators": facts.cpu_operators,
        "from_cache": wanted.from_cache,
    }
    if off := facts.sharing:
        remark(f"hornito: {graph.name}: {off}")
    if options.json:
        print_json(counts)
    else:
        remark(
            f"{options.output}: {counted(counts['jobs'], 'job')} in {counted(counts['submissions'] - 1, 'submission')} "
            f"for {counts['chip']}, {counted(counts['cpu_operators'], 'operator')} on the CPU"
        )
    return 0
