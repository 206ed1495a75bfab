# SPDX-License-Identifier: MIT
"""Which networks are measured? Those named, else the three of $HORNITO_SHARED, and one of our own, made when needed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SHARED = {
    "MobileNetV1": "mobilenet_v1_1.0_224_quant.tflite",
    "MobileDet": "ssdlite_mobiledet_coco_qat_postprocess.tflite",
    "YOLOX": "yolox.tflite",
}
OWN = "own network"
PICTURE, LABELS = "grace_hopper.bmp", "labels_mobilenet_quant_v1_224.txt"  # what goes with MobileNetV1


@dataclass(frozen=True)
class Network:
    """A model's file, and what the table and the stored ratios call it."""

    name: str
    path: Path


def shared_folder() -> Path | None:
    """The folder of the published networks, where there is one."""
    shared = os.environ.get("HORNITO_SHARED")
    return Path(shared) / "models" if shared else None


def networks(named: Sequence[Path], scratch: Path) -> list[Network]:
    """What to measure; our own network is written into the folder ``scratch``."""
    if named:
        known = {file: name for name, file in SHARED.items()}
        return [Network(known.get(path.name, path.stem), path) for path in named]
    folder = shared_folder()
    published = [Network(name, folder / file) for name, file in SHARED.items()] if folder else []
    path = scratch / "own.tflite"
    path.write_bytes(own_network())
    return [*published, Network(OWN, path)]


def own_network() -> bytes:
    """A network of the usual layers: strided and depthwise convolutions, 1x1 ones, a sum, a dense 3x3."""
    import numpy as np

    from hornito.model.builder import ModelBuilder
    from hornito.model.draw import Draw
    from hornito.model.layers import Form, addition, convolution, dense, image

    builder, draw = ModelBuilder(), Draw("benchmark", 1)
    value = image(builder, draw, (1, 160, 160, 3), np.uint8)
    value = convolution(builder, draw, value, Form(32, 3, 3, 2, 2))
    for outputs, stride in ((64, 1), (128, 2), (128, 1), (256, 2)):
        value = convolution(
            builder, draw, value, Form(rows=3, columns=3, stride_y=stride, stride_x=stride, depthwise=True)
        )
        value = convolution(builder, draw, value, Form(outputs))
    side = convolution(builder, draw, value, Form(256, 1, 1))
    value = addition(builder, draw, value, side)
    value = convolution(builder, draw, value, Form(96, 3, 3))
    value = convolution(builder, draw, value, Form(64, 3, 3, 2, 2))
    builder.output(dense(builder, draw, value, 100))
    return builder.build()
