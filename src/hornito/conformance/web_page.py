# SPDX-License-Identifier: MIT
"""How do people look at the results? One page that needs nothing else: totals, what went wrong, families, heat maps."""

import re
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

from hornito.conformance.result import BAD, Report, Result, Status, Summary
from hornito.web import asset, document

_KEY = (
    ("pass", "as LiteRT's"),
    ("off", "within tolerance; the number is the largest difference"),
    ("fail", "fail"),
    ("error", "error"),
    ("refused", "refused by a rule"),
    ("skipped", "skipped"),
)
_LONGEST_LIST = 500
_FEW = 20  # cases of a family that are shown by their names
_MARKS = {Status.ERROR: "!", Status.REFUSED: "–", Status.SKIPPED: "○"}


def page(report: Report) -> bytes:
    """The page's HTML, self-contained, for light and dark, for narrow screens, for keyboard and touch."""
    title = f"Conformance of {report.device}, {report.chip}"
    style, script = (asset(__package__, name) for name in ("page.css", "page.js"))
    return "\n".join(document(title, style, _body(report), script)).encode()


def _body(report: Report) -> Iterator[str]:
    yield (
        f'<p class="dim">{len(report.results)} cases at plan level {escape(report.plan)}, seed {report.seed}, '
        f"in {report.seconds:.0f} s by {report.jobs} process{'es' if report.jobs > 1 else ''}</p>"
    )
    summaries = report.summaries
    yield from _totals(summaries)
    yield from _families(summaries)
    yield from _failures(report.bad)
    yield '<h2>Cases</h2><p class="dim">Choose a cell to see its case: by mouse or touch, or by Tab and arrow keys.</p>'
    yield '<div class="key">'
    for style, words in _KEY:
        yield f'<span><i class="{style}"></i>{words}</span>'
    yield "</div>"
    yield from _maps(report, summaries)
    yield '<div id="detail" role="status" hidden><button class="close" aria-label="close">×</button>'
    yield '<p><b></b></p><p class="what"></p><p><code></code></p></div>'


def _totals(summaries: Sequence[Summary]) -> Iterator[str]:
    yield '<ul class="totals">'
    for status in Status:
        count = sum(summary.counts[status] for summary in summaries)
        word = f'<a href="#failures">{status.value}</a>' if count and status in BAD else status.value
        yield f'<li><b>{count}</b><i class="{status.value}"></i>{word}</li>'
    yield "</ul>"


def _families(summaries: Sequence[Summary]) -> Iterator[str]:
    yield '<h2>Families</h2><table class="families"><thead><tr><th>family</th><th>cases</th><th>worst</th></tr></thead>'
    yield "<tbody>"
    for number, summary in enumerate(summaries):
        counted = [(status.value, count) for status, count in summary.counts.items() if count]
        bar = "".join(f'<i class="{style}" style="flex:{count}"></i>' for style, count in counted)
        words = ", ".join(f"{count} {style}" for style, count in counted)
        worst = "" if summary.worst is None else summary.worst
        yield (
            f'<tr><td><a href="#family-{number}">{escape(summary.family)}</a></td>'
            f'<td><div class="share"><span class="bar">{bar}</span><span>{words}</span></div></td><td>{worst}</td></tr>'
        )
    yield "</tbody></table>"


def _maps(report: Report, summaries: Sequence[Summary]) -> Iterator[str]:
    """A section for each family; small ones side by side."""
    members: dict[str, list[Result]] = {}
    for result in report.results:
        members.setdefault(result.family, []).append(result)
    sections = [(number, summary, members[summary.family]) for number, summary in enumerate(summaries)]
    for few, group in groupby(sections, lambda section: len(section[2]) <= _FEW):
        if few:
            yield '<div class="cards">'
        for number, summary, results in group:
            yield f'<section id="family-{number}"{"" if few else " class=broad"}><h3>{escape(summary.family)}</h3>'
            yield from _map(results)
            if summary.rules:
                yield '<ul class="rules">'
                for rule, count in summary.rules.items():
                    yield f"<li>{count} refused: {escape(rule)}</li>"
                yield "</ul>"
            yield "</section>"
        if few:
            yield "</div>"


def _map(results: Sequence[Result]) -> Iterator[str]:
    """A grid where the cases have places in one, else one cell after the other, with names where they are few."""
    if not all(result.row for result in results):
        named = len(results) <= _FEW
        yield f'<div class="cells{" named" if named else ""}">'
        yield "".join(_cell(result, _short_name(result) if named else "") for result in results) + "</div>"
        return
    columns = list(dict.fromkeys(result.column for result in results))
    rows: dict[str, dict[str, Result]] = {}
    for result in results:
        rows.setdefault(result.row, {})[result.column] = result
    columns.sort(key=_numbers)
    yield '<div class="wide"><table class="map"><thead>'
    yield from _headings(columns)
    yield "</thead><tbody>"
    for row, cells in rows.items():
        places = (f"<td>{_cell(cells[column]) if column in cells else ''}</td>" for column in columns)
        yield f"<tr><th>{escape(row)}</th>{''.join(places)}</tr>"
    yield "</tbody></table></div>"


def _headings(columns: Sequence[str]) -> Iterator[str]:
    """One line, or where columns are "inputs→outputs" two."""
    if all("→" in column for column in columns):
        yield "<tr><th>input channels</th>"
        for first, group in groupby(columns, lambda column: column.partition("→")[0]):
            yield f'<th class="group" colspan="{len(list(group))}">{escape(first)}</th>'
        yield "</tr><tr><th>output channels</th>"
        yield "".join(f"<th>{escape(column.partition('→')[2])}</th>" for column in columns) + "</tr>"
    else:
        yield "<tr><th></th>" + "".join(f"<th>{escape(column)}</th>" for column in columns) + "</tr>"


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.replace("→", " ").split()]


def _short_name(result: Result) -> str:
    """What tells a case from the others of its family."""
    name = re.sub(r"_is_signed_[01]$", "", result.name.partition("/")[2] or result.name)
    return name.replace("_", " ")


def _cell(result: Result, name: str = "") -> str:
    style = "off" if result.status is Status.PASS and result.worst else result.status.value
    mark = _MARKS.get(result.status) or (str(result.worst) if result.worst else "")
    shown = escape(mark)
    if name:
        sign = "±" if mark.isdigit() else ""
        shown = f"{escape(name)} <small>{sign}{mark}</small>" if mark else escape(name)
    saved = f' data-saved="{escape(result.saved)}"' if result.saved else ""
    return f'<button class="{style}" title="{_title(result)}"{saved}>{shown}</button>'


def _title(result: Result) -> str:
    worst = "" if result.worst is None else f", worst difference {result.worst} of {result.tolerance} allowed"
    return escape(f"{result.name}: {result.status.value}{worst}{f' ({result.reason})' if result.reason else ''}")


def _failures(bad: Sequence[Result]) -> Iterator[str]:
    if not bad:
        return
    yield f'<h2 id="failures">Failures and errors ({len(bad)})</h2><ul class="failures">'
    for result in bad[:_LONGEST_LIST]:
        saved = f"<br><code>{escape(result.saved)}</code>" if result.saved else ""
        yield f"<li><code>{escape(result.name)}</code><br>{escape(result.reason)}{saved}</li>"
    if len(bad) > _LONGEST_LIST:
        yield f"<li>and {len(bad) - _LONGEST_LIST} more</li>"
    yield "</ul>"
