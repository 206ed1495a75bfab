# SPDX-License-Identifier: MIT
"""ADD of tensors of any size, and with an activation: which can the NPU run, and as which jobs?

Where the proven forms hold both tensors they stay, with the clamp that an activation asks for. Else both versions of
the unit see the tensors' bytes as two planes of an image of full rows, and what is left of a last row in a job of its
own. The planes need not be directly behind each other, so rows of any width will do.

Source: databook, lowering.md ("ADD": several jobs on row ranges; "Limits a better driver should lift": the form of
version 7 on version 8, activations). Inferred.
"""

import dataclasses
from collections.abc import Sequence

from hornito.compiler.bands import MAX_FRAME, Rows, in_rows
from hornito.compiler.operators import addition, common
from hornito.compiler.operators.convolution import activation_rule
from hornito.compiler.rules import Candidate, Rule, shapes
from hornito.compiler.segment import Segment, shape_of
from hornito.compiler.tasks import Convolution
from hornito.model.graph import Activation, AddOptions

_SHARED = {rule.need: rule for rule in addition.RULES}
_PROVEN_ONLY = {addition.NO_ACTIVATION, addition.IMAGE, addition.SIZES}


def _activation(c: Candidate) -> Activation:
    options = c.operator.options
    return options.activation if isinstance(options, AddOptions) else Activation.NONE


RULES: tuple[Rule, ...] = (
    *(rule for need, rule in _SHARED.items() if need not in _PROVEN_ONLY),
    activation_rule(_activation),
    Rule(
        f"at most {MAX_FRAME} rows, columns and channels",
        lambda c: max(c.source.shape) <= MAX_FRAME,
        lambda c: shapes(c.source),
    ),
)


def lower(segment: Segment, c: Candidate) -> None:
    """Both inputs behind each other; one convolution, or one for full rows and one for the rest."""
    relu = _activation(c) is not Activation.NONE
    fits = all(_SHARED[need].holds(c) for need in (addition.IMAGE, addition.SIZES))
    bands, gap = ((), 0) if fits else in_rows(shape_of(c.source).bytes, common.MAX_SIZE)

    def make(c: Candidate, source: int, target: int) -> Sequence[Convolution]:
        whole = [addition.whole(c, source, target)] if fits else [_band(c, (source, target), own) for own in bands]
        return [dataclasses.replace(job, relu=relu) for job in whole]

    addition.lower_as(segment, c, make, gap)


def _band(c: Candidate, places: tuple[int, int], band: Rows) -> Convolution:
    rows, columns = band.size
    first = band.frame.offset
    piece = f"bytes {first} to {first + rows * columns - 1}"
    job = addition.on_planes(c, places, band.size, (columns, rows))
    return dataclasses.replace(job, seen=band.frame, written=band.frame, piece=piece)
