# SPDX-License-Identifier: MIT
"""``hornito trace``: what did a program send to the NPU, what does it mean, and how does it differ from another one?"""

import argparse
import importlib

# What can be done with recordings: its module beside this one, and its line in the help.
ACTIONS = {
    "record": ("trace_record", "record what a program sends to an NPU"),
    "show": ("trace_show", "list calls, streams, descriptors and coefficients, word by word"),
    "diff": ("trace_diff", "show the fields in which two recordings differ"),
    "coverage": ("trace_coverage", "count the bits that no fact explains"),
    "facts": ("trace_facts", "list what is known of states, commands and descriptors, and its sources"),
    "study": ("trace_study", "find out which fields follow a parameter of a network, and how"),
    "replay": ("trace_replay", "submit what was recorded again, and compare the results"),
    "report": ("trace_report", "draw a recording as one page: times, graph, memory, tensors, listings"),
    "import": ("trace_import", "turn files of other programs into a recording"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "What a program sends to the NPU. F is a recording (.trace), a submission file (.npz), a folder or files of "
        "Mesa's ETNA_MESA_DEBUG=dump_shaders, a core dump of the etnaviv driver, or a report of 'hornito doctor'."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for action, (module, text) in ACTIONS.items():
        own = actions.add_parser(action, help=text, description=text[0].upper() + text[1:] + ".")
        importlib.import_module(f"hornito.cli.{module}").add_arguments(own)


def run(options: argparse.Namespace) -> int:
    return int(importlib.import_module(f"hornito.cli.{ACTIONS[options.action][0]}").run(options))
