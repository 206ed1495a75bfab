# SPDX-License-Identifier: MIT
"""``hornito trace show``: what does a recording say, word by word?"""

import argparse
import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from hornito.cli.options import print_json, remark
from hornito.cli.pager import paged, wants_colour
from hornito.cli.trace_options import add_chip, add_output, add_selection, check_chip, selection, warn, write
from hornito.errors import BadInput

if TYPE_CHECKING:
    from hornito.trace.coefficients import Coefficients
    from hornito.trace.records import Recording
    from hornito.trace.show import Options, Shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", metavar="F", nargs="+", help="what to show")
    add_selection(parser)
    parser.add_argument("--calls", action="store_true", help="the calls alone, submits as one line each")
    parser.add_argument("--weights", metavar="JOB", help="weights and biases of this NN job: 12, or 1.12 of submit 1")
    parser.add_argument("-o", "--output", metavar="FILE", help="with --weights: write them to this .npz file")
    add_chip(parser)
    add_output(parser)


def run(options: argparse.Namespace) -> int:
    from hornito.trace.load import load_all
    from hornito.trace.show import Options, as_json, show

    if options.output and not options.weights:
        raise BadInput("-o names a file for weights; say of which job with --weights JOB")
    wanted = Options(selection(options), streams=not options.calls, chip=check_chip(options.chip))
    recordings = load_all(options.files)
    if options.weights:
        return _weights(recordings, options)
    seen = [_Counted(wanted) for _ in recordings]
    if options.json:
        for recording, one in zip(recordings, seen, strict=True):
            head = {"file": recording.path, "source": recording.header.source, "chip": recording.header.chip}
            sys.stdout.write(json.dumps(head)[:-1] + ', "events": [')
            for number, event in enumerate(one.events(as_json(recording, wanted))):
                sys.stdout.write(("," if number else "") + "\n" + json.dumps(event))
            sys.stdout.write(f'\n], "problem": {json.dumps(recording.problem)}}}\n')
            warn(recording)
        _check_found(recordings, wanted, seen)
        return 0
    with paged(not options.no_pager) as out:
        for recording, one in zip(recordings, seen, strict=True):
            write(one.lines(show(recording, wanted)), out, wants_colour(options.color))
    for recording in recordings:
        warn(recording)
    _check_found(recordings, wanted, seen)
    return 0


def _weights(recordings: "list[Recording]", options: argparse.Namespace) -> int:
    made = _find(recordings, options)
    weights, biases = made.array(), made.weights.biases
    if options.output:
        import numpy as np

        from hornito.files import atomic_writer

        with atomic_writer(options.output) as file:
            np.savez_compressed(file, weights=weights, biases=biases, zero_point=made.shape.zero_point)
        remark(f"{options.output}: weights {'x'.join(map(str, weights.shape))} and {len(biases)} biases")
        return 0
    if options.json:
        print_json({"zero_point": made.shape.zero_point, "biases": biases.tolist(), "weights": weights.tolist()})
        return 0
    with paged(not options.no_pager) as out:
        out.write(f"{made.text()}\nzero point {made.shape.zero_point}; weights as [output][input][row][column]\n")
        for number, (bias, kernel) in enumerate(zip(biases.tolist(), weights, strict=True)):
            out.write(f"output {number}: bias as stored {bias}\n")
            for plane, rows in enumerate(kernel.tolist()):
                out.write(f"  input {plane}: " + " | ".join(" ".join(f"{w:3}" for w in row) for row in rows) + "\n")
    return 0


def _find(recordings: "list[Recording]", options: argparse.Namespace) -> "Coefficients":
    from hornito.trace.selection import job_number
    from hornito.trace.unmatched import convolution

    wanted = job_number(options.weights)
    if len(recordings) > 1:
        raise BadInput(f"--weights is for one recording; {len(recordings)} are named")
    return convolution(recordings[0], wanted, check_chip(options.chip)).weights_of(wanted.job)


class _Counted:
    """Counts what of a recording a selection shows, as it goes by: submits alone where no more of them is wanted."""

    def __init__(self, wanted: "Options") -> None:
        chosen = wanted.selection
        self._deep = wanted.streams and bool(chosen.jobs or chosen.units or chosen.fields)
        self.found = chosen.everything

    def lines(self, lines: "Iterator[Shown]") -> "Iterator[Shown]":
        from hornito.trace.show import Style

        for number, line in enumerate(lines):
            self.found |= number > 0 and not (self._deep and line.style is Style.HEADING)
            yield line

    def events(self, events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for event in events:
            self.found |= not self._deep or bool(event.get("lines") or event.get("problem"))
            yield event


def _check_found(recordings: "list[Recording]", wanted: "Options", counted: "list[_Counted]") -> None:
    """Raises BadInput where nothing of any recording was selected."""
    if recordings and not any(one.found for one in counted):
        from hornito.trace.unmatched import reason

        raise BadInput(f"{recordings[0].path}: {reason(recordings[0], wanted.selection, wanted.chip)}")
