# SPDX-License-Identifier: MIT
"""How is the matrix run on a device? By worker processes; results in the cases' order, whoever was first."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from hornito.conformance.case import Case
from hornito.conformance.pool import run_cases
from hornito.conformance.result import Report, Result
from hornito.conformance.worker import Settings
from hornito.errors import BadInput
from hornito.runtime import open_device
from hornito.runtime.devices import Report as Preparation


def run(
    cases: Sequence[Case],
    settings: Settings,
    jobs: int = 1,
    *,
    progress: Callable[[int, int], None] | None = None,
    preparation: Preparation | None = None,
) -> Report:
    """Judge ``cases`` on a device. ``progress`` hears how many of how many are done, ``preparation`` of what the
    device needs once on a machine.

    Raises BadInput and Unsupported for a device that can't be, and DeviceError for one that can't be opened.
    """
    device = open_device(settings.device, settings.chip, preparation)
    if device is None:
        raise BadInput(f"device {settings.device!r} is no NPU, so there is nothing to compare; use --device virtual")
    with device:
        name, chip = device.name, device.chip
    if settings.chip is None:
        settings = replace(settings, chip=chip.name)
    jobs = min(jobs, len(cases))
    begin = time.monotonic()
    found: dict[str, Result] = {}
    for result in run_cases(cases, settings, jobs):
        found[result.name] = result
        if progress:
            progress(len(found), len(cases))
    seconds = time.monotonic() - begin
    ordered = tuple(found[case.name] for case in cases)
    return Report(name, chip.name, settings.level.value, settings.seed, jobs, seconds, ordered)
