# SPDX-License-Identifier: MIT
"""Which faults does ``--fault`` ask for, and is bad text refused in one line?"""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornito.errors import BadInput
from hornito.virtual.injection import FaultPlan, Injection, Kind


def test_each_kind_is_read() -> None:
    plan = FaultPlan.parse(["hang@3,mmu@5.2", "alloc@7", "irq@1, lost@9"])
    assert plan.at(3) == Injection(Kind.HANG, 3)
    assert plan.at(5) == Injection(Kind.MMU, 5, 2)
    assert plan.at(1) == Injection(Kind.IRQ, 1)
    assert plan.at(9) == Injection(Kind.LOST, 9)
    assert plan.at(7) is None and plan.allocation_fails(7) and not plan.allocation_fails(3)
    assert [str(each) for each in plan.injections] == ["hang@3", "mmu@5.2", "alloc@7", "irq@1", "lost@9"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "KIND@N"),
        ("hang", "KIND@N"),
        ("burn@3", "hang, mmu, irq, lost, alloc"),
        ("hang@x", "KIND@N"),
        ("hang@-1", "KIND@N"),
        ("hang@0", "counts from 1"),
        ("alloc@3.1", "only hang and mmu"),
        ("hang@3,,irq@4", "KIND@N"),
    ],
)
def test_bad_text_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(BadInput) as caught:
        FaultPlan.parse([text])
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_every_kind_stands_in_the_manual() -> None:
    table = (Path(__file__).parents[2] / "docs" / "faults.md").read_text()
    assert re.findall(r"^\| `(\w+)@N` \|", table, re.MULTILINE) == list(Kind)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        plan = FaultPlan.parse([text])
    except BadInput as error:
        assert "\n" not in str(error)
    else:
        assert FaultPlan.parse([str(each) for each in plan.injections]) == plan
