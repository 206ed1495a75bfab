# SPDX-License-Identifier: MIT
"""Are the results' tables and files what their readers expect?"""

import json
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hornito.conformance import Report, Status, all_cases, compare, junit, page, read_list
from hornito.conformance.expectations import Comparison
from hornito.errors import BadInput
from tests.conformance.fakes import result

RESULTS = (
    result("a/1", family="A", worst=0, tolerance=1, seconds=0.25, row="8² VALID", column="1→32"),
    result("a/2", family="A", worst=1, tolerance=1, row="8² VALID", column="32→1"),
    result("a/3", Status.FAIL, "A", worst=7, tolerance=1, reason="Op#0 <X> & \x01 more", saved="hornito run m"),
    result("b/1", Status.REFUSED, "B", reason="X: needs a rule; it has 3", rule="X: needs a rule"),
    result("b/2", Status.REFUSED, "B", reason="X: needs a rule; it has 4", rule="X: needs a rule"),
    result("b/3", Status.SKIPPED, "B", reason="no model"),
    result("c/1", Status.ERROR, "C", reason='its process "died"'),
    result("c/2", family="C", worst=30, tolerance=8),
)
REPORT = Report("virtual", "vipnano-qi-88-0", "proven", 1, 2, 12.5, RESULTS)


def test_summary_counts_and_keeps_the_worst() -> None:
    a, b, c = REPORT.summaries
    assert (a.family, a.total, a.worst) == ("A", 3, 7)
    assert (a.counts[Status.PASS], a.counts[Status.FAIL], a.counts[Status.ERROR]) == (2, 1, 0)
    assert (b.worst, b.rules) == (None, {"X: needs a rule": 2})
    assert [entry.name for entry in REPORT.bad] == ["a/3", "c/1"]
    assert c.total == 2


def test_json_holds_every_case() -> None:
    value = json.loads(json.dumps(REPORT.as_json(), allow_nan=False))
    assert [case["name"] for case in value["cases"]] == [entry.name for entry in RESULTS]
    assert value["families"][1] == {
        "family": "B",
        "cases": 3,
        "pass": 0,
        "fail": 0,
        "refused": 2,
        "skipped": 1,
        "error": 0,
        "worst": None,
        "rules": {"X: needs a rule": 2},
    }


def test_junit_is_xml_with_a_suite_for_each_family() -> None:
    root = ElementTree.fromstring(junit(REPORT))
    suites = {suite.get("name"): suite for suite in root.findall("testsuite")}
    assert list(suites) == ["A", "B", "C"]
    counts = {
        name: [suite.get(key) for key in ("tests", "failures", "errors", "skipped")] for name, suite in suites.items()
    }
    assert counts == {"A": ["3", "1", "0", "0"], "B": ["3", "0", "0", "3"], "C": ["2", "0", "1", "0"]}
    failure = root.find(".//testcase[@name='a/3']/failure")
    assert failure is not None and failure.get("message") == "Op#0 <X> & ? more" and failure.text == "hornito run m"
    assert len(root.findall(".//testcase")) == len(RESULTS)


class Checker(HTMLParser):
    """Keeps track of open elements, and of what would be loaded from elsewhere."""

    ALONE = {"meta", "br"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.titles: list[str] = []
        self.loaded: list[str | None] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in self.ALONE:
            self.open.append(tag)
        self.titles += [value or "" for name, value in attrs if name == "title"]
        self.loaded += [value for name, value in attrs if name in ("src", "href") and not (value or "").startswith("#")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_whole_and_needs_nothing_else() -> None:
    text = page(REPORT).decode()
    checker = Checker()
    checker.feed(text)
    assert (checker.open, checker.loaded) == ([], [])
    assert [title.partition(":")[0] for title in checker.titles] == [entry.name for entry in RESULTS]
    assert "prefers-color-scheme: dark" in text and 'name="viewport"' in text
    assert "<X>" not in text and "&lt;X&gt;" in text


def test_page_draws_a_map_where_cases_have_places() -> None:
    placed = Report("virtual", "chip", "proven", 1, 1, 1.0, RESULTS[:2])
    text = page(placed).decode()
    assert '<table class="map">' in text and text.index("input channels") < text.index('colspan="1">1<')
    everything = tuple(result(case.name, family=case.family, row=case.row, column=case.column) for case in all_cases())
    assert len(page(Report("virtual", "chip", "proven", 1, 1, 1.0, everything))) < 2_000_000


def test_comparison_names_what_is_not_as_listed() -> None:
    found = compare(
        RESULTS, ["a/1", "a/3", "b/1", "nothing", "not run"], ["a/1", "a/2", "a/3", "not run", "b/1", "c/1"]
    )
    assert (found.improved, found.broken, found.unknown) == (("a/1",), ("c/1",), ("nothing",))
    assert not found.as_expected
    assert not Comparison(("a/1",), (), ()).as_expected and not Comparison((), ("c/1",), ()).as_expected
    assert compare(RESULTS, ["a/3", "c/1", "b/1"], ["a/3"]).as_expected


def test_list_of_names_may_have_remarks_and_verdicts(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    file.write_text("# known\nAdd.Op/1,Fail\n\n  Add.Op/2  # why\n")
    assert read_list(file) == ["Add.Op/1", "Add.Op/2"]
    with pytest.raises(BadInput, match="can't be read"):
        read_list(tmp_path / "none.txt")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="no text"):
        read_list(tmp_path / "binary")
