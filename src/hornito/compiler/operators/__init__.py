# SPDX-License-Identifier: MIT
"""Which operators has the NPU a way for? One file each: its rules, its evidence, its jobs."""

from collections.abc import Callable
from dataclasses import dataclass

from hornito.compiler.evidence import TYPES, Basis, Trust, bands_key, fast_key, way_key
from hornito.compiler.operators import (
    activation,
    addition,
    average,
    concatenation,
    convolution,
    fully_connected,
    general_addition,
    general_concatenation,
    general_convolution,
    general_fully_connected,
    general_pad,
    general_split,
    pad,
    quantize,
    reshape,
    resize,
    slices,
    space_depth,
    split,
    transpose,
    transpose_convolution,
    unknown,
)
from hornito.compiler.options import Level, Options, Technique
from hornito.compiler.rules import Candidate, Refusal, Rule, first_refusal
from hornito.compiler.segment import Segment
from hornito.hardware.chips import Chip
from hornito.model.graph import Graph, Operator

NO_WAY = "has no way to run on the NPU"
_DRIVER = "the reference driver's CI on A311D and i.MX8M Plus: "
_SIGNED = "no signed model has been seen on silicon"
_OWN_CHOICE = "encodings of our own choice, which no driver is known to have run"
_OTHER_CHIP = "no board with this chip is known to have run the reference driver's tests"


@dataclass(frozen=True)
class Lowering:
    """A way in which an operator becomes jobs: the rules that must hold for it, the plan level that takes it first,
    and what it is known by for uint8 on the chips of the reference driver's CI."""

    rules: tuple[Rule, ...]
    lower: Callable[[Segment, Candidate], None]
    basis: Basis
    level: Level = Level.PROVEN


def _proven(rules: tuple[Rule, ...], lower: Callable[[Segment, Candidate], None], tests: str) -> Lowering:
    return Lowering(rules, lower, Basis(Trust.SILICON, _DRIVER + tests))


def _wide(
    rules: tuple[Rule, ...],
    lower: Callable[[Segment, Candidate], None],
    source: str = "databook, tp-descriptor.md: What else the block can do",
) -> Lowering:
    return Lowering(rules, lower, Basis(Trust.INFERRED, source), Level.WIDE)


_LIMITS = "databook, lowering.md: Limits a better driver should lift"
_CONVOLUTIONS = (
    _proven(convolution.RULES, convolution.lower, "Conv2D, DepthwiseConv2D, MobileNetV1"),
    _wide(general_convolution.RULES, general_convolution.lower, _LIMITS),
)


_BLOCKS = (_wide(space_depth.RULES, space_depth.lower),)
_RESHAPES = (_wide(reshape.RULES, reshape.lower),)
_GENERAL_PAD = _wide(general_pad.RULES, general_pad.lower)
_GENERAL_SPLIT = _wide(general_split.RULES, general_split.lower)
# The ways of each operator, best first.
LOWERINGS: dict[str, tuple[Lowering, ...]] = {
    "CONV_2D": _CONVOLUTIONS,
    "DEPTHWISE_CONV_2D": _CONVOLUTIONS,
    "ADD": (
        _proven(addition.RULES, addition.lower, "Add"),
        _wide(general_addition.RULES, general_addition.lower, _LIMITS),
    ),
    "FULLY_CONNECTED": (
        Lowering(
            fully_connected.RULES,
            fully_connected.lower,
            Basis(Trust.INFERRED, "databook, lowering.md: FULLY_CONNECTED; MobileNetV1's last layer is such a job"),
        ),
        _wide(general_fully_connected.RULES, general_fully_connected.lower, _LIMITS),
    ),
    "TRANSPOSE_CONV": (_wide(transpose_convolution.RULES, transpose_convolution.lower, _LIMITS),),
    "CONCATENATION": (
        _proven(concatenation.RULES, concatenation.lower, "MobileDet, YoloX"),
        _wide(general_concatenation.RULES, general_concatenation.lower),
    ),
    "SPLIT": (_proven(split.RULES, split.lower, "YoloX"), _GENERAL_SPLIT),
    "PAD": (_proven(pad.RULES, pad.lower, "MobileDet, YoloX"), _GENERAL_PAD),
    "AVERAGE_POOL_2D": (_wide(average.POOL_RULES, average.lower_pool, _LIMITS),),
    "MEAN": (_wide(average.MEAN_RULES, average.lower_mean, _LIMITS),),
    "PADV2": (_GENERAL_PAD,),
    "SPLIT_V": (_GENERAL_SPLIT,),
    "SPACE_TO_DEPTH": _BLOCKS,
    "DEPTH_TO_SPACE": _BLOCKS,
    "TRANSPOSE": (_wide(transpose.RULES, transpose.lower),),
    "STRIDED_SLICE": (_wide(slices.STRIDED_RULES, slices.lower_strided),),
    "SLICE": (_wide(slices.SLICE_RULES, slices.lower_slice),),
    "RESIZE_NEAREST_NEIGHBOR": (_wide(resize.RULES, resize.lower),),
    "QUANTIZE": (_wide(quantize.RULES, quantize.lower),),
    "RELU": (_wide(activation.RULES, activation.lower, _LIMITS),),
    "RELU6": (_wide(activation.RULES, activation.lower, _LIMITS),),
    "RESHAPE": _RESHAPES,
    "SQUEEZE": _RESHAPES,
    "EXPAND_DIMS": _RESHAPES,
}

# Operators that only move bytes: not worth a crossing to the NPU.
MOVES = frozenset(
    {
        *("CONCATENATION", "SPLIT", "SPLIT_V", "PAD", "PADV2", "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "TRANSPOSE"),
        *("STRIDED_SLICE", "SLICE", "RESIZE_NEAREST_NEIGHBOR", "QUANTIZE", "RESHAPE", "SQUEEZE", "EXPAND_DIMS"),
    }
)


def _choose(candidate: Candidate) -> Lowering | Refusal:
    """The best way for an operator; where there is none, the first rule that the last way breaks: it takes most."""
    operator = candidate.operator
    why = Refusal(operator.index, operator.kind, _no_way(operator.kind))
    for lowering in LOWERINGS.get(operator.kind, ()):
        if candidate.options.level.reaches(lowering.level):
            found = first_refusal(lowering.rules, candidate)
            if found is None:
                return lowering
            why = found
    return why


def _no_way(kind: str) -> str:
    """Why an operator stays on the CPU for which a plan level has no rules."""
    if kind in unknown.FIELDS:
        return unknown.reason(kind)
    ways = LOWERINGS.get(kind)
    return f"is considered at --plan {ways[0].level} only" if ways else NO_WAY


def _way(candidate: Candidate) -> Lowering:
    """The best way for an accepted operator."""
    way = _choose(candidate)
    assert isinstance(way, Lowering)
    return way


def refusal(graph: Graph, operator: Operator, options: Options) -> Refusal | None:
    """The rule that keeps an operator on the CPU, or None where the NPU can run it."""
    chosen = _choose(Candidate(graph, operator, options))
    return chosen if isinstance(chosen, Refusal) else None


def basis(graph: Graph, operator: Operator, options: Options, banded: bool) -> tuple[Basis, tuple[str, ...]]:
    """What an accepted operator's jobs are known by, and their keys. ``banded``: they are cut into bands."""
    way = _way(Candidate(graph, operator, options))
    signed = graph.tensor(operator.outputs[0]).type_name == "INT8"
    own, chip = way.basis, options.chip
    if own.trust is Trust.SILICON and (signed or not chip.in_driver_ci):
        own = Basis(Trust.INFERRED, _SIGNED if signed else _OTHER_CHIP)
    fast = options.level.reaches(Level.FAST)
    if own.trust is Trust.SILICON and fast:
        own = Basis(Trust.INFERRED, _OWN_CHOICE)
    keys: tuple[str, ...] = (way_key(chip.name, operator.kind, way.level, TYPES[signed]),)
    if banded:
        keys = (*keys, bands_key(chip.name))
    keys += tuple(fast_key(chip.name, technique) for technique in Technique if options.uses(technique))
    return options.evidence.basis(own, keys), keys


def keys(chip: Chip) -> tuple[str, ...]:
    """The keys of all ways that ``chip`` has, each of which a report may prove."""
    ways = [(kind, way.level) for kind, lowerings in LOWERINGS.items() for way in lowerings]
    own = [way_key(chip.name, *way, type_name) for way in ways for type_name in TYPES]
    return (*own, bands_key(chip.name), *(fast_key(chip.name, technique) for technique in Technique))


def lower(segment: Segment, operator: Operator) -> None:
    """Add an accepted operator's jobs to its segment."""
    candidate = Candidate(segment.graph, operator, segment.options)
    _way(candidate).lower(segment, candidate)
