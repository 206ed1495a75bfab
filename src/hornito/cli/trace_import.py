# SPDX-License-Identifier: MIT
"""``hornito trace import``: from the files of other programs to a recording."""

import argparse
import dataclasses
import os

from hornito import __version__
from hornito.cli.options import keep_apart, remark
from hornito.cli.trace_options import warn
from hornito.errors import BadInput


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="F", nargs="+", help="what to import")
    parser.add_argument("-o", "--output", metavar="FILE", required=True, help="the recording (.trace) to write")


def run(options: argparse.Namespace) -> int:
    from hornito.trace.load import load_all
    from hornito.trace.writer import save

    keep_apart([options.output], options.files)
    recordings = load_all(options.files)
    if len(recordings) > 1:
        raise BadInput(f"{len(recordings)} recordings are named; import them one by one")
    (recording,) = recordings
    recording.header = dataclasses.replace(recording.header, writer=f"hornito {__version__}")
    save(recording, options.output)
    warn(recording)
    remark(f"{options.output}: {os.path.getsize(options.output):,} bytes")
    return 0
