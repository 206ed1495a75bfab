# SPDX-License-Identifier: MIT
"""Which cases are run? All, those whose names match, or a sample of them."""

import random
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from hornito.conformance import matrix, more, networks
from hornito.conformance.case import Case
from hornito.errors import BadInput


def all_cases() -> list[Case]:
    """Every case that there is; names are unique."""

    def chained() -> Iterator[Case]:
        yield from matrix.cases()
        yield from more.cases()
        yield from networks.cases()

    return list(chained())


def matching(cases: Sequence[Case], pattern: str) -> list[Case]:
    """Those whose whole name fits the pattern (``*``, ``?``), or where that has neither, whose name holds it.

    Raises BadInput where none does.
    """
    whole = pattern if set("*?") & set(pattern) else f"*{pattern}*"
    whole = whole.replace("[", "[[]")
    found = [case for case in cases if fnmatchcase(case.name, whole)]
    if not found:
        raise BadInput(f"no case is called {pattern!r}; a name begins like {cases[0].name!r}")
    return found


def sample(cases: Sequence[Case], size: int, seed: int) -> list[Case]:
    """So many of them, always the same for the same seed, in their order: one of each family at least, or, where they
    are too few for that, of as many families as there are cases."""
    if size >= len(cases):
        return list(cases)
    chance = random.Random(seed)
    families: dict[str, list[int]] = {}
    for place, case in enumerate(cases):
        families.setdefault(case.family, []).append(place)
    groups = list(families.values())
    chosen = {chance.choice(places) for places in (groups if size >= len(groups) else chance.sample(groups, size))}
    rest = [place for place in range(len(cases)) if place not in chosen]
    chosen.update(chance.sample(rest, size - len(chosen)))
    return [cases[place] for place in sorted(chosen)]
