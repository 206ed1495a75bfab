# SPDX-License-Identifier: MIT
"""Does the search of plan level fast keep to the unit's limits, find what is cheaper, and find the same each time?"""

import dataclasses
import functools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hornito.compiler import Level, Options, Technique, compile_graph, compile_plan, demand, explain, make_plan
from hornito.compiler.convolution import encode_convolution, measure_coefficients
from hornito.compiler.plan import NpuPart
from hornito.compiler.search.division import divide, divisions, group_sizes
from hornito.compiler.search.shapings import all_priced, cheapest
from hornito.compiler.shaping import Kept, Shaping
from hornito.compiler.sram import possible_caching
from hornito.compiler.tasks import Convolution, Reshuffle
from hornito.compiler.tiling import choose_tile
from hornito.cost import estimate
from hornito.errors import BadInput
from hornito.hardware import array
from hornito.hardware.chips import CHIPS, Chip, find_chip
from hornito.hardware.nn import CachingMode
from hornito.hardware.timing import timing_of
from hornito.stream import NNJob, jobs_of
from tests.compiler.networks import Layer, convolution_of

A311D, IMX8MP = find_chip("a311d"), find_chip("imx8mp")
BOTH = pytest.mark.parametrize("chip", [A311D, IMX8MP], ids=["version 7", "version 8"])
DEPTHWISE = Layer(14, inputs=256, depthwise=True)
LAYERS = {
    "3x3": Layer(28, inputs=32, outputs=48),
    "1x1": Layer(14, inputs=64, outputs=256, kernel=1),
    "5x5 of stride 2": Layer(20, inputs=16, outputs=24, kernel=5, stride=2),
    "depthwise": DEPTHWISE,
    "depthwise of stride 2": dataclasses.replace(DEPTHWISE, rows=20, stride=2, inputs=96),
    "image": Layer(64, inputs=3, outputs=16, stride=2),
}


def fast(chip: Chip, *without: Technique) -> Options:
    return Options(chip, Level.FAST, without=frozenset(without))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_coefficients_are_as_large_as_they_were_measured(data: st.DataObject) -> None:
    chip = data.draw(st.sampled_from([A311D, IMX8MP]))
    layer = Layer(
        data.draw(st.integers(5, 40)),
        inputs=data.draw(st.integers(1, 40)),
        outputs=data.draw(st.integers(1, 70)),
        kernel=data.draw(st.sampled_from([1, 3, 5])),
        depthwise=data.draw(st.booleans()),
        sparse=data.draw(st.booleans()),
        seed=data.draw(st.integers(0, 5)),
    )
    conv = convolution_of(layer, chip)
    tiles = sorted({one.tile for one in all_priced(conv, fast(chip))}, key=str)
    tile = data.draw(st.sampled_from(tiles))
    shaping = Shaping(tile, by_residual=data.draw(st.booleans()))
    size = measure_coefficients(conv, shaping, chip)
    shaping = dataclasses.replace(shaping, zero_runs=size.zero_runs)
    packed = encode_convolution(conv, chip, shaping).coefficients
    assert (size.bytes, size.cached_bytes, size.zero_runs) == (len(packed.blob), packed.cached_bytes, packed.zrl_bits)


@BOTH
@pytest.mark.parametrize("name", LAYERS)
def test_all_that_is_tried_keeps_the_limits(name: str, chip: Chip) -> None:
    for conv in convolutions(LAYERS[name], Options(chip, Level.WIDE)):
        tried = all_priced(conv, fast(chip))
        assert len(tried) > 2
        for one in tried:
            tile, at = one.tile, one.caching
            shared = array.interleave(chip.nn_version, tile.width, conv.kernels.columns)
            assert 0 < tile.width <= 64 and 0 < tile.height <= array.most_rows(chip, shared, conv.kernels.rows)
            size = tile.width, tile.height
            assert tile.kernels_per_core <= array.most_kernels(chip, conv.kernels.rows, size, shared, conv.stride)
            assert not conv.first_pixel or tile.width % 2 == tile.height % 2 == 0
            ends = at["kernel_cache_end_address"], at["image_cache_end_address"]
            assert max(ends) <= chip.vip_sram


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 1 << 20),
    st.integers(1, 2000),
    st.integers(64, 1 << 20),
    st.sampled_from([c.vip_sram for c in CHIPS]),
)
def test_windows_lie_within_the_sram_and_apart(image: int, outputs: int, coefficients: int, sram: int) -> None:
    found = possible_caching(image, outputs, coefficients, sram)
    assert found
    for at in found:
        kernels = range(at["kernel_cache_start_address"], at["kernel_cache_end_address"])
        pixels = range(at["image_cache_start_address"], at["image_cache_end_address"])
        if at["kernel_caching_mode"] != CachingMode.NONE:
            assert kernels.stop <= sram
            assert at["kernel_caching_mode"] == CachingMode.PARTIAL or len(kernels) >= coefficients
        if at["image_caching_mode"] != CachingMode.NONE:
            assert pixels.stop <= sram and len(pixels) >= image
        if CachingMode.NONE not in (at["kernel_caching_mode"], at["image_caching_mode"]):
            assert not (kernels.start < pixels.stop and pixels.start < kernels.stop)


def convolutions(layer: Layer, options: Options) -> list[Convolution]:
    parts = make_plan(layer.graph(), options).parts
    return [task for part in parts if isinstance(part, NpuPart) for task in part.tasks if isinstance(task, Convolution)]


@functools.cache
def seconds(layer: Layer, options: Options) -> float:
    return estimate(demand(compile_graph(layer.graph(), options)), options.chip).total.seconds


@BOTH
@pytest.mark.parametrize("name", LAYERS)
def test_fast_is_never_slower_by_the_model_and_each_technique_helps_or_does_nothing(name: str, chip: Chip) -> None:
    layer, whole = LAYERS[name], seconds(LAYERS[name], fast(chip))
    assert whole <= seconds(layer, Options(chip, Level.WIDE)) * 1.0001
    for technique in (Technique.GROUPS, Technique.TILES, Technique.CACHING, Technique.SYMBOLS, Technique.STRIDES):
        assert whole <= seconds(layer, fast(chip, technique)) * 1.0001, technique


@BOTH
def test_without_any_technique_fast_writes_what_wide_does(chip: Chip) -> None:
    for layer in LAYERS.values():
        found = [
            compile_graph(layer.graph(), options).archive.submissions
            for options in (Options(chip, Level.WIDE), fast(chip, *Technique))
        ]
        for one, other in zip(*found, strict=True):
            assert list(one.stream) == list(other.stream) and one.relocations == other.relocations
            assert [b.data is None or b.data.tobytes() for b in one.buffers] == [
                b.data is None or b.data.tobytes() for b in other.buffers
            ]


@BOTH
def test_the_same_plan_comes_out_twice(chip: Chip) -> None:
    words = []
    for _ in range(2):
        (*_, submission) = compile_graph(DEPTHWISE.graph(), fast(chip)).archive.submissions
        words.append([job.descriptor.encode() for job in jobs_of(submission) if isinstance(job, NNJob)])
    assert words[0] == words[1]


def test_depthwise_layers_are_divided_where_the_unit_wants_them_dense() -> None:
    jobs = convolutions(DEPTHWISE, fast(A311D))
    assert len(jobs) > 1
    assert sum(job.kernels.count for job in jobs) == 256
    assert all(job.kernels.planes == job.kernels.count for job in jobs)
    assert [job.target_frame.plane for job in jobs] == [job.source_frame.plane for job in jobs]
    assert len(convolutions(DEPTHWISE, fast(A311D, Technique.GROUPS))) == 1
    assert len(convolutions(DEPTHWISE, fast(IMX8MP))) == 1


def test_choices_go_by_the_figures_of_the_options() -> None:
    dear = timing_of(A311D).scaled({"job": 100.0})
    options = dataclasses.replace(fast(A311D), timing=dear)
    assert len(convolutions(DEPTHWISE, options)) == 1
    cheap = dataclasses.replace(options, timing=timing_of(A311D).scaled({"job": 0.01}))
    assert len(convolutions(DEPTHWISE, cheap)) > len(convolutions(DEPTHWISE, fast(A311D)))


def test_small_and_dense_layers_are_not_divided() -> None:
    for layer in (Layer(4, inputs=8, depthwise=True), LAYERS["1x1"]):
        (conv,) = convolutions(layer, fast(A311D))
        assert divide(conv, fast(A311D)) == [conv]


def test_group_sizes_keep_all_cores_busy() -> None:
    assert group_sizes(64, 8) == [32, 24, 16, 8]
    assert group_sizes(20, 8) == [16]
    assert group_sizes(8, 8) == []


def test_a_division_costs_what_its_jobs_do() -> None:
    (conv,) = convolutions(DEPTHWISE, Options(A311D, Level.WIDE))
    for division in divisions(conv, fast(A311D)):
        assert division.jobs == -(-256 // division.channels)
    jobs = convolutions(DEPTHWISE, fast(A311D))
    whole = sum(cheapest(job, fast(A311D)).seconds for job in jobs)
    least = min(division.seconds for division in divisions(conv, fast(A311D)))
    assert whole == pytest.approx(least, rel=0.02)


def test_an_image_of_few_planes_is_pooled_rather_than_parted() -> None:
    (pooled,) = convolutions(LAYERS["image"], fast(A311D))
    assert pooled.first_pixel
    plan = make_plan(LAYERS["image"].graph(), fast(A311D, Technique.STRIDES, Technique.LAYOUTS))
    (part,) = plan.parts
    assert isinstance(part, NpuPart) and any(isinstance(task, Reshuffle) for task in part.tasks)


def test_chips_without_pooling_by_first_pixel_part_all_strides() -> None:
    chip = find_chip("vipnano-qi-7d-0")
    assert not any(conv.first_pixel for layer in LAYERS.values() for conv in convolutions(layer, fast(chip)))


def test_version_8_caches_at_level_fast_alone() -> None:
    layer = Layer(14, inputs=64, outputs=512, kernel=1)
    modes = []
    for options in (Options(IMX8MP), fast(IMX8MP)):
        (*_, submission) = compile_graph(layer.graph(), options).archive.submissions
        (job,) = [job.descriptor for job in jobs_of(submission) if isinstance(job, NNJob)]
        modes.append({job.kernel_caching_mode, job.image_caching_mode})
    assert modes[0] == {CachingMode.NONE} and modes[1] != {CachingMode.NONE}


@BOTH
@pytest.mark.parametrize("level", Level)
def test_an_explanation_marks_what_the_plan_does_and_what_fast_would(level: Level, chip: Chip) -> None:
    for name, layer in LAYERS.items():
        plan = make_plan(layer.graph(), Options(chip, level))
        found = explain(plan, "Op#0")
        for rows in (found.ways, found.shapings):
            assert sum(row.chosen for row in rows) == 1 and sum(row.fast for row in rows) == 1, name
            (best,), (own,) = [r for r in rows if r.fast], [r for r in rows if r.chosen]
            assert best.time.seconds <= own.time.seconds * 1.02
            assert level is not Level.FAST or rows is found.ways or best is own
        assert found.impossible and found.job is not None and found.operator == 0


@BOTH
@pytest.mark.parametrize("name", LAYERS)
def test_what_is_kept_in_sram_is_what_was_searched_and_what_an_explanation_says(name: str, chip: Chip) -> None:
    plan = make_plan(LAYERS[name].graph(), fast(chip))
    encoded = [job.convolution for part in compile_plan(plan).jobs for job in part]
    for number, job in enumerate(encoded):
        if job is None:
            continue
        (row,) = [row for row in explain(plan, str(number)).shapings if row.chosen]
        d = job.descriptor
        said = row.kernel_caching, row.image_caching, row.tile, row.superblocks
        modes = CachingMode(d.kernel_caching_mode).name.lower(), CachingMode(d.image_caching_mode).name.lower()
        assert said == (*modes, f"{d.out_image_tile_x_size}x{d.out_image_tile_y_size}", job.tile.superblocks)
        assert row.fast


@BOTH
@pytest.mark.parametrize(
    "kept", [Kept(coefficients, image) for coefficients in (False, True) for image in (False, True)]
)
def test_a_job_keeps_in_sram_what_its_shaping_says(kept: Kept, chip: Chip) -> None:
    conv = convolution_of(Layer(28, inputs=16, outputs=256), chip)
    tile = choose_tile(conv, chip)
    assert tile.superblocks > 1  # else there is no image to keep
    d = encode_convolution(conv, chip, Shaping(tile, kept=kept)).descriptor
    assert (d.kernel_caching_mode, d.image_caching_mode) == (
        CachingMode.FULL if kept.coefficients else CachingMode.NONE,
        CachingMode.FULL if kept.image else CachingMode.NONE,
    )


@BOTH
def test_a_job_keeps_less_in_sram_where_that_does_not_fit(chip: Chip) -> None:
    conv = convolution_of(Layer(8, inputs=400, outputs=400), chip)
    d = encode_convolution(conv, chip, Shaping(choose_tile(conv, chip), kept=Kept(True, True))).descriptor
    assert d.kernel_caching_mode == CachingMode.PARTIAL
    assert max(d.kernel_cache_end_address, d.image_cache_end_address) <= chip.vip_sram


def test_an_explanation_names_limits_with_values() -> None:
    layer = Layer(80, inputs=256, outputs=400, kernel=3)
    text = "; ".join(explain(make_plan(layer.graph(), Options(A311D)), "op#0").impossible)
    for words in ("wider than 64", "of 80 columns", "more than 10 rows", "hold 6 at a time", "where it has 524,288"):
        assert words in text
    conv = convolution_of(layer)
    assert choose_tile(conv, A311D).superblocks > 1


@pytest.mark.parametrize("name", ["Op#1", "3", "-1", "op", "", "Op#", "1.5"])
def test_an_unknown_job_is_refused(name: str) -> None:
    with pytest.raises(BadInput, match="job|operator"):
        explain(make_plan(Layer().graph(), Options(A311D)), name)


@pytest.mark.parametrize("name", LAYERS)
def test_codes_by_what_is_coded_are_shorter(name: str) -> None:
    for conv in convolutions(LAYERS[name], Options(IMX8MP, Level.WIDE)):
        tile = choose_tile(conv, IMX8MP)
        one, other = (measure_coefficients(conv, Shaping(tile, by_residual=own), IMX8MP).bytes for own in (True, False))
        assert one <= other
