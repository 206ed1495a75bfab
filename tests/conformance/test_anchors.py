# SPDX-License-Identifier: MIT
"""Are the boxes of an SSD's anchors those that LiteRT's own operator decodes?"""

import numpy as np
import pytest

from hornito.compiler import Level, Options
from hornito.conformance import Case, Status
from hornito.conformance.anchors import find_anchors
from hornito.conformance.case import Scope
from hornito.conformance.differences import REFERENCE, litert
from hornito.conformance.judge import judge
from hornito.hardware.chips import find_chip
from hornito.model import extract, read_model
from tests.conformance.fakes import Fake, Spoil, off_by
from tests.examples.detectors import ssd, yolox

WIDE = Options(find_chip("vipnano-qi"), Level.WIDE)


def test_boxes_and_scores_are_those_of_the_operator() -> None:
    graph = read_model(ssd())
    anchors = find_anchors(graph)
    assert anchors is not None
    last = graph.operators[-1]
    places = np.array([[[130, 90, 128, 150], [120, 140, 100, 128]]], np.uint8)
    scores = np.array([[[128, 130, 132, 146], [128, 140, 130, 130]]], np.uint8)
    piece = extract(graph, [last.index], last.inputs[:2], last.outputs)
    boxes, classes, best, count = litert(piece, REFERENCE).run([places, scores])
    assert count == 2 and classes[0, :2].tolist() == [2, 0]
    assert np.allclose(anchors.boxes(places), boxes[0, :2], atol=1e-5)
    assert np.allclose(anchors.shares(scores)[0, :, 1:].max(axis=1), best[0, :2], atol=1e-5)


def test_other_networks_have_none() -> None:
    assert find_anchors(read_model(yolox())) is None
    assert find_anchors(read_model(ssd(post_processed=False))) is None


@pytest.mark.parametrize(
    "tolerance,spoil,status,worst",
    [
        (1, {}, Status.PASS, 0),
        # A step is 0.05, which is 1.65 of the 33 steps in 1.0.
        (2, {"CONV_2D": off_by(1)}, Status.PASS, 2),
        (1, {"CONV_2D": off_by(1)}, Status.FAIL, 2),
    ],
)
def test_all_scores_of_a_whole_ssd_count(tolerance: int, spoil: dict[str, Spoil], status: Status, worst: int) -> None:
    content = ssd()
    case = Case("S.Whole", "S", lambda draw: content, scope=Scope.RESULTS, tolerance=tolerance)
    result = judge(case, WIDE, Fake(spoil), 1)
    assert (result.status, result.worst, result.tolerance) == (status, worst, tolerance)
