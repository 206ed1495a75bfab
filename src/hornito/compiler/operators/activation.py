# SPDX-License-Identifier: MIT
"""RELU and RELU6 that stand alone: which can the NPU run, and as which jobs?

Source: rescale.py, with the clamp of the job (nn-descriptor.md, relu). Inferred.
"""

from hornito.compiler.operators import rescale, strided
from hornito.compiler.operators.convolution import activation_rule
from hornito.compiler.rules import Candidate, Rule, shapes
from hornito.compiler.segment import Segment
from hornito.model.graph import Activation

_ACTIVATIONS = {"RELU": Activation.RELU, "RELU6": Activation.RELU6}

RULES: tuple[Rule, ...] = (
    *strided.basics(same=False),
    Rule("an output of the input's sizes", lambda c: c.source.shape == c.target.shape, lambda c: shapes(c.target)),
    activation_rule(lambda c: _ACTIVATIONS[c.operator.kind]),
    rescale.factors_fit(lambda c: [c.source, c.target]),
)


def lower(segment: Segment, c: Candidate) -> None:
    """A convolution of one weight, on the bytes as they lie."""
    rescale.lower(segment, c, relu=True)
