# SPDX-License-Identifier: MIT
"""A device that is LiteRT itself, right or wrong on purpose; and cases that end in other ways than they should."""

import os
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from multiprocessing.connection import Connection

import numpy as np

from hornito.compiler import Options, Plan
from hornito.conformance import Case, Result, Status
from hornito.conformance.differences import REFERENCE, Array, litert
from hornito.conformance.worker import Settings
from hornito.hardware.chips import find_chip
from hornito.model import extract
from hornito.model.draw import Draw

OPTIONS = Options(find_chip("vipnano-qi"))
Spoil = Callable[[Array], None]  # changes a tensor


class Fake:
    """Runs plans in LiteRT and gives every tensor; ``spoil`` has what goes wrong, by operator kind."""

    def __init__(self, spoil: Mapping[str, Spoil] | None = None) -> None:
        self.spoil = spoil or {}
        self.runs = 0

    def __call__(self, plan: Plan, values: Mapping[int, Array]) -> dict[int, Array]:
        self.runs += 1
        graph = plan.graph
        known = dict(values)
        for operator in graph.operators:
            inputs = [i for i in operator.inputs if i >= 0 and not graph.tensor(i).is_constant]
            model = extract(graph, [operator.index], inputs, operator.outputs)
            found = [value.copy() for value in litert(model, REFERENCE).run([known[index] for index in inputs])]
            if operator.kind in self.spoil:
                self.spoil[operator.kind](found[0])
            known.update(zip(operator.outputs, found, strict=True))
        return known


def off_by(amount: int) -> Spoil:
    """Moves one value, whichever way its type allows."""

    def spoil(value: Array) -> None:
        flat = value.reshape(-1)
        info = np.iinfo(value.dtype)
        place = len(flat) // 2
        before = int(flat[place])
        flat[place] = before + (amount if before + amount <= info.max else -amount)

    return spoil


def result(name: str, status: Status = Status.PASS, family: str = "F", **more: object) -> Result:
    """A result out of the blue."""
    return Result(name, family, status, **more)  # type: ignore[arg-type]


def no_model(draw: Draw) -> bytes:
    return b""


def killed(draw: Draw) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def asleep(draw: Draw) -> bytes:
    time.sleep(60)
    return b""


def broken(text: str, draw: Draw) -> bytes:
    raise ZeroDivisionError(text)


def case(name: str, make: Callable[[Draw], bytes] = no_model) -> Case:
    return Case(name, "F", make)


def bug(text: str) -> Case:
    """A case whose making is a bug of ours."""
    return case("bug", partial(broken, text))


def echo(connection: Connection, settings: Settings) -> None:
    """A worker that passes everything, but makes the models first."""
    try:
        while True:
            one = connection.recv()
            one.make(Draw(one.name, settings.seed))
            connection.send(result(one.name))
    except EOFError:
        pass


def stillborn(connection: Connection, settings: Settings) -> None:
    """A worker that dies before it does anything."""
    os._exit(7)
