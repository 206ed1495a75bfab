# SPDX-License-Identifier: MIT
"""Which jobs compute the channels of a layer whose weights have a scale for each? Rules and parts for its operators.

Source: grouping.py. Inferred.
"""

import math
import weakref
from collections.abc import Callable
from dataclasses import dataclass

from hornito.compiler.grouping import Scales, group_channels
from hornito.compiler.operators import common
from hornito.compiler.operators.convolution import factor_fits
from hornito.compiler.operators.general import Part
from hornito.compiler.rules import SIGN_SHIFT, Candidate, Rule, zero_point
from hornito.compiler.weights import Kernels
from hornito.model.graph import Graph, Quantization, Tensor

MAX_GROUPS = 32  # jobs of one operator; beyond, their starts cost more than the CPU takes
_known: "weakref.WeakKeyDictionary[Graph, dict[tuple[int, float], tuple[Part, ...]]]" = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Weighted:
    """Where an operator with weights has what its parts are made of: ``axis`` of the output channels in the weights,
    ``kernels`` as the model has them."""

    source: Callable[[Candidate], Tensor]
    weights: Callable[[Candidate], Tensor]
    axis: Callable[[Candidate], int]
    kernels: Callable[[Candidate], Kernels]

    def parts(self, c: Candidate) -> tuple[Part, ...]:
        """One part, or one a group of output channels; groups are worked out once for a network."""
        scales = self._scales(c)
        if len(scales.weights) == 1:
            kernels = self.kernels(c)
            return (Part(0, kernels, scales.factor(scales.weights[0]), kernels.count),)
        known = _known.setdefault(c.graph, {})
        key = c.operator.index, c.options.per_axis_error
        if key not in known:
            known[key] = _grouped(self.kernels(c), scales, c.options.per_axis_error)
        return known[key]

    def _scales(self, c: Candidate) -> Scales:
        source, weights, target = (_quantization(t) for t in (self.source(c), self.weights(c), c.target))
        return Scales(source.scale, weights.scales, target.scale, zero_point(self.source(c)))

    def _factors(self, c: Candidate) -> tuple[float, float]:
        """The least and the largest."""
        scales = self._scales(c)
        return scales.factor(min(scales.weights)), scales.factor(max(scales.weights))

    def _axis_fits(self, c: Candidate) -> bool:
        q, axis = self.weights(c).quantization, self.axis(c)
        if q is None or q.per_tensor:
            return q is not None
        channels = self.weights(c).shape[axis]
        return q.axis == axis and len(q.scales) == len(q.zero_points) == channels and len(set(q.zero_points)) == 1

    @property
    def scale_rule(self) -> Rule:
        """The rule about the weights' scales; to stand before any that makes kernels."""
        return Rule(
            "weights of one scale and one zero point, or of one scale an output channel and like zero points",
            self._axis_fits,
            lambda c: f"{len(q.scales)} along axis {q.axis}" if (q := self.weights(c).quantization) else "none",
        )

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules about the parts; to stand last."""
        return (
            Rule(
                "input scale * each weight scale / output scale within the hardware's shift",
                lambda c: all(factor_fits(factor, c.options.chip) for factor in self._factors(c)),
                lambda c: f"{self._factors(c)[0]:g} to {self._factors(c)[1]:g}",
            ),
            Rule(
                f"at most {MAX_GROUPS} groups of output channels of like scale within the per-axis error",
                lambda c: len(self.parts(c)) <= MAX_GROUPS,
                lambda c: f"{len(self.parts(c))} within {c.options.per_axis_error:g}",
            ),
            Rule(
                "sums within 32 bits whatever the input",
                lambda c: all(common.sums_fit(part.kernels) for part in self.parts(c)),
                lambda c: "weights or a bias too large for that",
            ),
        )


def _quantization(tensor: Tensor) -> Quantization:
    assert tensor.quantization is not None
    return tensor.quantization


def weights_zero(weights: Tensor) -> int:
    """The byte that means 0.0 of weights, all of whose zero points are alike."""
    return _quantization(weights).zero_points[0] + (SIGN_SHIFT if weights.type_name == "INT8" else 0)


def _grouped(kernels: Kernels, scales: Scales, bound: float) -> tuple[Part, ...]:
    groups = group_channels(kernels, scales, bound)
    worst = math.ceil(max(group.worst for group in groups))
    spread = max(group.spread for group in groups)
    return tuple(
        Part(
            group.first,
            group.kernels,
            group.factor,
            group.own,
            f"per-axis weights, group {number + 1} of {len(groups)}, off by at most {worst} ({spread:.2f} rms)",
            worst,
        )
        for number, group in enumerate(groups)
    )
