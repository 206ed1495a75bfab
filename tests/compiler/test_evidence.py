# SPDX-License-Identifier: MIT
"""Do plans tell what is proven from what is inferred, and does a board's proof change the one into the other?"""

import dataclasses
from collections.abc import Sequence

import pytest

from hornito.bits import Confidence
from hornito.compiler import Evidence, Level, Options, Technique, Trust, compile_graph, keys, make_plan, rows
from hornito.compiler.evidence import Basis, fast_key
from hornito.compiler.operators import LOWERINGS
from hornito.compiler.rules import guesses
from hornito.hardware.chips import CHIPS, Chip, CoefficientFormat, find_chip
from hornito.hardware.nn import NNDescriptor
from hornito.model import ModelBuilder, Value
from tests.compiler.networks import CHIP, Layer, made

WIDE = Options(CHIP, Level.WIDE)
TALL = Layer(8, 6)  # a job of plan level wide


def test_no_way_that_silicon_has_shown_relies_on_a_guess() -> None:
    for kind, ways in LOWERINGS.items():
        for way in ways:
            if way.basis.trust is Trust.SILICON:
                assert not guesses(way.rules), kind


def test_a_rule_on_a_guessed_field_is_found() -> None:
    (way,) = LOWERINGS["ADD"][:1]
    guess = dataclasses.replace(NNDescriptor.layout()["relu"], confidence=Confidence.INFERRED)
    rule = dataclasses.replace(way.rules[0], fields=(guess,))
    assert guesses((*way.rules, rule)) == ["relu"]


def test_rules_on_limits_name_their_fields() -> None:
    limits = [rule for rule in LOWERINGS["CONV_2D"][0].rules if "16383" in rule.need or "8191" in rule.need]
    assert len(limits) == 2 and all(rule.fields for rule in limits)


def test_every_way_says_where_its_evidence_is_from() -> None:
    assert all(way.basis.source for ways in LOWERINGS.values() for way in ways)


@pytest.mark.parametrize("chip", [chip for chip in CHIPS if chip.coefficient_format is not CoefficientFormat.UNPROVEN])
def test_silicon_is_what_the_reference_driver_s_boards_have_alone(chip: Chip) -> None:
    options, graph = Options(chip), Layer(8, 8).graph()
    plan = make_plan(graph, options)
    seen = chip.name in (find_chip("a311d").name, find_chip("imx8mp").name)
    assert plan.evidence[0].trust is (Trust.SILICON if seen else Trust.INFERRED)
    assert ("no board with this chip" in plan.evidence[0].source) is not seen
    marked = {"unproven on silicon" in row.reason for row in rows(compile_graph(graph, options))}
    assert marked == {not seen}
    proven = dataclasses.replace(options, evidence=Evidence(frozenset(plan.keys[0]), "report 9"))
    assert make_plan(graph, proven).evidence[0].trust is Trust.SILICON


def test_proof_of_a_key_takes_the_mark_from_its_jobs() -> None:
    graph = TALL.graph()
    plan = make_plan(graph, WIDE)
    assert plan.keys == {0: ("vipnano-qi-88-0/CONV_2D/wide/uint8",)} and plan.evidence[0].trust is Trust.INFERRED
    proven = dataclasses.replace(WIDE, evidence=Evidence(frozenset(plan.keys[0]), "report 7"))
    assert make_plan(graph, proven).evidence[0].source == "report 7"
    marks = [[row.reason for row in rows(compile_graph(graph, options))] for options in (WIDE, proven)]
    assert set(marks[0]) == {"unproven on silicon"} and set(marks[1]) == {""}


def test_all_keys_of_a_job_must_be_proven() -> None:
    own, other = Basis(Trust.INFERRED, "databook"), Basis(Trust.SILICON, "the driver's CI")
    evidence = Evidence(frozenset(("a", "b")), "report 7")
    assert evidence.basis(own, ("a", "b")) == Basis(Trust.SILICON, "report 7")
    assert evidence.basis(own, ("a", "c")) is own
    assert evidence.basis(other, ("a",)) is other  # what is known anyway keeps its source


def test_proof_of_another_key_or_chip_changes_nothing() -> None:
    others = {key for key in keys(CHIP) if key != "vipnano-qi-88-0/CONV_2D/wide/uint8"} | set(keys(find_chip("imx8mp")))
    plan = make_plan(TALL.graph(), dataclasses.replace(WIDE, evidence=Evidence(frozenset(others), "report 8")))
    assert plan.evidence[0].trust is Trust.INFERRED


def test_keys_of_plans_are_among_those_of_the_chip() -> None:
    def build(builder: ModelBuilder) -> Sequence[Value]:
        value = TALL.add(builder, TALL.input(builder))
        return [builder.mean(value, (1, 2), quantization=value.quantization), builder.transpose(value, (0, 2, 1, 3))]

    for chip in (CHIP, find_chip("imx8mp")):
        plan = make_plan(made(build), Options(chip, Level.WIDE))
        used = {key for own in plan.keys.values() for key in own}
        assert len(plan.keys) == 3 and used <= set(keys(chip))


def test_no_key_stands_for_two_ways() -> None:
    found = keys(CHIP)
    assert len(found) == len(set(found))


def test_jobs_of_level_fast_need_each_technique_proven() -> None:
    without = frozenset(Technique) - {Technique.TILES, Technique.CACHING}
    options, graph = Options(CHIP, Level.FAST, without=without), Layer(8, 8).graph()
    plan = make_plan(graph, options)
    techniques = {fast_key(CHIP.name, technique) for technique in (Technique.TILES, Technique.CACHING)}
    assert set(plan.keys[0]) == {"vipnano-qi-88-0/CONV_2D/proven/uint8", *techniques}
    assert plan.evidence[0].trust is Trust.INFERRED and "our own choice" in plan.evidence[0].source
    for proven, trust in ((set(plan.keys[0]), Trust.SILICON), (techniques, Trust.INFERRED)):
        shown = dataclasses.replace(options, evidence=Evidence(frozenset(proven), "report 5"))
        assert make_plan(graph, shown).evidence[0].trust is trust
