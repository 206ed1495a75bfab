# SPDX-License-Identifier: MIT
"""Does a study find what the databook says, of a client that it knows nothing of?"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import pytest

from hornito.errors import BadInput
from hornito.hardware.chips import find_chip
from hornito.hardware.nn import NNDescriptor
from hornito.trace.infer import Finding, Kind
from hornito.trace.study import Group, Layer, OwnCompiler, parse_values, series_of, study, views_of, with_value

CLIENT = OwnCompiler(find_chip("vipnano-qi"))
SMALL: dict[str, Any] = {"size": 8, "inputs": 4, "outputs": 8}
# Of the NN descriptor, what the databook gives as affine in a parameter (nn-descriptor.md).
AFFINE = {
    "size": {
        **{name: "size" for name in ("in_image_x_size", "in_image_y_size", "out_image_x_size", "out_image_y_size")},
        **{name: "size" for name in ("in_image_x_stride", "in_image_y_stride")},
        **{name: "size" for name in ("out_image_x_stride", "out_image_y_stride")},
        # As far as a tile of 3x3 kernels reaches on this chip: 12 rows, interleaved by 2.
        **{name: "size" for name in ("out_image_tile_x_size", "out_image_tile_y_size")},
    },
    "inputs": {"kernel_z_size": "inputs"},
    "outputs": {"out_image_z_size": "outputs"},
    "input_zero": {"in_image_border_const": "input_zero"},
    "weight_zero": {"coef_zero_point": "weight_zero"},
    "output_zero": {"out_zero_point": "output_zero"},
}
VALUES = {
    "size": "5..20",
    "inputs": "2..17",
    "outputs": "2..30/2",
    "input_zero": "0..60/6",
    "weight_zero": "0..60/6",
    "output_zero": "0..255/15",
}


def studied(name: str, values: str, raw: bool = False, **layer: Any) -> list[Group]:
    found = study(CLIENT, name, parse_values(values), Layer(**SMALL | layer), raw)
    assert found.refused == ()
    return list(found.groups)


def convolution(groups: Sequence[Group]) -> dict[str, Finding]:
    """What was found in the descriptor of the NN job, by name."""
    (group,) = groups
    return {one.series.name: one for one in group.found if one.series.unit == "NN" and one.series.place}


@pytest.mark.parametrize("name", AFFINE)
def test_relations_are_those_of_the_databook(name: str) -> None:
    found = convolution(studied(name, VALUES[name]))
    told = {field: one.relation.text(name) for field, one in found.items() if one.relation.kind is Kind.AFFINE}
    assert told == AFFINE[name]
    assert all(one.relation.confidence == "strong" for one in found.values() if one.relation.coefficients)


@pytest.mark.parametrize("name", AFFINE)
def test_what_is_claimed_holds_between_the_values(name: str) -> None:
    """Relations from every other value, tried on those left out; of all jobs."""
    values = parse_values(VALUES[name])
    layer = Layer(**SMALL)
    (group,) = study(CLIENT, name, values[::2], layer).groups
    claims = [one for one in group.found if one.relation.coefficients]
    assert len(claims) >= 2 or name in ("weight_zero",)
    for value in values[1:-1:2]:
        (views,) = [list(views_of(CLIENT.record(with_value(layer, name, value).model())))]
        there = {
            (one.job, one.core, one.place, one.name): one.values[0]
            for one in series_of([[seen for seen in views if seen.jobs]])
        }
        for one in claims:
            series = one.series
            actual = there[series.job, series.core, series.place, series.name]
            assert predicted(one, value) == actual, (series, value)


def predicted(one: Finding, value: Fraction) -> Fraction:
    coefficients = one.relation.coefficients
    assert one.relation.width is None
    match one.relation.kind:
        case Kind.AFFINE:
            return coefficients[0] * value + coefficients[1]
        case Kind.SQUARE:
            return coefficients[0] * value * value + coefficients[1] * value + coefficients[2]
    raise AssertionError(one.relation)


def test_the_kernel_s_size_stands_in_both_of_its_fields() -> None:
    found = convolution(studied("kernel", "1,3,5"))
    assert found["kernel_xy_size"].relation.text("k") == found["kernel_y_size"].relation.text("k") == "k"
    assert found["in_image_x_offset"].relation.text("k") == "-1/2 * k + 1/2 modulo 2^3"


def test_a_scale_is_a_shift() -> None:
    found = study(CLIENT, "output_scale", parse_values("0.05,0.1,0.2,0.4,0.8"), Layer(**SMALL))
    (group,) = found.groups
    (shift,) = [one for one in group.found if one.series.name == "shift, all bits"]
    assert shift.relation.kind is Kind.LOGARITHM
    assert shift.relation.coefficients[0] == 1


def test_other_jobs_are_another_group() -> None:
    """A stride of 2 takes a reshuffle."""
    first, second = studied("stride", "1,2")
    assert [unit for unit, _ in first.jobs] == ["TP", "NN", "TP"]
    assert [unit for unit, _ in second.jobs] == ["TP", "TP", "NN", "TP"]
    assert first.found == second.found == ()


def test_values_that_the_client_refuses_are_told_with_the_reason() -> None:
    found = study(CLIENT, "kernel", parse_values("2,3"), Layer(**SMALL))
    assert [(int(value), "needs a kernel of" in reason) for value, reason in found.refused] == [(2, True)]


@pytest.mark.parametrize("name", ["size", "inputs", "outputs", "output_zero"])
def test_bits_alone_lead_to_the_same_fields(name: str) -> None:
    """Of the NN job: each range of bits that follows the parameter lies in a field that does, and says the same."""
    layout = NNDescriptor.layout()
    named = convolution(studied(name, VALUES[name]))
    (group,) = studied(name, VALUES[name], raw=True)
    ranges = [one for one in group.found if one.series.unit == "NN" and one.relation.coefficients]
    met = set()
    for one in ranges:
        word, _, bits = one.series.place[1:-1].partition("[")
        high, low = (int(bit) for bit in (bits.split(":") if ":" in bits else (bits, bits)))
        (field,) = [at for at in layout.values() if at.word == int(word) and at.lsb <= low and high <= at.msb]
        met.add(field.name)
        whole = [value >> (low - field.lsb) for value in named[field.name].series.values]
        assert list(one.series.values) == whole
    assert met >= set(AFFINE[name])


@pytest.mark.parametrize("text", ["", "x", "1..", "5..1", "1..1000", "1/0", "1..9/0", "1..9/-1", "1,,2"])
def test_values_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(BadInput):
        parse_values(text)


def test_values_are_ranges_and_lists() -> None:
    assert parse_values("1..4,8..16/4,0.5") == [*map(Fraction, (1, 2, 3, 4, 8, 12, 16)), Fraction(1, 2)]


@pytest.mark.parametrize(
    "name,value,text",
    [
        ("colour", 1, "unknown parameter 'colour'; known are size"),
        ("size", Fraction(1, 2), "size = 0.5: a whole number"),
        ("kernel", 0, "kernel = 0: from 1 to 64"),
        ("output_scale", 0, "output_scale = 0.0: a positive"),
        ("size", 60_000, "elements; at most"),
        ("input_zero", 256, "from 0 to 255"),
    ],
)
def test_layers_that_are_none_are_refused(name: str, value: Fraction, text: str) -> None:
    with pytest.raises(BadInput, match=text):
        with_value(Layer(), name, Fraction(value)).model()
