# SPDX-License-Identifier: MIT
"""What can any device do? Load submissions and run them, wherever it is."""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadInput
from hornito.hardware.chips import Chip
from hornito.stream import Port, Submission


class Loaded(Protocol):
    """A submission with everything it needs in the device's memory, ready to run any number of times."""

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """One inference. Arrays have the dtype and shape of ``Port.tensor``, in the order of the submission's ports.

        Raises BadInput for arrays that do not fit, DeviceError where the device or its kernel failed.
        """

    def close(self) -> None:
        """Give the device's memory back. A second time does nothing."""


class Device(Protocol):
    """An NPU that submissions can be handed to. Leaving a ``with`` block closes it."""

    @property
    def name(self) -> str:
        """What messages call it."""

    @property
    def chip(self) -> Chip:
        """What it is."""

    def load(self, submission: Submission) -> Loaded:
        """Place the submission in the device's memory. Raises DeviceError."""

    def close(self) -> None:
        """Close the device, with all that is loaded. A second time does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def check_inputs(ports: Sequence[Port], arrays: Sequence[NDArray[Any]]) -> None:
    """Raises BadInput for arrays that ``Loaded.run`` does not take where these are the submission's inputs."""
    if len(arrays) != len(ports):
        raise BadInput(f"{len(arrays)} inputs given; the submission takes {len(ports)}")
    for port, array in zip(ports, arrays, strict=True):
        tensor, dtype = port.tensor, np.dtype(port.tensor.dtype)
        if array.dtype != dtype or array.shape != tensor.shape:
            raise BadInput(
                f"tensor {tensor.index} ({tensor.name}) is {dtype} of shape {tensor.shape}; "
                f"got {array.dtype} of shape {array.shape}"
            )
