# SPDX-License-Identifier: MIT
"""From a network to submissions: partition, lower, tile, encode, place. Pure functions; no file, no device."""

from hornito.compiler.assemble import Compiled, compile_graph, compile_plan, estimate
from hornito.compiler.evidence import Basis, Evidence, Trust
from hornito.compiler.explain import Considered, Explanation, explain
from hornito.compiler.operators import keys
from hornito.compiler.options import Level, Options, Technique, Unit, find_level, find_technique
from hornito.compiler.plan import Plan, make_plan
from hornito.compiler.report import Crossing, Outlook, Row, crossings, demand, nothing_for_npu, outlook, rows, sharing
from hornito.compiler.rules import Refusal

__all__ = [
    "Basis",
    "Compiled",
    "Considered",
    "Crossing",
    "Evidence",
    "Explanation",
    "Level",
    "Options",
    "Outlook",
    "Plan",
    "Refusal",
    "Row",
    "Technique",
    "Trust",
    "Unit",
    "compile_graph",
    "compile_plan",
    "crossings",
    "demand",
    "estimate",
    "explain",
    "find_level",
    "find_technique",
    "keys",
    "make_plan",
    "nothing_for_npu",
    "outlook",
    "rows",
    "sharing",
]
