# SPDX-License-Identifier: MIT
"""What does plan level fast change about a segment's jobs as a whole, once every operator has its own?

Each file has one kind of change; none changes a byte of any result. A change that needs the TP cores is not made where
the CPU moves bytes in their place.
"""

from hornito.compiler.options import Options, Unit
from hornito.compiler.rewrites.borders import fold_borders
from hornito.compiler.rewrites.clamps import fold_clamps
from hornito.compiler.rewrites.cores import use_all_cores
from hornito.compiler.rewrites.flow import Jobs, Rewrite
from hornito.compiler.rewrites.merges import merge_moves
from hornito.compiler.rewrites.order import order_jobs
from hornito.compiler.rewrites.passing import pass_planes

__all__ = ["Jobs", "Rewrite", "pass_planes", "rewritten"]


def rewritten(jobs: Jobs, options: Options) -> tuple[Jobs, list[Rewrite]]:
    """The jobs of a segment after all changes, and what was changed, in order."""
    jobs, found = fold_clamps(jobs, options)
    if Unit.TP in options.disabled:
        return jobs, found
    for change in (merge_moves, fold_borders, merge_moves, use_all_cores, order_jobs):
        jobs, more = change(jobs, options)
        found += more
    return jobs, found
