# SPDX-License-Identifier: MIT
"""Which fields does a client write differently when one thing about a network changes? Networks of one layer, made for
each value of a parameter and given to the client, and what it submits laid side by side.

A ``Client`` is a black box: it takes a model and gives a recording. ``OwnCompiler`` is one without a device.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from hornito.errors import BadInput, Unsupported
from hornito.hardware.chips import Chip
from hornito.model import Conv2DOptions, DepthwiseOptions, ModelBuilder, Padding, affine
from hornito.model.graph import Activation
from hornito.stream.annotate import ADDRESS_FIELDS, NN, TRIGGERS, Line, LineKind
from hornito.trace.infer import Finding, Series, bit_ranges, findings
from hornito.trace.records import Recording
from hornito.trace.view import JobView, SubmitView, view

_MOST_VALUES = 256
_MOST_ELEMENTS = 1 << 26  # of a tensor


class Client(Protocol):
    """Whose submissions are studied."""

    def record(self, model: bytes) -> Recording:
        """What it submits for a TFLite model. Raises HornitoError for one that it does not take."""


@dataclass(frozen=True)
class Layer:
    """A convolution, the network that is studied: sizes in elements, zero points 0..255, scales. ``size`` is both sides
    of the image; ``same``, ``relu`` and ``depthwise`` are 0 or 1."""

    size: int = 16
    inputs: int = 8
    outputs: int = 16
    kernel: int = 3
    stride: int = 1
    same: int = 1
    relu: int = 0
    depthwise: int = 0
    input_zero: int = 5
    weight_zero: int = 7
    output_zero: int = 3
    input_scale: float = 0.0078125
    weight_scale: float = 0.02
    output_scale: float = 0.05

    def model(self) -> bytes:
        """The model, its weights and biases always of the same seed. Raises BadInput for sizes that make none."""
        self._check()
        rng = np.random.default_rng(1)
        builder = ModelBuilder()
        shape = (1, self.size, self.size, self.inputs)
        value = builder.input("image", shape, np.uint8, quantization=affine(self.input_scale, self.input_zero))
        filters = self.inputs if self.depthwise else self.outputs
        sides = (self.kernel, self.kernel)
        kernel = (1, *sides, self.inputs) if self.depthwise else (self.outputs, *sides, self.inputs)
        weights = rng.integers(0, 256, kernel, np.uint8)
        bias = rng.integers(-20000, 20000, filters, np.int32)
        geometry = {"stride_height": self.stride, "stride_width": self.stride}
        padding = Padding.SAME if self.same else Padding.VALID
        activation = Activation.RELU if self.relu else Activation.NONE
        scales = {
            "weights_quantization": affine(self.weight_scale, self.weight_zero),
            "quantization": affine(self.output_scale, self.output_zero),
        }
        if self.depthwise:
            depthwise = DepthwiseOptions(**geometry, padding=padding, activation=activation)
            builder.output(builder.depthwise_conv2d(value, weights, bias, options=depthwise, **scales))
        else:
            options = Conv2DOptions(**geometry, padding=padding, activation=activation)
            builder.output(builder.conv2d(value, weights, bias, options=options, **scales))
        return builder.build()

    def _check(self) -> None:
        for name, least, most in (
            *((name, 1, 1 << 16) for name in ("size", "inputs", "outputs")),
            *((name, 1, 64) for name in ("kernel", "stride")),
            *((name, 0, 1) for name in ("same", "relu", "depthwise")),
            *((name, 0, 255) for name in ("input_zero", "weight_zero", "output_zero")),
        ):
            if not least <= getattr(self, name) <= most:
                raise BadInput(f"{name} = {getattr(self, name)}: from {least} to {most}")
        for name in ("input_scale", "weight_scale", "output_scale"):
            if not 1e-9 <= getattr(self, name) <= 1e9:
                raise BadInput(f"{name} = {getattr(self, name)}: a positive number")
        elements = self.size * self.size * max(self.inputs, self.outputs), self.kernel**2 * self.inputs * self.outputs
        if max(elements) > _MOST_ELEMENTS:
            raise BadInput(f"a tensor would have {max(elements)} elements; at most {_MOST_ELEMENTS}")
        if not self.same and self.kernel > self.size:
            raise BadInput(f"kernel = {self.kernel} is larger than size = {self.size}; use same = 1")


@dataclass(frozen=True)
class OwnCompiler:
    """Hornito's compiler: what it would submit to that chip at that plan level."""

    chip: Chip
    level: str = "proven"

    def record(self, model: bytes) -> Recording:
        from hornito.compiler import Options, compile_plan, find_level, make_plan
        from hornito.model import read_model
        from hornito.trace.submissions import from_archive

        plan = make_plan(read_model(model), Options(self.chip, find_level(self.level)))
        if not plan.uses_npu:
            raise Unsupported(str(next(iter(plan.refusals.values()), "it starts no job")))
        return from_archive("compiled", compile_plan(plan).archive)


@dataclass(frozen=True)
class Group:
    """The values of the parameter at which a client starts the same jobs: ``units`` of the jobs, each with its number
    of descriptors, and what follows the parameter among them. With ``raw``, series are runs of bits."""

    values: tuple[Fraction, ...]
    jobs: tuple[tuple[str, int], ...]
    found: tuple[Finding, ...]


@dataclass(frozen=True)
class Study:
    """All of a study. ``refused``: values at which the client took no model, with its reason."""

    parameter: str
    groups: tuple[Group, ...]
    refused: tuple[tuple[Fraction, str], ...]


def parse_values(text: str) -> list[Fraction]:
    """``1..16``, ``8..64/8`` (in steps), ``1,2,4``, ``0.01,0.02``. Raises BadInput."""
    found: list[Fraction] = []
    for part in text.split(","):
        span, _, step = part.partition("/")
        first, dots, last = span.partition("..")
        try:
            begin, end, by = Fraction(first), Fraction(last if dots else first), Fraction(step or 1)
        except (ValueError, ZeroDivisionError):
            raise BadInput(f"{part!r} is no number and no range; write 1..16, 8..64/8 or 1,2,4") from None
        if by <= 0 or end < begin or (end - begin) / by >= _MOST_VALUES:
            raise BadInput(f"{part!r} is a range of no values, or of more than {_MOST_VALUES}")
        found += [begin + by * number for number in range(int((end - begin) / by) + 1)]
    if len(found) > _MOST_VALUES:
        raise BadInput(f"{len(found)} values; at most {_MOST_VALUES}")
    return found


def with_value(layer: Layer, name: str, value: Fraction) -> Layer:
    """The layer with another value of a parameter. Raises BadInput for a name or value that there is not."""
    fields = {field.name: field.type for field in dataclasses.fields(Layer)}
    if name not in fields:
        raise BadInput(f"unknown parameter {name!r}; known are {', '.join(fields)}")
    number: Any = float(value)
    if not isinstance(getattr(layer, name), float):
        if value.denominator != 1:
            raise BadInput(f"{name} = {float(value):g}: a whole number")
        number = int(value)
    return dataclasses.replace(layer, **{name: number})


def study(client: Client, name: str, values: Sequence[Fraction], layer: Layer, raw: bool = False) -> Study:
    """Give the client a model for each value, and compare what it submits. Raises BadInput for values that make no
    model."""
    groups: dict[tuple[tuple[str, int], ...], list[tuple[Fraction, list[SubmitView]]]] = {}
    refused: list[tuple[Fraction, str]] = []
    for value in dict.fromkeys(values):
        model = with_value(layer, name, value).model()
        try:
            recording = client.record(model)
        except Unsupported as error:
            refused.append((value, str(error)))
            continue
        views = [seen for seen in views_of(recording) if seen.jobs]
        if not views:
            refused.append((value, "it starts no job"))
            continue
        shape = tuple((job.unit, len(job.descriptors)) for seen in views for job in seen.jobs)
        groups.setdefault(shape, []).append((value, views))
    found = (Group(*_compared(shape, members, raw)) for shape, members in groups.items())
    return Study(name, tuple(sorted(found, key=lambda group: min(group.values))), tuple(refused))


def views_of(recording: Recording) -> Iterator[SubmitView]:
    """All submits of a recording."""
    return (view(recording, submit) for submit in recording.submits())


def _compared(
    shape: tuple[tuple[str, int], ...], members: Sequence[tuple[Fraction, list[SubmitView]]], raw: bool
) -> tuple[tuple[Fraction, ...], tuple[tuple[str, int], ...], tuple[Finding, ...]]:
    values = tuple(value for value, _ in members)
    sides = [views for _, views in members]
    return values, shape, tuple(raw_findings(values, sides) if raw else findings(values, list(series_of(sides))))


def series_of(sides: Sequence[Sequence[SubmitView]]) -> Iterator[Series]:
    """Every value of recordings that start the same jobs, by field; an address is its offset within its buffer."""
    named = [_named(views) for views in sides]
    for key in dict.fromkeys(key for side in named for key in side):
        if all(key in side for side in named):
            job, unit, core, place, name, width = key
            yield Series(job, unit, core, place, name, tuple(side[key] for side in named), width)


_Key = tuple[int, str, int | None, str, str, int]


def _named(views: Sequence[SubmitView]) -> dict[_Key, int]:
    found: dict[_Key, int] = {}
    number = 0
    for seen in views:
        for line in seen.lines:
            if line.job is not None:
                found |= _of_line(line, number + line.job.number)
        for job in seen.jobs:
            found |= _composed(job, number + job.number)
        number += len(seen.jobs)
    return found


def _of_line(line: Line, job: int) -> dict[_Key, int]:
    assert line.job is not None
    if line.kind is LineKind.FIELD and line.field is not None:
        value = line.value
        if line.name in ADDRESS_FIELDS:
            value = -1 if line.pointer is None else line.pointer.offset
        return {(job, line.job.unit, line.job.core, line.place, line.name, line.field.width): value}
    if line.kind is LineKind.STATE and (line.state is None or line.state.index not in TRIGGERS):
        return {(job, line.job.unit, line.job.core, "", line.name, 32): line.value}
    return {}


def _composed(job: JobView, number: int) -> dict[_Key, int]:
    """What several fields of a convolution's descriptor make together."""
    if job.unit != NN or not job.descriptors:
        return {}
    descriptor = job.descriptors[0].nn
    parts = {"shift, all bits": descriptor.shift, "multiplier, all bits": descriptor.multiplier}
    return {(number, NN, None, "", name, 32): value for name, value in parts.items()}


def raw_findings(values: Sequence[Fraction], sides: Sequence[Sequence[SubmitView]]) -> Iterator[Finding]:
    """By bits of words alone, as if no field had a name; addresses aside."""
    words = [list(_words(views)) for views in sides]
    for row in zip(*words, strict=True):
        job, unit, core, index, _ = row[0]
        seen = [word for *_, word in row]
        for high, low, relation in bit_ranges(values, seen):
            part = tuple(word >> low & (2 << (high - low)) - 1 for word in seen)
            place = f"w{index}[{high}:{low}]" if high > low else f"w{index}[{low}]"
            yield Finding(Series(job, unit, core, place, "", part, high - low + 1), relation)


def _words(views: Iterable[SubmitView]) -> Iterator[tuple[int, str, int | None, int, int]]:
    """Job, unit, core, number and value of every word of every descriptor, without the bits of addresses."""
    number = 0
    for seen in views:
        for job in seen.jobs:
            for one in job.descriptors:
                data = seen.submission.buffers[one.buffer].data
                assert data is not None
                kind = type(one.nn if job.unit == NN else one.tp)
                content = data[one.offset : one.offset + 4 * kind.WORDS].tobytes().ljust(4 * kind.WORDS, b"\0")
                masks = {at.word: at.mask for name, at in kind.layout().items() if name in ADDRESS_FIELDS}
                for index, word in enumerate(np.frombuffer(content, "<u4").tolist()):
                    yield number + job.number, job.unit, one.job.core, index, word & ~masks.get(index, 0)
        number += len(seen.jobs)
