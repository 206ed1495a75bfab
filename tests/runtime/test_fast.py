# SPDX-License-Identifier: MIT
"""Does plan level fast compute what level wide does, byte for byte, however jobs are cut, cached and divided?"""

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.compiler import Compiled, Level, Options, Plan, compile_plan, make_plan, rows
from hornito.compiler.assemble import Shaper
from hornito.compiler.bands import Span, groups
from hornito.compiler.plan import NpuPart
from hornito.compiler.search import shaping_of
from hornito.compiler.search.shapings import all_priced
from hornito.compiler.shaping import Kept, Shaping
from hornito.compiler.tasks import Convolution, Task
from hornito.driver import Device
from hornito.model import Padding, read_model
from hornito.runtime import Interpreter, Session
from tests.runtime.conftest import Devices
from tests.runtime.networks import Array, furthest, litert, noise
from tests.runtime.test_wide import FIXTURES, FORMS, Layer, device

KEPT = st.one_of(st.none(), st.builds(Kept, st.booleans(), st.booleans()))

__all__ = ["device"]
SHAPES = {
    "three planes, stride 2": Layer((32, 32), stride=(2, 2), inputs=3, outputs=16),
    "wide, many kernels": Layer((20, 90), inputs=4, outputs=70),
    "1x1, many kernels": Layer((14, 14), (1, 1), inputs=48, outputs=200),
    "1x1, stride 2": Layer((13, 14), (1, 1), (2, 2), inputs=8, outputs=24),
    "depthwise": Layer((20, 20), inputs=96, multiplier=1),
    "depthwise, stride 2": Layer((21, 20), (5, 5), (2, 2), inputs=72, multiplier=1),
    "depthwise, odd": Layer((7, 7), inputs=45, multiplier=1, padding=Padding.VALID),
}


def results(found: Compiled, device: Device, values: list[Array]) -> list[Array]:
    graph = found.plan.graph
    session = Session(found.archive, device, trusted=True)
    try:
        given_values = session.run(dict(zip(graph.inputs, values, strict=True)))
        return [given_values[index] for index in graph.outputs]
    finally:
        session.close()


def agree(layer: Layer, device: Device, plan: Plan, shape: Shaper = shaping_of) -> None:
    """What a plan of a layer computes is what level wide does."""
    values = [noise((1, *layer.size, layer.inputs), layer.dtype, layer.seed + 1)]
    wide = compile_plan(make_plan(plan.graph, Options(device.chip, Level.WIDE)))
    (wanted,), (result,) = results(wide, device, values), results(compile_plan(plan, shape), device, values)
    assert (result == wanted).all()
    assert wanted.std() > 1


@pytest.mark.parametrize("name", [*SHAPES, *FORMS])
def test_fast_gives_the_bytes_of_wide(name: str, device: Device) -> None:
    layer = SHAPES.get(name) or FORMS[name]
    graph = read_model(layer.model())
    agree(layer, device, make_plan(graph, Options(device.chip, Level.FAST)))


@pytest.mark.parametrize("name", SHAPES)
def test_fast_is_within_1_of_litert(name: str, device: Device) -> None:
    model = SHAPES[name].model()
    values = [noise((1, *SHAPES[name].size, SHAPES[name].inputs), SHAPES[name].dtype, 3)]
    compiled = compile_plan(make_plan(read_model(model), Options(device.chip, Level.FAST)))
    (wanted,) = litert(model, values)
    assert furthest(results(compiled, device, values)[0], wanted) <= 1
    assert {"unproven on silicon" in row.reason for row in rows(compiled) if row.unit in ("nn", "tp")} == {True}


@settings(max_examples=25, deadline=None, suppress_health_check=FIXTURES)
@given(st.data())
def test_no_shape_of_jobs_changes_results(device: Device, data: st.DataObject) -> None:
    layer = Layer(
        data.draw(st.tuples(st.integers(6, 30), st.integers(6, 80))),
        data.draw(st.sampled_from([(1, 1), (3, 3), (5, 5), (2, 3)])),
        data.draw(st.sampled_from([(1, 1), (2, 2)])),
        inputs=data.draw(st.integers(1, 12)),
        outputs=data.draw(st.integers(1, 60)),
        seed=data.draw(st.integers(0, 9)),
    )
    plan = make_plan(read_model(layer.model()), Options(device.chip, Level.FAST))

    def shape(conv: Convolution, options: Options) -> Shaping:
        tried = all_priced(conv, options)
        tile = data.draw(st.sampled_from(sorted({one.tile for one in tried}, key=str)), "tile")
        runs = data.draw(st.integers(0, device.chip.zrl_bits), "runs") if conv.runs else None
        return Shaping(tile, runs, data.draw(KEPT, "kept"), data.draw(st.booleans(), "by residual"))

    agree(layer, device, plan, shape)


@settings(max_examples=25, deadline=None, suppress_health_check=FIXTURES)
@given(st.data())
def test_no_division_into_groups_changes_results(device: Device, data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["depthwise", "dense", "in groups"]))
    channels = data.draw(st.integers(2, 40))
    layer = Layer(inputs=channels, outputs=24)
    if kind == "depthwise":
        layer = replace(layer, multiplier=1, stride=data.draw(st.sampled_from([(1, 1), (2, 2)])))
    elif kind == "in groups":
        layer = replace(layer, inputs=12, groups=3)
    plan = make_plan(read_model(layer.model()), Options(device.chip, Level.WIDE))

    def divided(task: Task) -> list[Task]:
        if not isinstance(task, Convolution) or task.depthwise:
            return [task]
        ends = data.draw(st.sets(st.integers(1, task.kernels.count), max_size=5)) | {task.kernels.count}
        edges = [0, *sorted(ends)]
        return [*groups(task, [Span(low, high - low) for low, high in zip(edges, edges[1:], strict=False)])]

    parts = [
        dataclasses.replace(part, tasks=tuple(job for task in part.tasks for job in divided(task)))
        for part in plan.parts
        if isinstance(part, NpuPart)
    ]
    agree(layer, device, dataclasses.replace(plan, parts=tuple(parts)))


@pytest.mark.parametrize("chip", ["vipnano-qi", "vipnano-si-plus"])
@pytest.mark.parametrize("name", ["mobilenet_v1_1.0_224_quant", "ssdlite_mobiledet_coco_qat_postprocess", "yolox"])
def test_whole_networks_give_the_bytes_of_wide(name: str, chip: str, devices: Devices, shared: Path) -> None:
    found = []
    for level in ("wide", "fast"):
        with Interpreter(str(shared / "models" / f"{name}.tflite"), device=devices(chip), plan_level=level) as network:
            network.allocate_tensors()
            (tensor,) = network.get_input_details()
            network.set_tensor(tensor["index"], noise(tuple(tensor["shape"]), np.uint8, 4))
            network.invoke()
            found.append([network.get_tensor(each["index"]) for each in network.get_output_details()])
    for wanted, result in zip(*found, strict=True):
        assert np.array_equal(wanted, result)
