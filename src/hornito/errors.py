# SPDX-License-Identifier: MIT
"""What can go wrong, by who can act on it: one small tree, each error one line of text with its data in attributes.

The command line turns an error into that line on stderr and into ``exit_code`` (docs/architecture.md has the table).
"""


class HornitoError(Exception):
    """Base of every error that Hornito raises on purpose; ``str()`` of it is one line."""

    exit_code = 1
    told = False  # it was logged when it happened, so that whoever ends because of it need not repeat it


class BadInput(HornitoError, ValueError):
    """What the user gave can't be used: a model, a picture, an option, a path. Cure: give another.

    It is a ``ValueError`` too, as ``tf.lite.Interpreter`` raises for such input.
    """

    exit_code = 2


class FieldRangeError(HornitoError, ValueError):
    """A value does not fit the packed field that is to hold it, or has no meaning there. Values are never cut."""

    exit_code = 3


class Unsupported(HornitoError):
    """A correct request that the chip, or Hornito so far, can't fulfil. Names the op, the rule and the value."""

    exit_code = 3


class BadStream(HornitoError):
    """A command stream, descriptor or coefficient stream that the hardware facts give no meaning to."""

    exit_code = 4


class DeviceError(HornitoError, RuntimeError):
    """The device, or the kernel on its behalf, failed.

    Attributes: ``unit`` ("FE", "NN", "TP", "MMU" or "unknown"), ``address`` (device address or None), ``job`` (index of
    the job in its submission, or None) and ``line`` (the kernel's own message, "" where there is none to read).
    """

    exit_code = 4

    def __init__(
        self, text: str, *, unit: str = "unknown", address: int | None = None, job: int | None = None, line: str = ""
    ) -> None:
        super().__init__(text)
        self.unit = unit
        self.address = address
        self.job = job
        self.line = line


class LabError(HornitoError):
    """The lab failed, not the thing under test."""

    exit_code = 5
