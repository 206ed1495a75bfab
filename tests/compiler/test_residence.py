# SPDX-License-Identifier: MIT
"""What memory do tensors take, and what would on-chip memory bring, as far as an estimate can say?"""

import dataclasses

from hornito.compiler import Compiled, Level, Options, Technique, compile_graph, demand
from hornito.compiler.plan import NpuPart
from hornito.compiler.residence import kept_on_chip, tensor_memory
from hornito.compiler.waves import starts_of
from hornito.cost import estimate
from hornito.hardware.chips import Chip
from hornito.model import Graph, ModelBuilder, Value
from tests.compiler.networks import CHIP, Layer, made

SMALL = dataclasses.replace(CHIP, axi_sram=8 * 8 * 8 * 2)  # two tensors of the chain below


def chain(length: int = 6) -> Graph:
    """8x8x4, then convolutions to 8x8x8."""

    def build(b: ModelBuilder) -> list[Value]:
        value = Layer().add(b, Layer().input(b))
        for number in range(1, length):
            value = Layer(inputs=8, seed=number).add(b, value)
        return [value]

    return made(build)


def compiled(level: Level, *without: Technique, chip: Chip = CHIP) -> Compiled:
    return compile_graph(chain(), Options(chip, level, without=frozenset(without)))


def test_a_chain_needs_two_tensors_at_a_time() -> None:
    memory = tensor_memory(compiled(Level.FAST))
    assert memory.placed == memory.least == 2 * 512
    assert memory.apart == 2 * 256 + 7 * 512  # the input twice, six results, the last one twice


def test_without_sharing_each_has_its_own() -> None:
    for made_so in (compiled(Level.PROVEN), compiled(Level.FAST, Technique.MEMORY)):
        memory = tensor_memory(made_so)
        assert memory.placed == memory.apart > memory.least == 2 * 512


def test_only_what_fits_is_kept_and_no_byte_is_lost() -> None:
    found = compiled(Level.FAST, chip=SMALL)
    works, starts = kept_on_chip(found, 0), starts_of(found.jobs[0])
    (part,) = found.plan.parts
    assert isinstance(part, NpuPart)
    for start, work in zip(starts, works, strict=True):
        own = start.work(SMALL)
        assert work.read + work.written + work.cached == own.read + own.written + own.cached
        assert work.macs == own.macs and work.coefficient_reads == own.coefficient_reads
    inner = works[2:-2]  # neither end is the CPU's
    assert all(work.read == work.coefficient_reads and work.written == 0 for work in inner)
    assert works[0].read > 0 and works[-1].written > 0


def test_estimate_says_what_on_chip_memory_would_bring_at_level_fast_alone() -> None:
    fast, wide = (estimate(demand(compiled(level)), CHIP) for level in (Level.FAST, Level.WIDE))
    assert fast.on_chip is not None and fast.on_chip.seconds <= fast.total.seconds
    assert wide.on_chip is None
    bare = dataclasses.replace(CHIP, axi_sram=0)
    assert estimate(demand(compiled(Level.FAST, chip=bare)), bare).on_chip is None
