# SPDX-License-Identifier: MIT
"""Does Mesa's unmodified TFLite delegate work on the virtual node, as well and as badly as on a board?

$HORNITO_TEFLON names its libteflon.so (docs/exec.md says how to build one); without it these tests are skipped.
"""

import json
import os
import random
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hornito.conformance.case import Case
from hornito.conformance.expectations import read_list
from hornito.conformance.matrix import cases
from hornito.model import extract, read_model
from hornito.model.draw import Draw
from tests.supervisor.conftest import Run

CLIENT = Path(__file__).parent / "delegate_client.py"
FAMILIES = ("Conv2D", "DepthwiseConv2D", "Add", "AddQuant")  # what the A311D's list has; uint8
TOLERANCE = 2  # of Mesa's CI
CASES, FAILURES = 200, 50
MOST_MACS = 200_000_000  # of one case: the big ones take minutes and tell no more
MAY_BE_OFF = CASES // 100  # the CI's weights were other random numbers
SLOW = 900  # seconds
MILITARY_UNIFORM = 653
# Fail on the board and nobody knows why, or are not run there (databook, lowering.md): input, kernel, IC, OC, stride,
# SAME.
_CAUSE_UNKNOWN = {
    *(("Conv2D", 112, 1, 128, 256, 1, 0), ("Conv2D", 112, 5, 256, 120, 1, 0), ("Conv2D", 112, 5, 256, 120, 1, 1)),
    *(("Add", 5, 5, 32, 256, 1, 1), ("Add", 5, 5, 32, 256, 2, 1), ("Add", 8, 3, 128, 160, 1, 1)),
    *(("Add", 8, 5, 120, 160, 2, 0), ("Add", 80, 3, 32, 120, 1, 1), ("Add", 8, 3, 32, 120, 1, 1)),
    *(("Add", 8, 5, 32, 256, 1, 1), *(("Add", 8, 5, 1, outputs, 2, 1) for outputs in (1, 32, 120, 128, 160, 256))),
}
_NAME = re.compile(
    r"(?P<what>\w+)\.Op/input_size_(\d+)_weight_size_(\d+)_(?:input_)?channels_(\d+)(?:_output_channels_(\d+))?"
    r"_stride_(\d+)_padding_same_(\d)_is_signed_0"
)


@pytest.fixture(scope="session")
def delegate() -> str:
    """The library of Mesa's delegate."""
    named = os.environ.get("HORNITO_TEFLON")
    if not named:
        pytest.skip("HORNITO_TEFLON does not name Mesa's libteflon.so")
    if not Path(named).is_file():
        pytest.fail(f"HORNITO_TEFLON is {named}, which is no file")
    return named


@dataclass(frozen=True)
class Client:
    """Runs models through the delegate, under ``hornito exec``."""

    run: Run
    library: str
    folder: Path

    def __call__(self, models: list[Path], *more: str) -> list[dict[str, Any]]:
        listed = self.folder / "models.txt"
        listed.write_text("\n".join(map(str, models)))
        outcome = self.run(sys.executable, str(CLIENT), self.library, str(listed), *more, timeout=SLOW)
        assert outcome.code == 0, outcome.err
        found = [json.loads(line) for line in outcome.out.splitlines()]
        assert [result["path"] for result in found] == list(map(str, models))
        return found


@pytest.fixture
def client(run: Run, delegate: str, tmp_path: Path) -> Client:
    return Client(run, delegate, tmp_path)


@pytest.mark.timeout(SLOW)
@pytest.mark.parametrize("way", ["", "npu_no_batching", "npu_parallel"])
def test_mobilenet_names_the_picture(shared: Path, client: Client, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setenv("ETNA_MESA_DEBUG", way)
    models = shared / "models"
    picture = Image.open(models / "grace_hopper.bmp").convert("RGB").resize((224, 224))
    np.save(client.folder / "picture.npy", np.asarray(picture, np.uint8)[None])
    (found,) = client([models / "mobilenet_v1_1.0_224_quant.tflite"], str(client.folder / "picture.npy"))
    assert found["delegated"]
    assert found["best"] == [MILITARY_UNIFORM]
    assert found["worst"] <= 2  # as on the device of this process


@pytest.mark.timeout(SLOW)
@pytest.mark.parametrize("name", ["ssdlite_mobiledet_coco_qat_postprocess", "yolox"])
def test_detectors_run(shared: Path, client: Client, name: str) -> None:
    """Both are wrong on the board, too."""
    (found,) = client([shared / "models" / f"{name}.tflite"])
    assert found["delegated"]


@pytest.mark.timeout(SLOW)
def test_operators_fail_where_they_fail_on_the_board(shared: Path, client: Client) -> None:
    listed = set(read_list(shared / "goldens" / "known-failures-vipnano-qi.txt"))
    chosen = choose(listed)
    assert len(chosen) == CASES
    models = []
    for case in chosen:
        models.append(client.folder / f"{case.name.replace('/', '_')}.tflite")
        models[-1].write_bytes(_first_output_alone(case.make(Draw(case.name, 0))))
    results = {case.name: found for case, found in zip(chosen, client(models), strict=True)}
    assert [name for name, found in results.items() if not found["delegated"]] == []
    off = {name: found["worst"] for name, found in results.items() if (found["worst"] > TOLERANCE) != (name in listed)}
    assert len(off) <= MAY_BE_OFF, off


def choose(listed: set[str]) -> list[Case]:
    """Cases that are affordable and whose fate on the board is understood: always the same ones."""
    possible = [case for case in cases() if case.family in FAMILIES and _is_affordable(case.name)]
    chance = random.Random(1)
    failing = chance.sample([case for case in possible if case.name in listed], FAILURES)
    return [*failing, *chance.sample([case for case in possible if case.name not in listed], CASES - FAILURES)]


def _first_output_alone(model: bytes) -> bytes:
    """As the CI's models are: the delegate has no notion of a result that is used again."""
    graph = read_model(model)
    return extract(graph, range(len(graph.operators)), graph.inputs, graph.outputs[:1])


def _is_affordable(name: str) -> bool:
    found = _NAME.fullmatch(name)
    if found is None:
        return name.startswith("AddQuant")
    size, kernel, inputs, outputs, stride, same = (int(text or 0) for text in found.groups()[1:])
    macs = size * size * kernel * kernel * inputs * max(outputs, 1) // (stride * stride)
    return macs <= MOST_MACS and (found["what"], size, kernel, inputs, outputs, stride, same) not in _CAUSE_UNKNOWN
