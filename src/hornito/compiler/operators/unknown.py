# SPDX-License-Identifier: MIT
"""Which operators could the chip's units run, if only it were known how? They stay on the CPU, and say what is missing.

Source: databook, nn-descriptor.md and tp-descriptor.md: fields that are known by name, in no job that was ever seen.
"""

# Operator: the fields that it would take.
FIELDS = {
    "MAX_POOL_2D": "the NN unit's pooling = 1 or the TP unit's alu_horz_processing and alu_vert_processing",
    "MUL": "the TP unit's alu_mult_enable",
    "HARD_SWISH": "the TP unit's alu_pwl_enable and its table",
    "LOGISTIC": "the TP unit's alu_pwl_enable and its table",
}


def reason(operator: str) -> str:
    """Why an operator of ``FIELDS`` stays on the CPU."""
    return f"could be run by {FIELDS[operator]}, whose use is unknown"
