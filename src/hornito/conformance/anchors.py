# SPDX-License-Identifier: MIT
"""What does an SSD's last operator rank? The box and the scores of each of its anchors.

Source: TensorFlow Lite's custom operator TFLite_Detection_PostProcess, its options and its inputs.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornito.conformance.differences import Array
from hornito.examples.ssd import POST_PROCESS
from hornito.model import Graph, Quantization, extract


def _real(values: Array, quantization: Quantization) -> NDArray[np.float64]:
    return (values.astype(np.float64) - quantization.zero_point) * quantization.scale


@dataclass(frozen=True, eq=False)
class Anchors:
    """``anchors`` [n, 4]: y, x of the middle, height and width, as shares of the picture, of which ``box_scales`` (the
    operator's y, x, h and w) part the box head's numbers; ``places`` and ``scores``: quantisation of both heads."""

    anchors: NDArray[np.float64]
    box_scales: tuple[float, float, float, float]
    places: Quantization
    scores: Quantization

    def boxes(self, head: Array) -> NDArray[np.float64]:
        """Top, left, bottom and right [n, 4] of all anchors' boxes, for the box head [1, n, 4]."""
        moved = _real(head.reshape(-1, 4), self.places) / np.array(self.box_scales)
        centre = moved[:, :2] * self.anchors[:, 2:] + self.anchors[:, :2]
        half = np.exp(moved[:, 2:]) * self.anchors[:, 2:] / 2
        return np.concatenate([centre - half, centre + half], axis=1)

    def shares(self, head: Array) -> NDArray[np.float64]:
        """What the class head's numbers stand for, in its shape."""
        return _real(head, self.scores)


def find_anchors(graph: Graph) -> Anchors | None:
    """Those of a network that ends in the operator and has bytes for heads; None of any other."""
    from ai_edge_litert import schema_py_generated as schema
    from flatbuffers import flexbuffers

    last = graph.operators[-1]
    if last.kind != POST_PROCESS or graph.outputs != last.outputs or len(last.inputs) < 3:
        return None
    places, scores, anchors = (graph.tensor(index) for index in last.inputs[:3])
    if places.quantization is None or scores.quantization is None or anchors.data is None:
        return None
    numbers = anchors.data.astype(np.float64)
    if anchors.quantization is not None:
        numbers = _real(anchors.data, anchors.quantization)
    piece = extract(graph, [last.index], last.inputs[:2], last.outputs)
    operator = schema.ModelT.InitFromObj(schema.Model.GetRootAs(piece)).subgraphs[0].operators[0]
    options = flexbuffers.Loads(bytes(operator.customOptions))
    y, x, height, width = (float(options[f"{name}_scale"]) for name in "yxhw")
    return Anchors(numbers, (y, x, height, width), places.quantization, scores.quantization)
