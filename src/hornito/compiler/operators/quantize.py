# SPDX-License-Identifier: MIT
"""QUANTIZE from one quantisation to another: of the same scale a move that shifts the zero point, or a view.

Source: databook, tp-descriptor.md ("zero-point shifts (in_zp != out_zp, saturating)"); rescale.py for other scales.
"""

from hornito.compiler.operators import common, rescale, strided
from hornito.compiler.operators.strided import Walks
from hornito.compiler.rules import Candidate, Rule, shapes
from hornito.compiler.segment import Segment, Steps
from hornito.compiler.tasks import Walk
from hornito.model.graph import Tensor


def _scales(c: Candidate) -> list[float]:
    return [tensor.quantization.scale for tensor in strided.moved(c) if tensor.quantization]


def _walks(c: Candidate, target: Tensor) -> Walks:
    def walks(before: Steps, after: Steps) -> tuple[Walk, ...]:
        return (Walk(0, 0, strided.copied(target.shape, before, after)),)

    return walks


RULES: tuple[Rule, ...] = (
    common.NN_IN_USE,
    common.computed(lambda c: [c.source]),
    Rule(
        "an input and an output of uint8 or int8",
        lambda c: {tensor.type_name for tensor in strided.moved(c)} <= {"UINT8", "INT8"},
        lambda c: ", ".join(tensor.type_name for tensor in strided.moved(c)),
    ),
    strided.fixed(strided.moved),
    Rule("an output of the input's sizes", lambda c: c.source.shape == c.target.shape, lambda c: shapes(c.target)),
    common.per_tensor("input and output", strided.moved),
    common.zero_points(strided.moved),
    rescale.factors_fit(strided.moved),
    strided.few(_walks),
)


def lower(segment: Segment, c: Candidate) -> None:
    """One move, or a view; where scales differ one convolution."""
    if len(set(_scales(c))) > 1:
        rescale.lower(segment, c)
        return
    strided.move(segment, c, c.source, c.target, _walks(c, c.target))
