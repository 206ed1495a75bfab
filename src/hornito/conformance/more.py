# SPDX-License-Identifier: MIT
"""Which cases test what the reference driver refuses, or never tested? A few of each kind, for each operator.

Most are for plan level wide; at a level that has no way for them they come out as refused, with the rule.
"""

from collections.abc import Iterator

import numpy as np

from hornito.conformance.case import Case
from hornito.model.recipes import recipes


def cases() -> Iterator[Case]:
    """A case for each recipe."""
    for recipe in recipes():
        signed = recipe.kind is np.int8
        family = f"{recipe.family} int8" if signed else recipe.family
        yield Case(f"{recipe.family}.Op/{recipe.label}_is_signed_{int(signed)}", family, recipe.make)
