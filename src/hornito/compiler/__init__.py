# SPDX-License-Identifier: MIT
"""From a network to submissions: partition, lower, tile, encode, place. Pure functions; no file, no device."""

from hornito.compiler.assemble import Compiled, compile_graph, compile_plan, estimate
from hornito.compiler.evidence import Basis, Evidence, Trust
from hornito.compiler.operators import keys
from hornito.compiler.options import Level, Options, Unit, find_level
from hornito.compiler.plan import Plan, make_plan
from hornito.compiler.report import Crossing, Outlook, Row, crossings, demand, outlook, rows

__all__ = [
    "Basis",
    "Compiled",
    "Crossing",
    "Evidence",
    "Level",
    "Options",
    "Outlook",
    "Plan",
    "Row",
    "Trust",
    "Unit",
    "compile_graph",
    "compile_plan",
    "crossings",
    "demand",
    "estimate",
    "find_level",
    "keys",
    "make_plan",
    "outlook",
    "rows",
]
