# SPDX-License-Identifier: MIT
"""What is a case of the operator matrix? A name, a recipe for a small model."""

import enum
from collections.abc import Callable
from dataclasses import dataclass

from hornito.model.draw import Draw


class Missing(Exception):
    """The model of a case is not on this machine; ``str()`` says which file."""


class Scope(enum.StrEnum):
    """What of a case's results is compared with LiteRT's."""

    OPERATORS = "operators"  # each operator on what it was fed; the model's outputs hold every tensor
    RESULTS = "results"  # what comes out of the whole model


@dataclass(frozen=True)
class Case:
    """``family`` is its line in the table; ``row`` and ``column`` its place in the family's heat map ("": in a row with
    the others). ``make`` builds the model's file. ``tolerance`` overrides what follows from the operators."""

    name: str
    family: str
    make: Callable[[Draw], bytes]
    row: str = ""
    column: str = ""
    scope: Scope = Scope.OPERATORS
    tolerance: int | None = None
