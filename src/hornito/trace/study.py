# SPDX-License-Identifier: MIT
"""Which fields does a client write differently when something about a network changes? Networks of one layer, made for
each value of a parameter and given to the client, and what it submits laid side by side.

Values that nobody asked for are tried too (``layer.checks``): what only seems to follow the parameter, since the values
asked for lie close together or all in one step, breaks there.
"""

import itertools
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from hornito.errors import BadInput
from hornito.trace.clients import Client, Refusal
from hornito.trace.infer import relate_checked
from hornito.trace.infer_joint import Pair, relate_joint
from hornito.trace.layer import Layer, checks, with_value
from hornito.trace.records import Recording
from hornito.trace.relations import Finding, Kind, Relation, Series
from hornito.trace.tracks import Track, raw_series, series, tracks, views_of
from hornito.trace.view import SubmitView

_MOST_MODELS = 400
_MOST_PARAMETERS = 2
_MOST_CHECKS = 3  # of each of two parameters


@dataclass(frozen=True)
class Job:
    """A job that the client starts at some or all values: its unit, the most cores it has, and where it is started."""

    number: int
    unit: str
    cores: int
    values: tuple[Pair, ...]


@dataclass(frozen=True)
class Study:
    """All of a study. ``values``: the parameters' at which there is a recording, those asked for first, ``asked`` of
    them; each of ``found``'s and ``beyond``'s series has a value at each. ``found``: what changes among those asked
    for; ``beyond``: what changes at the others alone. ``refused``: values asked for at which the client took no model,
    with its reason."""

    names: tuple[str, ...]
    values: tuple[Pair, ...]
    asked: int
    jobs: tuple[Job, ...]
    found: tuple[Finding, ...]
    beyond: tuple[Series, ...]
    refused: tuple[tuple[Pair, str], ...]


@dataclass(frozen=True)
class Question:
    """What is asked: the values of one parameter, or of two, of a network that is ``layer`` otherwise. ``checked``:
    other values are tried too. ``raw``: by bits, as if no field had a name."""

    parameters: Mapping[str, Sequence[Fraction]]
    layer: Layer = Layer()
    checked: bool = True
    raw: bool = False

    def asked(self) -> list[Pair]:
        """Every value, or pair of values. Raises BadInput."""
        if not 1 <= len(self.parameters) <= _MOST_PARAMETERS:
            raise BadInput(f"{len(self.parameters)} parameters have several values; study one or two at a time")
        if self.raw and len(self.parameters) > 1:
            raise BadInput("bits alone (--raw) can be studied for one parameter at a time")
        found = list(itertools.product(*self.parameters.values()))
        if len(found) > _MOST_MODELS:
            raise BadInput(f"{len(found)} pairs of values; at most {_MOST_MODELS}")
        return found

    def checks(self) -> list[Pair]:
        """Those that were not asked for; of two parameters each with the others' least and largest value."""
        if not self.checked:
            return []
        names = list(self.parameters)
        own = {name: checks(self.layer, name, values) for name, values in self.parameters.items()}
        if len(names) == 1:
            return [(value,) for value in own[names[0]]]
        few = {name: _spread(values) for name, values in own.items()}
        found = []
        for name, other in zip(names, reversed(names), strict=True):
            ends = (min(self.parameters[other]), max(self.parameters[other]), *few[other][:1])
            found += [{name: value, other: end} for value in few[name] for end in ends]
        pairs = (tuple(one[name] for name in names) for one in found)
        return [pair for pair in dict.fromkeys(pairs) if self.network(pair).is_quick]

    def network(self, pair: Pair) -> Layer:
        """The network with these values. Raises BadInput for a name or value that there is not."""
        layer = self.layer
        for name, value in zip(self.parameters, pair, strict=True):
            layer = with_value(layer, name, value)
        return layer


def study(client: Client, question: Question, folder: Path | None = None) -> Study:
    """Give the client a model for each value, and compare what it submits. Models and recordings are kept in ``folder``
    if there is one. Raises BadInput for values that make no model, HornitoError where the client can't be recorded."""
    asked, more = question.asked(), question.checks()
    with tempfile.TemporaryDirectory() as temporary:
        models = list(_models(question, [*asked, *more], folder or Path(temporary)))
        values: list[Pair] = []
        sides: list[list[SubmitView]] = []
        refused: list[tuple[Pair, str]] = []
        for number, (pair, result) in enumerate(zip([*asked, *more], client.record(models), strict=True)):
            seen = _seen(result)
            if isinstance(seen, Refusal):
                if number < len(asked):
                    refused.append((pair, seen.reason))
            else:
                values.append(pair)
                sides.append(seen)
        if not sides:
            return Study(tuple(question.parameters), (), 0, (), (), (), tuple(refused))
        found = tracks(sides, sorted(range(len(values)), key=values.__getitem__))
        count = sum(pair in asked for pair in values)
        all_series = list(_series(question, found, values))
    findings, beyond = compare(all_series, values, count)
    jobs = tuple(_job(track, values) for track in found)
    return Study(tuple(question.parameters), tuple(values), count, jobs, findings, beyond, tuple(refused))


def compare(
    all_series: Sequence[Series], values: Sequence[Pair], asked: int
) -> tuple[tuple[Finding, ...], tuple[Series, ...]]:
    """What changes among the first ``asked`` values, and how; and what changes at the others alone."""
    findings: list[Finding] = []
    beyond: list[Series] = []
    for one in all_series:
        relation = relation_of(one, values, asked)
        if relation is not None:
            findings.append(Finding(one, relation))
        elif len({value for value in one.values if value is not None}) > 1:
            beyond.append(one)
    return tuple(findings), tuple(beyond)


def relation_of(one: Series, values: Sequence[Pair], asked: int) -> Relation | None:
    """How it follows the parameters; None if it does not change among the first ``asked`` values."""
    if not one.is_number:
        changes = len({value for value in one.values[:asked] if value is not None}) > 1
        return Relation(Kind.DEPENDS) if changes else None
    if values and len(values[0]) > 1:
        return relate_joint(values, one.values, one.width, asked)
    return relate_checked([value for (value,) in values], one.values, one.width, asked)


def _job(track: Track, values: Sequence[Pair]) -> Job:
    return Job(track.number, track.unit, track.cores, tuple(values[side] for side in sorted(track.jobs)))


def _seen(result: Recording | Refusal) -> list[SubmitView] | Refusal:
    """Its submits, read as long as their file is there."""
    if isinstance(result, Refusal):
        return result
    seen = views_of(result)
    return seen or Refusal("it starts no job")


def _models(question: Question, pairs: Sequence[Pair], folder: Path) -> Iterator[Path]:
    """A file for each, named by the values. Raises BadInput."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise BadInput(f"{error.filename}: is no folder; name one, or a new one, for models and recordings") from error
    for pair in pairs:
        model = question.network(pair).model()
        numbers = (f"{name}={_exact(value)}" for name, value in zip(question.parameters, pair, strict=True))
        path = folder / f"{','.join(numbers)}.tflite"
        path.write_bytes(model)
        yield path


def _exact(value: Fraction) -> str:
    """As the network has it: two that are written alike are alike in the model."""
    return str(value) if value.denominator == 1 else repr(float(value))


def _series(question: Question, found: Sequence[Track], values: Sequence[Pair]) -> Iterator[Series]:
    if question.raw:
        return raw_series(found, [pair[0] for pair in values])
    return series(found, len(values))


def _spread(values: Sequence[Fraction]) -> list[Fraction]:
    """A few of them, the largest among them."""
    few = min(len(values), _MOST_CHECKS)
    return [values[(number + 1) * len(values) // few - 1] for number in range(few)]
