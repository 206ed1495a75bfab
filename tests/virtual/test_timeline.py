# SPDX-License-Identifier: MIT
"""When does the kernel take a submission for hung? Judge: the databook's page on hangs, by modelled time alone."""

import pytest

from hornito.compiler import Options, compile_graph
from hornito.cost import Work, demand_of, estimate, rates_of
from hornito.hardware.chips import find_chip
from hornito.virtual.faults import Hang, MMUFault, Stopped
from hornito.virtual.injection import Injection, Kind
from hornito.virtual.timeline import Look, Progress, Start, Timeline
from tests.compiler.networks import Layer
from tests.virtual.machine import Memory, executor

CHIP = find_chip("a311d")
RATES = rates_of(CHIP)
STREAM = 0x2000


def lasting(seconds: float) -> Work:
    return Work(read=round((seconds - RATES.job) * RATES.bytes))


def timeline(*durations: float, start: Start | None = None, words: int = 10) -> Timeline:
    """A finished timeline of jobs that take so many seconds, ``words`` words of the stream each."""
    made = Timeline(CHIP, start or Start(STREAM, completed=7))
    for number, seconds in enumerate(durations):
        made.begin(number, "NN", (number + 1) * words, lasting(seconds))
    made.finish()
    return made


def test_work_and_time_add_up() -> None:
    progress = timeline(0.001, 0.002).progress
    assert progress.jobs == 2
    assert progress.seconds == pytest.approx(0.003)
    assert progress.work == lasting(0.001) + lasting(0.002)
    assert progress.address == STREAM + 20 * 4


def test_many_jobs_may_take_long_together() -> None:
    assert timeline(*[0.4] * 20).progress.seconds == pytest.approx(8.0)


@pytest.mark.parametrize("seconds", [0.1, 0.49, 0.7, 0.99])
def test_a_job_below_a_second_lives_if_the_first_look_sees_another_fence_or_address(seconds: float) -> None:
    assert timeline(seconds).progress.seconds == pytest.approx(seconds)


def test_a_job_above_a_second_is_killed_at_the_second_look() -> None:
    made = Timeline(CHIP, Start(STREAM, completed=7))
    made.begin(0, "TP", 4, lasting(0.01))
    with pytest.raises(Hang) as caught:
        made.begin(1, "NN", 10, lasting(1.5))
    assert (caught.value.unit, caught.value.job, caught.value.address) == ("NN", 1, None)
    assert "1.50 s of modelled time" in str(caught.value)
    assert (made.progress.jobs, made.progress.seconds, made.progress.job) == (1, 1.0, 1)


def test_a_job_above_half_a_second_is_killed_where_nothing_changed_since_the_last_submissions_look() -> None:
    same = Look(STREAM + 40, 7)
    with pytest.raises(Hang):
        timeline(0.6, start=Start(STREAM, 7, same))
    timeline(0.6, start=Start(STREAM, 8, same))  # a fence completed
    timeline(0.6, start=Start(STREAM - 16, 7, same))  # the front end's address went backwards


@pytest.mark.parametrize(("step", "lives"), [(0, False), (16, False), (20, True), (-4, True), (1 << 31, True)])
def test_the_front_end_must_move_by_more_than_16_bytes_or_backwards(step: int, lives: bool) -> None:
    start = Start(STREAM, 7, Look((STREAM + 40 - step) % (1 << 32), 7))
    if lives:
        timeline(0.6, start=start)
    else:
        with pytest.raises(Hang):
            timeline(0.6, start=start)


def test_the_last_look_is_what_the_next_submission_starts_from() -> None:
    first = timeline(0.7)
    assert first.progress.look == Look(STREAM + 40, 7)
    assert timeline(0.1).progress.look == Look()


def injected(kind: Kind, job: int | None = None) -> Start:
    return Start(STREAM, 7, injection=Injection(kind, 8, job))


def test_an_injected_hang_strikes_at_its_job() -> None:
    made = Timeline(CHIP, injected(Kind.HANG, 1))
    made.begin(0, "NN", 10, lasting(0.001))
    with pytest.raises(Hang, match="never ends"):
        made.begin(1, "NN", 20, lasting(0.001))
    assert (made.progress.jobs, made.progress.job) == (1, 1)


@pytest.mark.parametrize("kind", [Kind.HANG, Kind.MMU])
@pytest.mark.parametrize("job", [None, 5])
def test_an_injection_strikes_at_the_end_of_a_submission_without_its_job(kind: Kind, job: int | None) -> None:
    made = Timeline(CHIP, injected(kind, job))
    with pytest.raises(MMUFault if kind is Kind.MMU else Hang):
        made.finish()


def test_a_lost_interrupt_is_found_after_all_jobs_have_run() -> None:
    made = Timeline(CHIP, injected(Kind.IRQ))
    made.begin(0, "NN", 10, lasting(0.001))
    with pytest.raises(Hang, match="interrupt was lost"):
        made.finish()
    assert (made.progress.jobs, made.progress.seconds) == (1, 1.0)


def test_a_stopped_timeline_ends_at_the_next_job() -> None:
    made = Timeline(CHIP)
    made.begin(0, "NN", 10, lasting(0.001))
    made.stop()
    with pytest.raises(Stopped):
        made.begin(1, "NN", 20, lasting(0.001))


def test_progress_travels_as_plain_values() -> None:
    progress = timeline(0.7, 0.1).progress
    assert Progress.decode(progress.encode()) == progress


@pytest.mark.parametrize("name", ["a311d", "imx8mp"])
def test_the_virtual_npu_s_time_and_bytes_are_those_of_the_estimate(name: str) -> None:
    """The units count what they fetch; the estimate counts what the compiler made."""
    chip = find_chip(name)
    compiled = compile_graph(Layer(17, inputs=5, outputs=30, stride=2).graph(), Options(chip))
    *_, submission = compiled.archive.submissions
    memory, made = Memory(), Timeline(chip)
    memory.load(submission)
    executor(chip).run(memory.space, submission.stream, made)
    memory.close()
    found = estimate(demand_of([submission], chip, "sent"), chip)
    assert made.progress.jobs == 4
    assert made.progress.seconds == pytest.approx(found.npu_seconds)
    assert made.progress.work.traffic == pytest.approx(found.work.traffic, abs=64)  # a blob's last zeros
