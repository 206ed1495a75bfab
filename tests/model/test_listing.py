# SPDX-License-Identifier: MIT
"""Does the listing say what TFLite's model analyser says?"""

import json
from pathlib import Path

import numpy as np
import pytest

from hornito.model import ModelBuilder, affine, as_json, listing, read_model
from tests.model.mutation import small_models


def small() -> bytes:
    builder = ModelBuilder()
    image = builder.input("im\nage", (1, 2, 2, 1), np.uint8, quantization=affine(0.5, 3))
    value = builder.conv2d(
        image,
        np.arange(6, dtype=np.uint8).reshape(6, 1, 1, 1),
        np.arange(6) - 2,
        weights_quantization=affine(0.25, 128),
        quantization=affine(2, 0),
    )
    builder.output(value)
    return builder.build()


def test_listing_whole() -> None:
    data = small()
    assert listing(read_model(data)).splitlines() == [
        "Subgraph#0 main(T#0) -> [T#3]",
        "  Op#0 CONV_2D(T#0, T#1, T#2[-2, -1, 0, 1, 2, ...]) -> [T#3]",
        "",
        "Tensors of Subgraph#0",
        "  T#0(im\ufffdage) shape:[1, 2, 2, 1], type:UINT8, scale:0.5, zero point:3",
        "  T#1(conv_2d_0/weights) shape:[6, 1, 1, 1], type:UINT8 RO 6 bytes, buffer: 1, data:[0, 1, 2, 3, 4, ...],"
        " scale:0.25, zero point:128",
        "  T#2(conv_2d_0/bias) shape:[6], type:INT32 RO 24 bytes, buffer: 2, data:[-2, -1, 0, 1, 2, ...],"
        " scale:0.125, zero point:0",
        "  T#3(conv_2d_0) shape:[1, 2, 2, 6], type:UINT8, scale:2, zero point:0",
        "",
        f"1 operator, 4 tensors, 30 of {len(data)} bytes are constants",
    ]


def analysed(data: bytes) -> list[str]:
    """The lines of TFLite's own model analyser that name operators."""
    analyser = pytest.importorskip("ai_edge_litert._pywrap_analyzer_wrapper")
    return [line for line in analyser.ModelAnalyzer(data, False, False).splitlines() if line.startswith("  Op#")]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_operator_lines_are_the_analysers(which: int) -> None:
    data = small_models()[which]
    assert [line for line in listing(read_model(data)).splitlines() if line.startswith("  Op#")] == analysed(data)


@pytest.mark.parametrize("name", ["mobilenet_v1_1.0_224_quant", "ssdlite_mobiledet_coco_qat_postprocess", "yolox"])
def test_operator_lines_are_the_analysers_for_models_of_others(shared: Path, name: str) -> None:
    data = (shared / "models" / f"{name}.tflite").read_bytes()
    assert [line for line in listing(read_model(data)).splitlines() if line.startswith("  Op#")] == analysed(data)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_json_has_all_operators_and_tensors(which: int) -> None:
    graph = read_model(small_models()[which])
    again = json.loads(json.dumps(as_json(graph), allow_nan=False))
    assert [entry["kind"] for entry in again["operators"]] == [operator.kind for operator in graph.operators]
    assert [entry["shape"] for entry in again["tensors"]] == [list(tensor.shape) for tensor in graph.tensors]
    if which == 0:
        assert again["operators"][0]["options"]["padding"] == "SAME"
