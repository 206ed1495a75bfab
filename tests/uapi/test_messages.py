# SPDX-License-Identifier: MIT
from hypothesis import given
from hypothesis import strategies as st

from hornito.uapi.messages import (
    PREFIX,
    RECOVERED,
    Refusal,
    explain,
    fault_lines,
    offender_line,
    parse_refusal,
    refusal_line,
)

_WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1)
_NUMBERS = st.none() | st.integers(0, (1 << 32) - 1)


@given(st.integers(0, 1 << 32), st.sampled_from(["NN", "TP", "FE", "MMU"]), _WORDS, _NUMBERS, _NUMBERS)
def test_refusal_survives_the_log(submit: int, unit: str, reason: str, job: int | None, address: int | None) -> None:
    line = refusal_line(submit, unit, reason, job, address)
    assert "\n" not in line
    assert parse_refusal("[  12.5] " + PREFIX + line) == Refusal(unit, reason, job, address, submit)


def test_reason_of_several_lines_becomes_one() -> None:
    refusal = parse_refusal(refusal_line(1, "NN unit", "first\n\tsecond: third"))
    assert refusal == Refusal("NN-unit", "first second: third", None, None, 1)


def test_own_line_is_found_among_the_kernels() -> None:
    other = PREFIX + refusal_line(3, "TP", "not mine", 1, 2)
    mine = PREFIX + refusal_line(4, "NN", "mine", 5, 6)
    lines = [*fault_lines(2, 0x1000), PREFIX + RECOVERED, other, mine]
    assert explain(lines, 4) == (Refusal("NN", "mine", 5, 6, 4), mine)


def test_mmu_fault_of_a_real_kernel_gives_unit_and_address() -> None:
    lines = ["etnaviv-gpu ff100000.npu: MMU fault status 0x00000001 (page not present)"]
    lines += ["etnaviv-gpu ff100000.npu: MMU 0 fault addr 0xfff01000", "etnaviv-gpu ff100000.npu: recover hung GPU!"]
    found = explain(lines, 9)
    assert found is not None
    assert (found[0].unit, found[0].address, found[1]) == ("MMU", 0xFFF01000, lines[1])


def test_mmu_fault_of_a_newer_kernel_has_the_reason_in_brackets() -> None:
    lines = fault_lines(1, 0xFFF01000)
    assert lines[1].endswith("MMU 0 fault (slave not present) addr 0xfff01000")
    found = explain([*lines, PREFIX + RECOVERED], 9)
    assert found is not None
    assert (found[0].unit, found[0].address) == ("MMU", 0xFFF01000)


def test_offender_is_one_printable_line() -> None:
    assert offender_line("a\nb", "run\x1b[0m") == PREFIX + "offending task: a\\x0ab (run\\x1b[0m)"


def test_mere_hang_has_no_unit() -> None:
    found = explain(["etnaviv-gpu npu: recover hung GPU!"], 9)
    assert found is not None
    assert (found[0].unit, found[0].address) == ("unknown", None)


def test_log_without_a_killed_job_explains_nothing() -> None:
    assert explain(["usb 1-1: new device", refusal_line(3, "TP", "another's")], 9) is None
