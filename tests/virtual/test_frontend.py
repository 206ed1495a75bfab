# SPDX-License-Identifier: MIT
"""Which jobs does a stream start, and is every word that has no known meaning refused by name?"""

import numpy as np
import pytest
from numpy.typing import NDArray

from hornito.hardware.states import GL_NN_CONFIG, GL_UNK03950, PS_NN_INST_ADDR, PS_TP_INST_ADDR, PS_UNK10A4
from hornito.virtual.faults import Fault
from hornito.virtual.npu.frontend import FrontEnd, Job
from tests.virtual.machine import CHIP, nn_stream, tp_stream


def run(*words: NDArray[np.uint32] | list[int]) -> list[Job]:
    return list(FrontEnd(CHIP).jobs(np.concatenate([np.array(part, np.uint32) for part in words])))


def load(register: int, value: int) -> list[int]:
    return [0x08010000 | register, value]


def worked_stream(parallel: bool) -> list[int]:
    """The databook's worked stream: transpose, reshuffle on four cores, NN, detranspose."""
    words = [0] * 8

    def tp(address: int) -> None:
        for register in (0xE4F, 0xE50, 0xE53, 0xE54):
            words.extend(load(register, 0))
        words.extend(load(0x42E, address))

    tags = [1, 0x1F, 0x1F, 0x1F, 2, 3, 4] if parallel else [0, 1, 1, 1, 0, 0, 0]
    tp(0xF0008000 + tags[0])
    words += load(0x429, tags[0])
    for number, address in enumerate((0xF0009000, 0xF000A000, 0xF000B000, 0xF000C000)):
        tp(address + tags[1 + number])
    words += load(0x429, tags[4])
    for register, value in ((0xE4F, 0), (0xE50, 0), (0xE4C, 0 if parallel else 0x10), (0x428, 0xF000E000 + tags[5])):
        words += load(register, value)
    words += load(0x429, tags[5])
    tp(0xF000F000 + tags[6])
    words += load(0x429, tags[6])
    flush = 0x403 if parallel else 0xC23
    return [*words, *load(0xE03, flush), *load(0xE03, flush), 0, 0]


@pytest.mark.parametrize("parallel", [False, True])
def test_the_worked_stream_starts_four_jobs(parallel: bool) -> None:
    words = worked_stream(parallel)
    assert len(words) == 90
    assert run(words) == [
        Job(0, "TP", (0xF0008000,)),
        Job(1, "TP", (0xF0009000, 0xF000A000, 0xF000B000, 0xF000C000)),
        Job(2, "NN", (0xF000E000,)),
        Job(3, "TP", (0xF000F000,)),
    ]


def test_init_stream_and_empty_stream_start_nothing() -> None:
    assert run([0] * 8, load(0x28A, 0x11), load(0xE13, 2), [0, 0]) == []
    assert run([]) == []


def test_end_stops_and_harmless_commands_are_skipped() -> None:
    skipped = [0x18000000, 0xDEADBEEF, 0x380000C8, 0, 0x48000000, 0x701]
    assert len(run(skipped, nn_stream(0x1000), [0x10000000, 0], [0xFFFFFFFF, 0])) == 1


def test_several_states_in_one_command() -> None:
    assert run([0x08020000 | 0xE4F, 0, 0, 0], load(0xE4C, 0x10), load(0x428, 0x1000), load(0x429, 0))[0].unit == "NN"


NN = nn_stream(0x1000).tolist()
TP = tp_stream(0x1000).tolist()


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (load(0xE4E, 0), ("word 1", "unknown state 0x03938")),
        (load(GL_UNK03950.index, 4), ("word 1", "GL_UNK03950", "0x4")),
        (load(GL_NN_CONFIG.index, 0x14), ("word 1", "GL_NN_CONFIG", "0x14")),
        ([0x0C010E4F, 0], ("word 0", "fixed point")),
        ([0x08000E4F, 0], ("word 0", "no states")),
        ([0x40000002, 0x1000], ("word 0", "LINK")),
        ([0x50000000, 0, 0, 0], ("word 0", "CALL")),
        ([0x70000000, 0], ("word 0", "opcode 0x0e")),
        ([0, 0, 0x08010E4F], ("word 2", "2 words")),
        (load(PS_NN_INST_ADDR.index, 0x1000), ("PS_NN_INST_ADDR", "before GL_OCB_REMAP_START")),
        (load(PS_TP_INST_ADDR.index, 0x1000), ("PS_TP_INST_ADDR", "before GL_OCB_REMAP_START")),
        (load(PS_UNK10A4.index, 0), ("no job was started",)),
        (NN[:-2], ("ends before PS_UNK10A4",)),
        (NN[:-1] + [2], ("job 0", "tag 0x1")),
        (NN[:-3] + [0x1001] + NN[-2:], ("word 7", "tag 0x1", "default mode")),
        (TP[:-1] + [1], ("tag",)),
        (NN + NN[:-3] + [0x1002] + NN[-2:-1] + [2], ("unlike those before",)),
        (NN[:-3] + [0x1001] + NN[-2:-1] + [1], ("GL_NN_CONFIG = 0x10 in parallel mode",)),
        (NN[:-2] + TP, ("still lacks",)),
        (tp_stream(0x1000, 0x2000, 0x3000, 0x4000, 0x5000).tolist(), ("4 TP cores",)),
    ],
)
def test_a_word_without_a_meaning_is_refused(words: list[int], names: tuple[str, ...]) -> None:
    with pytest.raises(Fault) as caught:
        run(words)
    assert caught.value.unit == "FE"
    assert "\n" not in str(caught.value)
    for name in names:
        assert name in str(caught.value)


def test_parallel_mode_runs_out_of_tags() -> None:
    words: list[int] = []
    for number in range(31):
        nn = nn_stream(0x1000 + number + 1).tolist()
        nn[5], nn[9] = 0, number + 1
        words += nn
    assert len(run(words[: 30 * 10])) == 30
    with pytest.raises(Fault, match="no tag for job 30"):
        run(words)


def test_jobs_before_the_fault_are_started() -> None:
    jobs = FrontEnd(CHIP).jobs(np.array([*NN, *load(0xE4E, 0)], np.uint32))
    assert next(jobs).number == 0
    with pytest.raises(Fault) as caught:
        next(jobs)
    assert caught.value.job == 1


@pytest.mark.parametrize(
    ("words", "position"),
    [([0, 0, *load(0xE4E, 0)], 2), ([0, 0, 0x70000000, 0], 2), ([0, 0, 0, 0, 0x08010E4F], 4), (NN[:-2], len(NN) - 4)],
)
def test_front_end_stands_at_the_command_that_it_refuses(words: list[int], position: int) -> None:
    front_end = FrontEnd(CHIP)
    with pytest.raises(Fault):
        list(front_end.jobs(np.array(words, np.uint32)))
    assert front_end.position == position


STALL = [*load(0xE02, 0x701), 0x48000000, 0x701]


def parallel_nn(tag: int) -> list[int]:
    words = nn_stream(0x1000 * tag + tag).tolist()
    words[5], words[9] = 0, tag
    return [int(word) for word in words]


def test_tags_begin_anew_behind_a_stall() -> None:
    found = run(parallel_nn(1), parallel_nn(2), STALL, parallel_nn(1))
    assert [(job.number, job.wave) for job in found] == [(0, 0), (1, 0), (2, 1)]


def test_default_mode_has_no_waves() -> None:
    assert [job.wave for job in run(NN, STALL, NN)] == [None, None]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([*parallel_nn(1), *STALL[:2], *parallel_nn(1)], "job 1 has tag 0x2"),  # a semaphore alone waits for nothing
        ([*parallel_nn(1), *STALL, *parallel_nn(2)], "job 1 has tag 0x1"),
        ([*parallel_nn(1), *STALL[:2]], "no stall for it"),
        ([*load(0xE02, 0x705)], "only 0x701 is known"),
        ([*STALL[:2], 0x48000000, 0x705], "STALL 0x705"),
        ([*parallel_nn(1)[:-2], *STALL], "still lacks"),
    ],
)
def test_stalls_that_wait_for_nothing_known_are_refused(words: list[int], text: str) -> None:
    with pytest.raises(Fault, match=text):
        run(words)
