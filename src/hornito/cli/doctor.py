# SPDX-License-Identifier: MIT
"""``hornito doctor``: does the NPU found here compute what the virtual one does? A table, and one file to send."""

import argparse
import contextlib
import dataclasses
import functools
import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hornito import __version__
from hornito.cli.options import add_json, counted, print_json, remark

if TYPE_CHECKING:
    from hornito.doctor import JobResult, Report

DIFFERS, DEVICE_FAILED = 1, 4
SHOWN = 10  # jobs that did not pass
HEADINGS = ("jobs of", "unit", "pass", "differ", "failed", "not run", "median ms")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="REPORT.zip", help="where the report goes, to attach to a bug report")
    parser.add_argument(
        "--device", metavar="NAME", default="auto", help="auto, virtual or /dev/dri/renderD128 (default: auto)"
    )
    parser.add_argument("--chip", metavar="NAME", help="which chip to emulate, where the device is virtual")
    parser.add_argument("--filter", metavar="TEXT", default="", help="only jobs of families whose name holds this")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.cli.progress import preparation, shown
    from hornito.doctor import examine, pack_report
    from hornito.doctor.examination import JOB_TIMEOUT
    from hornito.doctor.selftests import selftests
    from hornito.errors import BadInput, Unsupported
    from hornito.files import atomic_writer
    from hornito.runtime.devices import HERE, find_device, open_device, resolve

    name = resolve(options.device)
    chip = find_device(name, options.chip)
    if chip is None:
        raise Unsupported(f"device {name}: is no NPU; name one with --device ('hornito devices' lists them)")
    judge = open_device("virtual", chip.name, preparation())
    assert judge is not None
    recipes = [recipe for recipe in selftests() if options.filter in recipe.family]
    if not recipes:
        families = ", ".join(dict.fromkeys(recipe.family for recipe in selftests()))
        raise BadInput(f"no family of jobs is called {options.filter!r}; there are {families}")
    with contextlib.ExitStack() as stack:  # a place that can't be written shows before the test, not after it
        stream = stack.enter_context(atomic_writer(options.output)) if options.output is not None else None
        stack.enter_context(judge)
        progress = stack.enter_context(shown("testing"))
        machine = dataclasses.replace(HERE, timeout=JOB_TIMEOUT)
        opener = functools.partial(open_device, name, options.chip, machine=machine)
        found = examine(opener, judge, recipes=recipes, progress=progress.update)
        report = dataclasses.replace(found.report, hornito=__version__)
        if stream is not None:
            pack_report(stream, report, found.files)
    if options.json:
        print_json(report.as_json())
    else:
        _print(report)
    if options.output is not None:
        remark(f"report: {options.output}")
    return DEVICE_FAILED if report.gone else 0 if report.passed else DIFFERS


def _print(report: "Report") -> None:
    from hornito.doctor import Verdict

    patient = report.patient
    print(f"device: {patient.name} ({patient.chip}), {'real' if patient.real else 'emulated'}")
    print(f"kernel: {patient.kernel} {patient.architecture}, {patient.driver} {patient.driver_version}")
    if patient.board:
        print(f"board: {patient.board}")
    print()
    _print_table([HEADINGS, *_rows(report)])
    bad = [job for job in report.jobs if job.verdict in (Verdict.DIFFERS, Verdict.FAILED)]
    if bad:
        print()
    for job in bad[:SHOWN]:
        what = job.error or f"{job.differing} of {job.compared} bytes differ, by up to {job.largest}"
        print(f"{job.verdict.value}: {job.name} ({job.unit.upper()}, {job.operator}): {what}")
    if len(bad) > SHOWN:
        print(f"and {len(bad) - SHOWN} more; --json has all")
    print()
    counts = [(verdict, report.count(verdict)) for verdict in Verdict]
    words = [f"{count} {verdict.value}" for verdict, count in counts if count or verdict is Verdict.PASS]
    print(f"{counted(len(report.jobs), 'job')}: {', '.join(words)}")
    if report.gone:
        print("the device could not be opened again after a failure; restart the machine before the next test")
    if not report.log_readable:
        remark("the kernel's log can't be read; what it says of a failure: sudo dmesg | grep etnaviv")


def _rows(report: "Report") -> list[tuple[str, ...]]:
    """A line for each family and unit, in order of appearance."""
    from hornito.doctor import Verdict

    groups: dict[tuple[str, str], list[JobResult]] = {}
    for job in report.jobs:
        groups.setdefault((job.family, job.unit), []).append(job)
    rows = []
    for (family, unit), jobs in groups.items():
        times = [job.median for job in jobs if job.median is not None]
        counts = (str(sum(job.verdict is verdict for job in jobs) or "") for verdict in Verdict)
        rows.append((family, unit.upper(), *counts, f"{statistics.median(times):.2f}" if times else ""))
    return rows


def _print_table(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    for first, *rest in lines:
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        print("  ".join([first.ljust(widths[0]), *numbers]).rstrip())
