# SPDX-License-Identifier: MIT
"""How does the virtual NPU say that it can't run what it was given?"""

from hornito.errors import BadStream


class Fault(BadStream):
    """A unit met something that the hardware facts give no meaning to; nothing of that job has been written.

    Attributes: ``unit`` ("FE", "NN", "TP" or "MMU"), ``job`` (its number in the submission, from 0; a TP job of several
    cores counts once; None before the first) and ``address`` (device address of what is at fault, or None).
    """

    def __init__(self, text: str, *, unit: str, job: int | None = None, address: int | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.unit = unit
        self.job = job
        self.address = address

    def __str__(self) -> str:
        job = "" if self.job is None else f" job {self.job}"
        address = "" if self.address is None else f" at {self.address:#010x}"
        return f"{self.unit}{job}{address}: {self.text}"


class MMUFault(Fault):
    """An access outside every mapped buffer; ``address`` is the first bad one, ``write``: it was to be written."""

    def __init__(self, text: str, *, address: int, job: int | None = None, write: bool = False) -> None:
        super().__init__(text, unit="MMU", job=job, address=address)
        self.write = write


class Hang(Fault):
    """A job that would not end, or not in time, by the chip's clock."""


class Stopped(Fault):
    """The device was shut down while the job ran: nobody's fault."""

    def __init__(self) -> None:
        super().__init__("the virtual NPU was stopped", unit="executor")


class Died(Fault):
    """Whatever ran the job is gone: a worker process that was killed, or crashed."""

    def __init__(self, text: str, *, job: int | None = None) -> None:
        super().__init__(text, unit="executor", job=job)
