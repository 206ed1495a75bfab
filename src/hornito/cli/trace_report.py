# SPDX-License-Identifier: MIT
"""``hornito trace report``: what is there to see in a recording, on one page?"""

import argparse

from hornito.cli.options import keep_apart, remark
from hornito.cli.trace_options import add_chip, check_chip, warn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="F", help="what to report of")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the page (.html) to write")
    add_chip(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.files import write_atomically
    from hornito.trace.load import load
    from hornito.trace.report import report

    chip = check_chip(options.chip)
    keep_apart([options.output], [options.file])
    recording = load(options.file)
    page = report(recording, chip)
    write_atomically(options.output, page)
    warn(recording)
    remark(f"{options.output}: {len(page):,} bytes; open it in a browser")
    return 0
