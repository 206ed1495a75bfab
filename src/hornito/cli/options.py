# SPDX-License-Identifier: MIT
"""Which options do verbs share, and what do they turn into?"""

import argparse
import dataclasses
import json
import math
import os
import sys
from collections.abc import Sequence
from typing import Any

from hornito.errors import BadInput
from hornito.words import counted as counted

UNITS = ("nn", "tp")
LEVEL = "proven"  # unless --plan says otherwise


def add_json(parser: argparse.ArgumentParser) -> None:
    """``--json``."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def add_level(parser: argparse.ArgumentParser) -> None:
    """``--plan``."""
    parser.add_argument(
        "--plan",
        metavar="LEVEL",
        default=LEVEL,
        help="proven (the default): what is known to work on silicon; wide: all that the databook says should; "
        "fast: as wide, with encodings of our own choice where the cost model has them faster",
    )


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """``--chip``, ``--plan``, ``--disable`` and more: what a plan depends on."""
    parser.add_argument("--chip", metavar="NAME", help="which chip to compile for or to emulate (default: vipnano-qi)")
    add_level(parser)
    parser.add_argument(
        "--per-axis-error",
        metavar="PART",
        type=part,
        help="at --plan wide: how far channels that share a job may be off, as a part of their results' spread (0.1)",
    )
    parser.add_argument(
        "--evidence",
        metavar="REPORT.zip",
        help="a board's report ('hornito doctor'): what it proves is no longer marked unproven on silicon",
    )
    parser.add_argument(
        "--disable", metavar="UNITS", type=units, default=(), help="do without these units: nn, tp, or both (nn,tp)"
    )
    parser.add_argument(
        "--without",
        metavar="TECHNIQUES",
        type=names,
        default=(),
        help="at --plan fast: leave out these techniques, e.g. groups,tiles; docs/fast.md has them all",
    )


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """``--device``, the options of a plan, and ``--threads``."""
    parser.add_argument(
        "--device",
        metavar="NAME",
        default="auto",
        help="auto, virtual, cpu, /dev/dri/renderD128 ('hornito devices' lists them), or another machine's: "
        "hornito://HOST:PORT, hornito+unix:PATH",
    )
    add_plan_options(parser)
    parser.add_argument(
        "--threads",
        metavar="N",
        type=positive,
        help="threads of the CPU's share of the work, and of the virtual NPU: at most one a processor (default: 1)",
    )


def add_fault(parser: argparse.ArgumentParser) -> None:
    """``--fault``."""
    parser.add_argument(
        "--fault",
        metavar="KIND@N",
        action="append",
        help="let the virtual NPU fail: hang, mmu, irq or lost at its Nth submission, alloc at its Nth buffer",
    )


def fault_plan(options: argparse.Namespace) -> Any:
    """What ``--fault`` asks for, or None. Raises BadInput."""
    from hornito.virtual.injection import FaultPlan

    return FaultPlan.parse(options.fault) if options.fault else None


def part(text: str) -> float:
    """A number above 0, at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0 and at most 1")
    return value


def names(text: str) -> tuple[str, ...]:
    """What stands between commas."""
    return tuple(part.strip().lower() for part in text.split(",") if part.strip())


def units(text: str) -> tuple[str, ...]:
    """The units of ``--disable``."""
    found = names(text)
    for name in found:
        if name not in UNITS:
            raise argparse.ArgumentTypeError(f"unit {name!r} can't be disabled; known are nn and tp")
    return found


def file_name(text: str) -> str:
    """The name of a file, to read or to write; whether it can be is seen when that happens."""
    if not text:
        raise argparse.ArgumentTypeError("'' names no file")
    return text


def positive(text: str) -> int:
    """A whole number of at least 1."""
    return _at_least(text, 1)


def natural(text: str) -> int:
    """A whole number of at least 0."""
    return _at_least(text, 0)


def _at_least(text: str, least: int) -> int:
    if not text.isascii() or not text.isdigit() or not least <= int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {least} to 1000000")
    return int(text)


def remark_on_ignored(options: argparse.Namespace, device: str = "") -> None:
    """Say which of the plan's options nothing will heed on that device ("": none in particular)."""
    error = options.per_axis_error is not None
    chosen = {"--chip": options.chip, "--plan": options.plan != LEVEL, "--per-axis-error": error}
    chosen |= {"--evidence": options.evidence, "--disable": options.disable, "--without": options.without}
    given = [name for name, is_given in chosen.items() if is_given]
    if device == "cpu" and given:
        remark(f"hornito: {', '.join(given)}: ignored, as --device cpu uses no NPU")
    elif getattr(options, "explain", None) is not None:
        return  # it weighs the ways of level fast, whatever the plan's own level
    elif error and options.plan == LEVEL and not getattr(options, "against", None):
        remark(f"hornito: --per-axis-error: ignored at plan level {LEVEL}; use --plan wide")
    elif options.without and "fast" not in (options.plan, getattr(options, "against", None)):
        remark(f"hornito: --without: ignored at plan level {options.plan}; use --plan fast")


def plan_options(options: argparse.Namespace) -> Any:
    """The compiler's options for a chip that need not be at hand. Raises BadInput, Unsupported."""
    from hornito.compiler import Options, Unit, find_level, find_technique
    from hornito.hardware.chips import DEFAULT_CHIP, find_chip

    remark_on_ignored(options)
    disabled = frozenset(Unit(name) for name in options.disable)
    without = frozenset(find_technique(name) for name in options.without)
    made = Options(find_chip(options.chip or DEFAULT_CHIP), find_level(options.plan), disabled, without=without)
    if (evidence := shown_evidence(options)) is not None:
        made = dataclasses.replace(made, evidence=evidence)
    if options.per_axis_error is None:
        return made
    return dataclasses.replace(made, per_axis_error=options.per_axis_error)


def shown_evidence(options: argparse.Namespace) -> Any:
    """What the report of ``--evidence`` proves; None without one. Raises BadInput."""
    if options.evidence is None:
        return None
    from hornito.doctor import read_report

    return read_report(options.evidence).evidence(options.evidence)


def device_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of ``Interpreter`` that say where a model runs."""
    from hornito.cli.progress import preparation

    device = options.device
    remark_on_ignored(options, device)
    if getattr(options, "fault", None):
        from hornito.runtime import Emulation, open_device

        emulation = Emulation(faults=fault_plan(options), threads=options.threads)
        device = open_device(device, options.chip, preparation(), emulation=emulation)
    return {
        "device": device,
        "chip": options.chip,
        "plan_level": options.plan,
        "disable": options.disable,
        "without": options.without,
        "per_axis_error": options.per_axis_error,
        "evidence": shown_evidence(options),
        "num_threads": options.threads,
        "report": preparation(),
    }


def keep_apart(outputs: Sequence[str], inputs: Sequence[str]) -> None:
    """Refuse to write over what is read. Raises BadInput."""
    read = {os.path.realpath(path): path for path in inputs}
    for output in outputs:
        if os.path.realpath(output) in read and os.path.exists(output):
            raise BadInput(f"{output}: is read as well; write the output somewhere else")


def remark(text: str) -> None:
    """A line that is no result, on stderr; nowhere if that is closed."""
    if sys.stderr is not None:
        print(text, file=sys.stderr)


def print_json(value: Any) -> None:
    """A result for programs, on stdout. What JSON has no number for (infinities, NaN) is null."""
    print(json.dumps(_finite(value), indent=2, allow_nan=False))


def print_json_line(value: Any) -> None:
    """One of many results for programs, on a line of its own, at once."""
    print(json.dumps(_finite(value), allow_nan=False), flush=True)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
