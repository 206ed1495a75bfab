# SPDX-License-Identifier: MIT
"""Does every verb survive recordings whose streams, descriptors and coefficients are no such thing?"""

import dataclasses

import numpy as np
import pytest

from hornito.errors import HornitoError
from hornito.trace.coverage import Coverage
from hornito.trace.diff import Diff
from hornito.trace.records import Header, Recording, Store, Submit
from hornito.trace.show import Options, as_json, show
from tests.trace import samples

CASES = 30  # of each chip


def damaged(chip: str, rng: np.random.Generator) -> tuple[Recording, Recording]:
    """A sound recording, and it with other bytes here and there."""
    sound = samples.store(samples.archive(chip, stride=2)).recording("sound", Header("test", chip))
    store = Store()
    for submit in sound.submits():
        stream = other_bytes(sound.bytes_of(submit.stream), rng, 0.5)
        buffers = tuple(
            dataclasses.replace(entry, before=store.keep(other_bytes(sound.bytes_of(entry.before), rng, 0.3)))
            for entry in submit.buffers
        )
        changed: Submit = dataclasses.replace(submit, stream=store.keep(stream), buffers=buffers)
        store.events.append(changed)
    return sound, store.recording("damaged", Header("test", chip if rng.random() < 0.7 else ""))


def other_bytes(content: bytes, rng: np.random.Generator, chance: float) -> bytes:
    data = bytearray(content)
    if data and rng.random() < chance:
        for _ in range(int(rng.integers(1, 4))):
            data[rng.integers(len(data))] = int(rng.choice([0, 1, 127, 128, 255, int(rng.integers(256))]))
    return bytes(data)


@pytest.mark.parametrize("chip", ["vipnano-qi", "vipnano-si-plus"])
def test_damaged_contents_are_shown_compared_and_counted(chip: str) -> None:
    rng = np.random.default_rng(7)
    differing = 0
    for _ in range(CASES):
        sound, recording = damaged(chip, rng)
        assert sum(1 for _ in show(recording, Options())) > 20
        assert len(list(as_json(recording, Options()))) == 2
        try:
            differing += any(True for _ in Diff(sound, recording).hunks())
            Coverage().add(recording)
        except HornitoError as error:
            assert "\n" not in str(error)
    assert differing > CASES // 2
