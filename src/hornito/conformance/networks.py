# SPDX-License-Identifier: MIT
"""Which cases are networks from files, whole and operator by operator? They run where $HORNITO_MODELS has the files."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from hornito.conformance.case import Case, Missing, Scope
from hornito.errors import BadInput
from hornito.files import model_directories
from hornito.model.draw import Draw


@dataclass(frozen=True)
class Network:
    """``name`` in cases; ``file`` of the whole, and its ``tolerance``; ``stem`` of the files of its ``operators``."""

    name: str
    file: str
    stem: str
    operators: int
    tolerance: int


OPERATOR_TOLERANCE = 8
NETWORKS = (
    Network("MobileNetV1", "mobilenet_v1_1.0_224_quant.tflite", "mb", 31, 8),
    Network("MobileDet", "ssdlite_mobiledet_coco_qat_postprocess.tflite", "mobiledet", 124, 8),
    Network("YoloX", "yolox.tflite", "yolox", 128, 38),
)


def cases() -> Iterator[Case]:
    """Each network whole, then its operators one by one."""
    for network in NETWORKS:
        yield Case(
            f"{network.name}.Whole",
            f"{network.name} whole",
            partial(_read, network.file),
            scope=Scope.RESULTS,
            tolerance=network.tolerance,
        )
        for number in range(network.operators):
            yield Case(
                f"{network.name}Param.Op/{network.stem}{number:03}",
                f"{network.name} operators",
                partial(_read, f"{network.stem}-{number:03}.tflite"),
                tolerance=OPERATOR_TOLERANCE,
            )


def _read(file: str, draw: Draw) -> bytes:
    """A model from the folders for models. Raises Missing."""
    for folder in model_directories():
        path = folder / file
        if path.is_file():
            try:
                return path.read_bytes()
            except OSError as error:
                raise BadInput(f"{path}: can't be read ({error.strerror})") from error
    raise Missing(f"no {file} in $HORNITO_MODELS")
