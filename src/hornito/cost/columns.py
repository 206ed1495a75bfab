# SPDX-License-Identifier: MIT
"""What does an estimate say of each item, as a row of plain values? For tables, CSV and JSON.

The first columns are those of the per-layer report of ethos-u-vela, the rest this hardware's own. Access cycles are of
the NPU's clock: what each unit or memory is busy with the job, as if there were nothing else.
"""

import dataclasses
from typing import Any

from hornito.cost.demand import Target
from hornito.cost.duration import rates
from hornito.cost.estimate import Estimate


def columns(estimate: Estimate) -> list[dict[str, Any]]:
    """A row for each item, in order."""
    own = rates(estimate.timing, estimate.chip)
    peak = max((cost.item.choices.sram for cost in estimate.costs), default=0)
    macs, seconds = estimate.work.macs, estimate.total.seconds
    found = []
    for cost in estimate.costs:
        item, work, choices = cost.item, cost.item.work, cost.item.choices
        nn = item.target is Target.NN
        busy = cost.parts.computing + cost.parts.moving
        found.append(
            {
                "operator": item.operator,
                "job": item.name,
                "target": item.target.value,
                "staging_bytes": choices.sram,
                "staging_peak_percent": 100 * choices.sram / peak if peak else 0.0,
                "cycles": own.cycles(cost.time.seconds),
                "network_percent": 100 * cost.time.seconds / seconds if seconds else 0.0,
                "npu_cycles": own.cycles(busy),
                "sram_cycles": own.cycles(work.cached / own.sram),
                "dram_cycles": own.cycles(cost.parts.memory),
                "macs": work.macs,
                "macs_percent": 100 * work.macs / macs if macs else 0.0,
                "utilisation_percent": 100 * cost.utilisation,
                "real_macs": item.real_macs or None,
                "tile": choices.tile,
                "superblocks": choices.superblocks if nn else None,
                "zero_run_bits": choices.zrl_bits,
                "image_caching": choices.image_caching,
                "kernel_caching": choices.kernel_caching,
                "coefficient_bytes": work.coefficient_bytes,
                "coefficient_reads": work.coefficient_reads,
                "bytes_read": work.read,
                "bytes_written": work.written,
                "sram_bytes": work.cached,
                "bytes_copied": item.bytes,
                **cost.time.as_json(),
                "bound": cost.bound.value,
            }
        )
    return found


def as_json(estimate: Estimate) -> dict[str, Any]:
    """All of an estimate."""
    work = estimate.work
    return {
        "title": estimate.demand.title,
        "chip": estimate.chip.name,
        "coefficients_estimated": estimate.demand.estimated,
        "total": estimate.total.as_json(),
        "bound": estimate.bound.value,
        "ms_by_target": {target.value: 1e3 * seconds for target, seconds in estimate.by_target.items()},
        "ms_by_bound": {bound.value: 1e3 * seconds for bound, seconds in estimate.by_bound.items()},
        "macs_dispatched": work.macs,
        "macs_real": sum(cost.item.real_macs for cost in estimate.costs) or None,
        "coefficient_bytes": work.coefficient_bytes,
        "coefficient_reads": work.coefficient_reads,
        "bytes_read": work.read,
        "bytes_written": work.written,
        "sram_bytes": work.cached,
        "peak_memory_bytes": estimate.peak_memory,
        "memory_bytes": dict(estimate.demand.memory),
        "tensor_bytes": None if estimate.demand.tensors is None else dataclasses.asdict(estimate.demand.tensors),
        "total_with_tensors_on_chip": None if estimate.on_chip is None else estimate.on_chip.as_json(),
        "utilisation_percent": 100 * estimate.utilisation,
        "energy_joules": None,
        "figures": {
            name: {"value": one.value, "factor": one.factor, "source": one.source, "confidence": one.confidence.value}
            for name, one in estimate.timing.figures().items()
        },
        "sensitivity_30_percent_ms": {
            name: {"lower": 1e3 * low, "higher": 1e3 * high} for name, (low, high) in estimate.sensitivity().items()
        },
        "items": columns(estimate),
    }
