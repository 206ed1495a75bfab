# SPDX-License-Identifier: MIT
"""How does LiteRT run what stays on the CPU? Whole models, and the parts that the compiler cut out."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hornito.errors import BadInput
from hornito.runtime import probe


class Refused(BadInput, RuntimeError):
    """LiteRT can't run this model, or not on these inputs. It is the ``RuntimeError`` that LiteRT itself raises."""


@contextlib.contextmanager
def refusals(name: str) -> Iterator[None]:
    """Turns LiteRT's errors in the block into ``Refused``, with LiteRT's own words."""
    try:
        yield
    except BadInput:
        raise
    except (ValueError, RuntimeError, MemoryError) as error:
        words = " ".join(str(error).split()) or type(error).__name__
        raise Refused(f"{name}: LiteRT refuses it ({words}); convert the model again or give other inputs") from error


def load(
    model: bytes,
    name: str,
    threads: int | None,
    *,
    trusted: bool = False,
    settings: Mapping[str, Any] | None = None,
    digest: str | None = None,
) -> Any:
    """A LiteRT interpreter for a model; tensors are not allocated yet. ``settings``: further arguments for it;
    ``digest``: as ``probe.check`` takes it.

    A model that is not ``trusted`` is first tried in a process of its own. Raises BadInput where LiteRT refuses it.
    No more threads are started than there are processors for: more don't help, and LiteRT crashes, unasked, where it
    can't have as many as it was told.
    """
    from ai_edge_litert.interpreter import Interpreter

    if not trusted:
        probe.check(model, name, (settings or {}).get("experimental_op_resolver_type"), digest)
    with refusals(name):
        return Interpreter(model_content=model, num_threads=useful_threads(threads), **(settings or {}))


def useful_threads(threads: int | None) -> int | None:
    """No more than there are processors for; None stays."""
    return None if threads is None else min(threads, len(os.sched_getaffinity(0)))


class CpuModel:
    """A part of a network in LiteRT: arrays in, arrays out, in the order of the part's model."""

    def __init__(
        self,
        model: bytes,
        name: str,
        threads: int | None = None,
        *,
        trusted: bool = False,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self._name = name
        self._interpreter = load(model, name, threads, trusted=trusted, settings=settings)
        with refusals(name):
            self._interpreter.allocate_tensors()
            details = self._interpreter.get_input_details()
            self._outputs = [detail["index"] for detail in self._interpreter.get_output_details()]
        self._inputs = [detail["index"] for detail in details]
        self._shapes = [tuple(detail["shape"].tolist()) for detail in details]

    @property
    def inputs(self) -> int:
        """How many arrays it takes."""
        return len(self._inputs)

    @property
    def outputs(self) -> int:
        """How many arrays it gives."""
        return len(self._outputs)

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """The outputs for these inputs. Raises Refused."""
        with refusals(self._name):
            self._resize(inputs)
            for index, value in zip(self._inputs, inputs, strict=True):
                self._interpreter.set_tensor(index, value)
            self._interpreter.invoke()
            return [np.asarray(self._interpreter.get_tensor(index)) for index in self._outputs]

    def _resize(self, inputs: Sequence[NDArray[Any]]) -> None:
        """Some operators choose the shape of their result when they run; whoever reads it must follow."""
        shapes = [value.shape for value in inputs]
        if shapes == self._shapes:
            return
        for index, shape in zip(self._inputs, shapes, strict=True):
            self._interpreter.resize_tensor_input(index, shape)
        self._interpreter.allocate_tensors()
        self._shapes = shapes
