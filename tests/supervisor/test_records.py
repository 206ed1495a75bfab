# SPDX-License-Identifier: MIT
"""What becomes of the virtual kernel's core dumps where the folder for them is gone?"""

import logging
from pathlib import Path

import pytest

from hornito.supervisor.records import Records
from hornito.virtual.etnaviv.device import VirtualDevice


class Teller(VirtualDevice):
    """Only tells, and counts how often it was armed again."""

    def __init__(self) -> None:
        self.armed = 0

    def tell(self, logged: object, dumped: object) -> None:
        self.dumped = dumped

    def rearm(self) -> None:
        self.armed += 1


def test_dumps_that_cannot_be_written_are_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "dumps"
    teller = Teller()
    with Records(None, str(folder)) as records, caplog.at_level(logging.ERROR):
        records.follow(teller)
        assert callable(teller.dumped)
        teller.dumped(b"one")
        assert teller.armed == 1 and [path.read_bytes() for path in folder.iterdir()] == [b"one"]
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        teller.dumped(b"two")
    assert teller.armed == 1
    (record,) = caplog.records
    assert str(folder) in record.getMessage() and record.exc_info is None
