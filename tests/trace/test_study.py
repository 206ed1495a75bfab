# SPDX-License-Identifier: MIT
"""Does a study find what the databook says, of a client that it knows nothing of?"""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hornito.errors import BadInput
from hornito.hardware.chips import find_chip
from hornito.hardware.nn import NNDescriptor
from hornito.stream import Submission
from hornito.trace.clients import OwnDriver, Refusal
from hornito.trace.cuts import with_jobs
from hornito.trace.layer import Layer, checks, parse_values, with_value
from hornito.trace.records import Recording, Store
from hornito.trace.relations import Finding, Kind, Relation, Series
from hornito.trace.study import Question, Study, study
from hornito.trace.submissions import add_submission
from hornito.trace.tracks import series, tracks, views_of
from hornito.trace.view import SubmitView
from tests.trace import databook
from tests.trace.databook import DEPENDS, FALLING_POWER, POWER, SMALL, STUDIES, V7, V8, Expected

ROLES = {3: ("transpose", "convolution", "detranspose"), 4: ("transpose", "reshuffle", "convolution", "detranspose")}
CASES = [
    pytest.param(chip, one, id=f"{one.name}={one.values}-{chip}" + "".join(f"-{key}" for key in one.layer))
    for one in STUDIES
    for chip in one.chips
]


@functools.cache
def studied(chip: str, name: str, values: str, raw: bool = False, **layer: Any) -> Study:
    found = study(OwnDriver(find_chip(chip)), question(name, values, raw, **layer))
    assert found.refused == ()
    return found


def question(name: str, values: str, raw: bool = False, **layer: Any) -> Question:
    return Question({name: parse_values(values)}, Layer(**SMALL | layer), raw=raw)


Field = tuple[str, int | None, str]  # which job, which core if there are several, its name


def fields(found: Study) -> dict[Field, Relation]:
    """What was found, by field."""
    roles = ROLES[len(found.jobs)]

    def of(one: Finding) -> Field:
        job = found.jobs[one.series.job]
        return roles[one.series.job], one.series.core if job.cores > 1 else None, one.series.name

    named = {of(one): one.relation for one in found.found}
    assert len(named) == len(found.found)
    return named


def expected(chip: str, one: Expected) -> dict[Field, str]:
    """The databook's rows, for each core of a job that has several."""
    rows = [(job, name, text) for _, job, of in one.rows for name, text in of.items()]
    rows = [(job, name, databook.bias(one.name, chip) if text == databook.LINE else text) for job, name, text in rows]
    if chip == V7:
        of_size = databook.SIZE_V7_STRIDE_2 if "stride" in one.layer else databook.SIZE_V7
        more = {"size": of_size, "outputs": databook.OUTPUTS_V7}.get(one.name, {})
        rows += [("convolution", name, text) for name, text in more.items()]
    found: dict[Field, str] = {(job, None, name): text for job, name, text in rows if job != "reshuffle"}
    for core in range(databook.TP_CORES[chip]):
        own = databook.FIRST_CORE_ALONE if core == 0 else databook.OTHER_CORES_ALONE
        of = {name: text for job, name, text in rows if job == "reshuffle"}
        found |= {("reshuffle", core, name): text for name, text in (of | own if of else of).items()}
    return found


def relation_text(one: Relation, name: str) -> str:
    if not one.is_claimed:
        return DEPENDS
    if one.kind is Kind.LOGARITHM:
        return POWER if one.coefficients[0] > 0 else FALLING_POWER
    return one.text(name)


@pytest.mark.parametrize("chip,one", CASES)
def test_every_field_is_found_with_the_databook_s_relation_and_no_other(chip: str, one: Expected) -> None:
    found = fields(studied(chip, one.name, one.values, **one.layer))
    assert {key: relation_text(relation, one.name) for key, relation in found.items()} == expected(chip, one)


# One of each kind: the rest is the same code on the same relations.
UNTRIED = [(V7, "size", 0), (V8, "size", 1), (V8, "outputs", 0), (V7, "output_zero", 0), (V7, "input_scale", 0)]


@pytest.mark.parametrize("chip,name,number", UNTRIED)
def test_claims_hold_at_values_that_nobody_tried(tmp_path: Path, chip: str, name: str, number: int) -> None:
    """From every other value; tried on those left out, and far from all."""
    one = [one for one in STUDIES if one.name == name and chip in one.chips][number]
    values = parse_values(one.values)
    layer = Layer(**SMALL | one.layer)
    client = OwnDriver(find_chip(chip))
    found = study(client, Question({one.name: values[::2]}, layer))
    claims = [each for each in found.found if each.relation.is_claimed]
    assert len(claims) >= 2
    # A scale's unit is known as far as the values go: of its doublings all is known.
    untried = {value * 8 for value in values[::2]} if name == "input_scale" else {*values, *(5 + 2 * v for v in values)}
    recorded = dict(_recorded(client, layer, name, sorted(untried - {value for (value,) in found.values}), tmp_path))
    assert len(recorded) >= 4
    for value, recording in recorded.items():
        there = {_key(each): each.values[0] for each in series(tracks([views_of(recording)]), 1)}
        for each in claims:
            assert there[_key(each.series)] == each.relation.at(value), (each.series, value)


def _recorded(
    client: OwnDriver, layer: Layer, name: str, values: Sequence[Fraction], folder: Path
) -> Iterator[tuple[Fraction, Recording]]:
    paths = {}
    for value in values:
        with contextlib.suppress(BadInput):
            path = folder / f"{value.numerator}-{value.denominator}.tflite"
            path.write_bytes(with_value(layer, name, value).model())
            paths[value] = path
    for value, result in zip(paths, client.record(list(paths.values())), strict=True):
        assert isinstance(result, Recording)
        yield value, result


def _key(one: Series) -> tuple[int, int | None, str, str]:
    return one.job, one.core, one.place, one.name


def test_the_exponent_is_where_the_databook_has_it() -> None:
    """nn-descriptor.md, Requantisation: s = input_scale * weight_scale / output_scale; 142 - e, or 127 - e."""
    for chip, start in ((V7, 142), (V8, 127)):
        found = studied(chip, "input_scale", "0.01..0.07/0.01")
        (shift,) = [one for one in found.found if one.series.name == databook.ALL_SHIFT]
        for (value,), seen in zip(found.values, shift.series.values, strict=True):
            scale = np.float32(np.float32(np.float32(float(value)) * np.float32(0.02)) / np.float32(0.05))
            exponent = int(np.asarray(scale).view(np.uint32)) >> 23
            assert seen == (start - exponent) % 128 == shift.relation.at(value)
        (multiplier,) = [one for one in found.found if one.series.name == "multiplier, all bits"]
        assert multiplier.relation.fit is not None
        # 0.02 / 0.05, but for a power of two
        bits = 15 if chip == V7 else 23
        assert multiplier.relation.fit.relation.text("s") == f"the mantissa of 1.6 * s ({bits} bits)"


def test_a_size_that_is_cut_off_far_away_is_not_the_size() -> None:
    """min(oH, 64), of which 5..13 show nothing."""
    tile = fields(studied(V7, "size", "5..13"))["convolution", None, "out_image_tile_x_size"]
    assert tile.fit is not None
    assert (tile.kind, tile.fit.relation.text("size"), tile.fit.breaks) == (Kind.DEPENDS, "min(size, 64)", None)
    cores = fields(studied(V7, "outputs", "2..30/2"))["convolution", None, "kernels_per_core"]
    assert cores.fit is not None and cores.fit.breaks is not None
    assert cores.fit.relation.text("outputs") == "ceil(outputs / 8)"
    for values in ("1..7/2", "5..9"):  # none of them, nor a few times as much, is near
        few = fields(studied(V7, "size", values, inputs=8, outputs=33))
        assert not few["convolution", None, "out_image_tile_x_size"].is_claimed
    unchecked = study(OwnDriver(find_chip(V7)), dataclasses.replace(question("size", "5..9"), checked=False))
    assert fields(unchecked)["convolution", None, "out_image_tile_x_size"].text("size") == "size"


def test_two_parameters_are_studied_together() -> None:
    both = {"size": parse_values("4..6"), "outputs": parse_values("3,8,9")}
    found = fields(study(OwnDriver(find_chip(V8)), Question(both, Layer(**SMALL))))
    told = {(job, name): one.text("size", "outputs") for (job, _, name), one in found.items() if one.is_claimed}
    assert told["detranspose", "in_image_slice"] == told["detranspose", "out_loop_4_inc"] == "size^2 * outputs"
    assert told["detranspose", "in_window_y_end"] == "size * outputs - 1"
    assert told["convolution", "in_image_x_size"] == "size"
    assert told["convolution", "out_image_z_size"] == "outputs"
    assert ("convolution", "kernels_per_core") not in told
    assert ("convolution", "out_image_tile_x_size") not in told


def test_what_one_stride_has_more_is_a_job_of_its_own() -> None:
    """A stride of 2 takes a reshuffle."""
    found = studied(V7, "stride", "1,2")
    assert [job.unit for job in found.jobs] == ["TP", "TP", "NN", "TP"]
    assert [(job.number, job.values) for job in found.jobs if len(job.values) < 2] == [(1, ((Fraction(2),),))]
    seen = fields(found)
    assert not any(job in ("transpose", "reshuffle") for job, _, _ in seen)
    assert ("convolution", None, "kernel_z_size") in seen


def test_values_that_the_client_refuses_are_told_with_the_reason() -> None:
    found = study(OwnDriver(find_chip(V7)), question("kernel", "2,3"))
    assert [(int(value), "needs a kernel of" in reason) for (value,), reason in found.refused] == [(2, True)]
    assert found.asked == 1


@pytest.mark.parametrize("name,values", [("size", "5..13"), ("inputs", "2..9"), ("output_zero", "0..250/25")])
def test_bits_alone_lead_to_the_same_fields(name: str, values: str) -> None:
    """Of the NN job: each range of bits that follows the parameter lies in a field that does, and says the same."""
    layout = NNDescriptor.layout()
    named = {one.series.name: one for one in studied(V7, name, values).found if one.series.unit == "NN"}
    raw = studied(V7, name, values, raw=True)
    ranges = [one for one in raw.found if one.series.unit == "NN" and one.relation.is_claimed]
    met = set()
    for one in ranges:
        word, _, bits = one.series.place[1:-1].partition("[")
        high, low = (int(bit) for bit in (bits.split(":") if ":" in bits else (bits, bits)))
        (field,) = [at for at in layout.values() if at.word == int(word) and at.lsb <= low and high <= at.msb]
        met.add(field.name)
        whole = [value >> (low - field.lsb) for value in named[field.name].series.values if value is not None]
        assert list(one.series.values) == whole
    assert met >= {name for name, one in named.items() if one.relation.kind is Kind.AFFINE}


# Clients that do more than is asked of them.


@dataclasses.dataclass(frozen=True)
class Restless:
    """Warms up at every other model, has its buffers elsewhere each time, and gives each job a submit of its own."""

    inner: OwnDriver
    other: Layer = Layer(size=4, inputs=2, outputs=3)

    def record(self, models: Sequence[Path]) -> Iterator[Recording | Refusal]:
        warming = models[0].parent / "warming.tflite"
        warming.write_bytes(self.other.model())
        (warm,) = self.inner.record([warming])
        assert isinstance(warm, Recording)
        for number, result in enumerate(self.inner.record(models)):
            assert isinstance(result, Recording)
            store = Store()
            for one in [*(_jobs_alone(warm) if number % 2 else []), *_jobs_alone(result)]:
                add_submission(store, _moved(one, 0x1000 * (number % 5)))
            yield store.recording(result.path, result.header)


def _jobs_alone(recording: Recording) -> Iterator[Submission]:
    for seen in views_of(recording):
        yield from (with_jobs(seen, job.number, job.number) for job in seen.jobs)


def _moved(submission: Submission, by: int) -> Submission:
    """Its buffers in the opposite order."""
    ends = [-(-buffer.end // 4096) * 4096 for buffer in submission.buffers]
    return submission.moved([0x1000000 + (1 << 32) - end + by for end in ends])


def test_a_client_that_does_more_leads_to_the_same_relations() -> None:
    plain = study(OwnDriver(find_chip(V7)), question("outputs", "5..9"))
    restless = study(Restless(OwnDriver(find_chip(V7))), question("outputs", "5..9"))
    own = [job.number for job in restless.jobs if len(job.values) == len(restless.values)]
    assert len(restless.jobs) == 6
    assert len(own) == 3

    def told(found: Study, jobs: Sequence[int]) -> set[tuple[int, str, str, Relation]]:
        return {
            (jobs.index(one.series.job), one.series.place, one.series.name, one.relation)
            for one in found.found
            if one.series.job in jobs and not one.series.name.endswith("which buffer")
        }

    assert told(restless, own) == told(plain, [0, 1, 2])
    assert [one for one in restless.found if one.series.job not in own and one.relation.is_claimed] == []


def test_an_address_that_points_elsewhere_is_told() -> None:
    """The convolution reads what the network is given, in place of what was transposed."""

    class Confused(OwnDriver):
        def record(self, models: Sequence[Path]) -> Iterator[Recording | Refusal]:
            for number, result in enumerate(super().record(models)):
                assert isinstance(result, Recording)
                store = Store()
                for seen in views_of(result):
                    add_submission(store, _reading_the_input(seen) if number == 1 else seen.submission)
                yield store.recording(result.path, result.header)

    found = study(Confused(find_chip(V7)), dataclasses.replace(question("size", "5..8"), checked=False))
    (other,) = [one for one in found.found if not one.series.is_number]
    assert (other.series.name, other.relation.kind) == ("in_image_address, which buffer", Kind.DEPENDS)
    assert len(set(other.series.values)) == 2


def _reading_the_input(seen: SubmitView) -> Submission:
    buffers = list(seen.submission.buffers)
    convolution, transpose = seen.job(1).descriptors[0], seen.job(0).descriptors[0]
    data = buffers[convolution.buffer].data
    assert data is not None
    words = data.view("<u4").copy()
    words[convolution.offset // 4 + 6] = transpose.fields["in_image_base_address"]
    buffers[convolution.buffer] = dataclasses.replace(buffers[convolution.buffer], data=words.view(np.uint8))
    return dataclasses.replace(seen.submission, buffers=tuple(buffers), relocations=())


# What may be asked.


@pytest.mark.parametrize("text", ["", "x", "1..", "5..1", "1..1000", "1/0", "1..9/0", "1..9/-1", "1,,2"])
def test_values_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_values(text)


@pytest.mark.parametrize("text", ["1e400", "1E-400", "1e9_9_9", "1..1e99999999", "1..9/1e-99999999", "1" * 5000])
def test_numbers_that_take_long_to_read_are_refused_unread(text: str) -> None:
    with pytest.raises(BadInput, match="is no value of a parameter|is beyond all bounds") as error:
        parse_values(f"2,{text}")
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("name", ["size", "outputs", "input_scale", "weight_scale"])
@pytest.mark.parametrize("value", ["1e10", "-1e99", "1e-99"])
def test_checks_of_values_beyond_all_bounds_are_refused_before_anything_is_made(name: str, value: str) -> None:
    with pytest.raises(BadInput, match=f"{name} = "):
        checks(Layer(), name, parse_values(f"2,{value}"))


def test_values_close_together_have_models_of_their_own(tmp_path: Path) -> None:
    values = "0.1234567,0.1234568,0.1234569"
    asked = Question({"input_scale": parse_values(values)}, Layer(**SMALL), checked=False)
    study(OwnDriver(find_chip(V8)), asked, tmp_path)
    models = {path.stem: path.read_bytes() for path in tmp_path.glob("*.tflite")}
    assert sorted(models) == [f"input_scale={value}" for value in values.split(",")]
    assert len(set(models.values())) == len({path.stem for path in tmp_path.glob("*.trace")}) == 3


def test_values_are_ranges_and_lists() -> None:
    assert parse_values("1..4,8..16/4,0.5,4") == [*map(Fraction, (1, 2, 3, 4, 8, 12, 16)), Fraction(1, 2)]


@pytest.mark.parametrize(
    "name,values", [("size", "5..13"), ("outputs", "8..64/8"), ("input_zero", "0..9"), ("same", "0,1")]
)
def test_checks_lie_between_and_beyond_the_values(name: str, values: str) -> None:
    asked = parse_values(values)
    found = checks(Layer(), name, asked)
    assert not set(found) & set(asked)
    assert all(with_value(Layer(), name, value).is_quick for value in found)
    if name != "same":
        assert max(found) > 4 * max(asked)
    if "/" in values:
        assert any(min(asked) < value < max(asked) for value in found)


def test_checks_of_a_scale_are_no_powers_of_two_of_it() -> None:
    asked = parse_values("0.05,0.1,0.2")
    ratios = [math.log2(float(value / asked[0])) for value in checks(Layer(), "output_scale", asked)]
    assert max(ratios) > 8 and min(ratios) < -6
    assert not any(abs(ratio - round(ratio)) < 0.01 for ratio in ratios)


@pytest.mark.parametrize(
    "name,value,text",
    [
        ("colour", 1, "unknown parameter 'colour'; known are size"),
        ("size", Fraction(1, 2), "size = 0.5: a whole number"),
        ("kernel", 0, "kernel = 0: from 1 to 64"),
        ("output_scale", 0, "output_scale = 0: from 1e-09 to 1e\\+09"),
        ("size", 60_000, "elements; at most"),
        ("input_zero", 256, "from 0 to 255"),
    ],
)
def test_layers_that_are_none_are_refused(name: str, value: Fraction, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        with_value(Layer(), name, Fraction(value)).model()
