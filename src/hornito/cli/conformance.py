# SPDX-License-Identifier: MIT
"""``hornito conformance``: which operators does a device compute as LiteRT does?"""

import argparse
import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hornito.cli.options import (
    add_json,
    add_level,
    counted,
    file_name,
    keep_apart,
    natural,
    positive,
    print_json,
    remark,
)
from hornito.errors import BadInput

if TYPE_CHECKING:
    from hornito.conformance import Comparison, Report

DIFFERS = 1  # exit code
SHOWN = 20  # failures on the terminal
HEADINGS = ("family", "cases", "pass", "fail", "refused", "skipped", "error", "worst")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--device", metavar="NAME", default="auto", help="auto, virtual, /dev/dri/renderD128 or hornito://HOST:PORT"
    )
    parser.add_argument("--chip", metavar="NAME", help="which chip to compile for or to emulate (default: vipnano-qi)")
    add_level(parser)
    parser.add_argument("--sample", metavar="N", type=positive, help="so many of the cases, chosen by --seed (all)")
    parser.add_argument("--seed", metavar="S", type=natural, default=1, help="of the sample, weights and inputs (1)")
    parser.add_argument("--filter", metavar="PATTERN", help="cases whose name holds this, or fits it (*, ?)")
    parser.add_argument("--jobs", metavar="N", type=positive, help="processes that share the work (one a processor)")
    parser.add_argument(
        "--save", metavar="DIR", type=file_name, help="where models of failures go (conformance/ in the cache)"
    )
    parser.add_argument(
        "--against", metavar="FILE", type=file_name, help="a list of known failures: only what differs from it counts"
    )
    parser.add_argument("--junit", metavar="FILE", type=file_name, help="write the results as JUnit's XML, too")
    parser.add_argument(
        "--html", metavar="FILE", type=file_name, help="write the results as a page with a heat map, too"
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from hornito import conformance
    from hornito.cli.progress import preparation, shown
    from hornito.compiler import find_level
    from hornito.conformance.keep import default_folder
    from hornito.files import atomic_writer

    written = [path for path in (options.junit, options.html) if path]
    keep_apart(written, [options.against] if options.against else [])
    if len({os.path.realpath(path) for path in written}) < len(written):
        raise BadInput(f"{options.html}: --junit and --html name the same file; give each a name of its own")
    if options.save and os.path.exists(options.save) and not os.path.isdir(options.save):
        raise BadInput(f"{options.save}: is no folder; name one with --save, which need not exist yet")
    everything = conformance.all_cases()
    cases = everything
    if options.filter is not None:
        cases = conformance.matching(cases, options.filter)
    if options.sample is not None:
        cases = conformance.sample(cases, options.sample, options.seed)
    listed = None if options.against is None else conformance.read_list(options.against)
    folder = Path(options.save) if options.save else default_folder()
    settings = conformance.Settings(options.device, options.chip, find_level(options.plan), options.seed, folder)
    with contextlib.ExitStack() as stack:
        # Now, rather than after all the work: places that can't be written.
        xml, page = (
            stack.enter_context(atomic_writer(path)) if path else None for path in (options.junit, options.html)
        )
        with shown("conformance") as progress:
            report = conformance.run(
                cases, settings, options.jobs or _processors(), progress=progress.update, preparation=preparation()
            )
        if xml:
            xml.write(conformance.junit(report))
        if page:
            page.write(conformance.page(report))
    comparison = None
    if listed is not None:
        comparison = conformance.compare(report.results, listed, (case.name for case in everything))
    if options.json:
        _print_json(report, comparison)
    else:
        _print(report, comparison)
    good = not report.bad if comparison is None else comparison.as_expected
    return 0 if good else DIFFERS


def _processors() -> int:
    return len(os.sched_getaffinity(0))


def _print_json(report: "Report", comparison: "Comparison | None") -> None:
    value = report.as_json()
    if comparison is not None:
        value["against"] = {
            "improved": comparison.improved,
            "broken": comparison.broken,
            "unknown": comparison.unknown,
        }
    print_json(value)


def _print(report: "Report", comparison: "Comparison | None") -> None:
    print(f"{report.device}: {report.chip}, plan level {report.plan}, seed {report.seed}")
    print()
    lines: list[Sequence[str]] = [HEADINGS]
    for summary in report.summaries:
        worst = "" if summary.worst is None else str(summary.worst)
        counts = [str(number or "") for number in summary.counts.values()]
        lines.append((summary.family, str(summary.total), *counts, worst))
    totals = [sum(summary.counts[status] for summary in report.summaries) for status in report.summaries[0].counts]
    lines.append(("total", str(len(report.results)), *(str(number or "") for number in totals), ""))
    _print_table(lines)
    _print_rules(report)
    for result in report.bad[:SHOWN]:
        print(f"{result.status.value}: {result.name}: {result.reason}")
        if result.saved:
            print(f"  {result.saved}")
    if len(report.bad) > SHOWN:
        print(f"and {len(report.bad) - SHOWN} more; --json has all")
    if comparison is not None:
        _print_comparison(comparison)
    cases, processes = len(report.results), report.jobs
    remark(f"{counted(cases, 'case')} in {report.seconds:.1f} s by {counted(processes, 'process', 'processes')}")


def _print_table(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    for first, *rest in lines:
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        print("  ".join([first.ljust(widths[0]), *numbers]).rstrip())


def _print_rules(report: "Report") -> None:
    """Which rules refused, and in which families."""
    refused: dict[str, list[str]] = {}
    for summary in report.summaries:
        for rule, count in summary.rules.items():
            refused.setdefault(rule, []).append(f"{summary.family} {count}")
    if refused:
        print()
    for rule, places in refused.items():
        print(f"refused: {rule} ({', '.join(places)})")
    if report.bad:
        print()


def _print_comparison(comparison: "Comparison") -> None:
    print()
    for name in comparison.broken:
        print(f"fails, and is not listed: {name}")
    for name in comparison.improved:
        print(f"passes, but is listed: {name}")
    if comparison.unknown:
        remark(f"{len(comparison.unknown)} listed names are no cases, {comparison.unknown[0]} for one")
    if comparison.as_expected:
        print("all as the list expects")
