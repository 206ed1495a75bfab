# SPDX-License-Identifier: MIT
"""Does the page of results show, in a real browser, what it should, on any screen and to any hand?"""

from collections.abc import Callable
from pathlib import Path

import pytest

from hornito.conformance import Report, Result, Status, all_cases, page
from tests.browser import Browser, Page
from tests.conformance.fakes import result

RESULTS = (
    *(
        result(f"Map.Op/{row}_{column}", family="Map", worst=0, tolerance=1, row=str(row), column=f"{column}→1")
        for row in range(3)
        for column in range(4)
        if (row, column) not in ((1, 1), (2, 3))
    ),
    result(
        "Map.Op/1_1",
        Status.FAIL,
        "Map",
        worst=37,
        tolerance=1,
        reason="Op#0 <X> & more",
        saved="hornito run m",
        row="1",
        column="1→1",
    ),
    result("Few.Op/by_2_is_signed_0", family="Few", worst=1, tolerance=1),
    result(
        "Few.Op/by_4_is_signed_0", Status.REFUSED, "Few", reason="X: needs a rule; it has 3", rule="X: needs a rule"
    ),
    *(result(f"Many.Op/{number}", Status.SKIPPED, "Many", reason="no model") for number in range(30)),
    result("Many.Op/30", Status.ERROR, "Many", reason='its process "died"'),
)
Show = Callable[..., Page]


@pytest.fixture
def show(browser: Browser, tmp_path: Path) -> Show:
    """Opens the page of some results."""

    def shown(results: tuple[Result, ...] = RESULTS, width: int = 1200, dark: bool = False) -> Page:
        place = tmp_path / "page.html"
        place.write_bytes(page(Report("virtual", "a chip", "proven", 1, 2, 12.5, results)))
        return browser.open(place, width, 900, dark=dark)

    return shown


def style(shown: Page, selector: str, name: str) -> str:
    return str(shown.evaluate(f"getComputedStyle(document.querySelector({selector!r})).{name}"))


def detail(shown: Page) -> str:
    """What the panel says; "" where it is not shown."""
    return str(
        shown.evaluate(
            "document.querySelector('#detail').hidden ? '' :"
            " [...document.querySelectorAll('#detail p')].map(line => line.innerText).join('\\n')"
        )
    )


def test_every_case_has_a_cell_and_nothing_goes_wrong(show: Show) -> None:
    shown = show()
    assert shown.errors == []
    assert [Path(address).name for address in shown.requested] == ["page.html"]
    assert shown.evaluate("document.querySelectorAll('section button').length") == len(RESULTS)
    counts = {
        name: shown.evaluate(f"document.querySelectorAll('section button.{name}').length")
        for name in ("pass", "off", "fail", "error", "refused", "skipped")
    }
    assert counts == {"pass": 10, "off": 1, "fail": 1, "error": 1, "refused": 1, "skipped": 30}
    colours = {style(shown, f"section .{name}", "backgroundColor") for name in counts}
    assert len(colours) == len(counts) and "rgba(0, 0, 0, 0)" not in colours
    assert shown.evaluate("document.querySelector('.map .fail').innerText") == "37"
    assert shown.evaluate("document.querySelector('.named .off').innerText") == "by 2 ±1"
    assert shown.evaluate("[...document.querySelectorAll('.map td')].filter(cell => !cell.children.length).length") == 1


def test_summary_of_families_comes_first_and_leads_to_them(show: Show) -> None:
    shown = show()
    places = shown.evaluate(
        "['.totals', '.families', '.failures', '.key', 'section'].map(name =>"
        " document.querySelector(name).getBoundingClientRect().top)"
    )
    assert places == sorted(places)
    words = shown.evaluate("document.querySelector('.families tbody').innerText")
    assert "10 pass, 1 fail" in words and "1 pass, 1 refused" in words
    assert shown.evaluate(
        "[...document.querySelectorAll('a')].every(link => document.querySelector(link.getAttribute('href')))"
    )


def test_click_tells_of_a_case_and_escape_ends_that(show: Show) -> None:
    shown = show()
    assert detail(shown) == ""
    shown.click(".map .fail")
    found = detail(shown)
    assert "Map.Op/1_1" in found and "fail, worst difference 37 of 1 allowed (Op#0 <X> & more)" in found
    assert "hornito run m" in found
    shown.click(".named .refused")
    found = detail(shown)
    assert "Few.Op/by_4_is_signed_0" in found and "needs a rule; it has 3" in found and "hornito run" not in found
    shown.press("Escape")
    assert detail(shown) == ""
    shown.click(".cells .error")
    assert 'its process "died"' in detail(shown)
    shown.click("#detail .close")
    assert detail(shown) == "" and shown.errors == []


def test_keyboard_reaches_every_case(show: Show) -> None:
    shown = show()
    shown.evaluate("document.querySelector('.families tr:last-child a').focus()")
    shown.press("Tab")  # into the first map: one stop for each
    names = []
    for key in ("Enter", "ArrowRight", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowRight"):
        shown.press(key)
        names.append(detail(shown).partition("\n")[0])
    # Right from (2, 2) is no case; so the focus stays there until it goes up.
    assert [name.removeprefix("Map.Op/") for name in names] == [
        *("0_0", "0_1", "1_1", "2_1", "2_2", "2_2", "1_2", "1_3"),
    ]
    shown.press("Tab")
    shown.press("Enter")
    assert "Few.Op/by_2" in detail(shown)
    shown.press("ArrowRight")
    assert "Few.Op/by_4" in detail(shown) and shown.errors == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_full_matrix_fits_a_telephone(dark: bool, show: Show) -> None:
    everything = tuple(result(case.name, family=case.family, row=case.row, column=case.column) for case in all_cases())
    shown = show(everything, 390, dark)
    assert shown.errors == []
    assert shown.evaluate("document.querySelectorAll('section button').length") == len(everything)
    assert shown.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = shown.evaluate(
        "[...document.querySelectorAll('section button')].map(cell => cell.getBoundingClientRect())"
        ".reduce(([w, h], box) => [Math.min(w, box.width), Math.min(h, box.height)], [99, 99])"
    )
    assert min(sizes) >= 20
    lightness = [int(part) for part in style(shown, "body", "backgroundColor")[4:-1].split(",")]
    assert max(lightness) < 60 if dark else min(lightness) > 200
