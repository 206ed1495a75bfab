# SPDX-License-Identifier: MIT
"""``hornito doctor``: does the NPU found here compute what the virtual one does? A table, and one file to send."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hornito.cli.options import add_json, print_json, remark

if TYPE_CHECKING:
    from hornito.doctor import Report

DIFFERS, DEVICE_FAILED = 1, 4
SHOWN = 10  # jobs that did not pass
HEADINGS = ("jobs of", "unit", "pass", "differ", "failed", "not run", "median ms")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="REPORT.zip", help="where the report goes, to attach to a bug report")
    parser.add_argument(
        "--device", metavar="NAME", default="auto", help="auto, virtual or /dev/dri/renderD128 (default: auto)"
    )
    parser.add_argument("--chip", metavar="NAME", help="which chip to emulate, where the device is virtual")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.cli.progress import preparation, shown
    from hornito.doctor import examine, write_report
    from hornito.doctor.examination import JOB_TIMEOUT
    from hornito.errors import Unsupported
    from hornito.runtime.devices import find_device, open_device, resolve

    name = resolve(options.device)
    chip = find_device(name, options.chip)
    if chip is None:
        raise Unsupported(f"device {name}: is no NPU; name one with --device ('hornito devices' lists them)")
    judge = open_device("virtual", chip.name, preparation())
    assert judge is not None
    with judge, shown("testing") as progress:
        found = examine(lambda: open_device(name, options.chip, timeout=JOB_TIMEOUT), judge, progress=progress.update)
    if options.output is not None:
        write_report(options.output, found.report, found.files)
    if options.json:
        print_json(found.report.as_json())
    else:
        _print(found.report)
    if options.output is not None:
        remark(f"report: {options.output}")
    return DEVICE_FAILED if found.report.gone else 0 if found.report.passed else DIFFERS


def _print(report: "Report") -> None:
    patient = report.patient
    print(f"device: {patient.name} ({patient.chip}), {'real' if patient.real else 'emulated'}")
    print(f"kernel: {patient.kernel} {patient.architecture}, {patient.driver} {patient.driver_version}")
    if patient.board:
        print(f"board: {patient.board}")
    print()
    _print_table([HEADINGS, *_rows(report)])
    bad = [job for job in report.jobs if job.verdict.value in ("differs", "failed")]
    if bad:
        print()
    for job in bad[:SHOWN]:
        what = job.error or f"{job.differing} of {job.compared} bytes differ, by up to {job.largest}"
        print(f"{job.verdict.value}: {job.name} ({job.unit.upper()}, {job.operator}): {what}")
    if len(bad) > SHOWN:
        print(f"and {len(bad) - SHOWN} more; --json has all")
    print()
    counts = {verdict: sum(job.verdict.value == verdict for job in report.jobs) for verdict in HEADINGS_VERDICTS}
    words = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count or verdict == "pass")
    print(f"{len(report.jobs)} jobs: {words}")
    if report.gone:
        print("the device could not be opened again after a failure; restart the machine before the next test")
    if not report.log_readable:
        remark("the kernel's log can't be read; what it says of a failure: sudo dmesg | grep etnaviv")


HEADINGS_VERDICTS = ("pass", "differs", "failed", "not run")


def _rows(report: "Report") -> list[tuple[str, ...]]:
    from hornito.doctor import Verdict

    groups: dict[tuple[str, str], list[object]] = {}
    for job in report.jobs:
        groups.setdefault((job.family, job.unit), []).append(job)
    rows = []
    for (family, unit), _ in groups.items():
        jobs = [job for job in report.jobs if (job.family, job.unit) == (family, unit)]
        times = sorted(job.median for job in jobs if job.median is not None)
        median = f"{times[len(times) // 2]:.2f}" if times else ""
        counts = (str(sum(job.verdict is verdict for job in jobs) or "") for verdict in Verdict)
        rows.append((family, unit.upper(), *counts, median))
    return rows


def _print_table(lines: Sequence[Sequence[str]]) -> None:
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADINGS))]
    for first, *rest in lines:
        numbers = (cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))
        print("  ".join([first.ljust(widths[0]), *numbers]).rstrip())
