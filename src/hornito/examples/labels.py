# SPDX-License-Identifier: MIT
"""What are a model's outputs called? Reads files of labels, one a line."""

import logging
from pathlib import Path

from hornito.errors import BadInput

MOST_BYTES = 1 << 24
LOG = logging.getLogger(__name__)
CURE = "give a text file with one label a line"


def read_labels(path: str | Path, count: int, *, skipped: str | None = None) -> list[str]:
    """The first ``count`` labels of a UTF-8 file, one for each output of a model; what follows is remarked upon.

    Lines that say ``skipped`` are no labels of this model.

    Raises BadInput where the file can't be read, is no text, or has fewer.
    """
    try:
        with open(path, "rb") as stream:
            content = stream.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadInput(f"{path}: can't be read ({reason}); {CURE}") from error
    labels = parse_labels(content, count, str(path), skipped=skipped)
    if len(labels) > count:
        LOG.warning("%s: has %d labels, the model %d outputs; the first %d are used", path, len(labels), count, count)
    return labels[:count]


def parse_labels(content: bytes, count: int, name: str, *, skipped: str | None = None) -> list[str]:
    """All labels, ``count`` at least, in the bytes of a file called ``name``; raises as ``read_labels``."""
    if len(content) > MOST_BYTES:
        raise BadInput(f"{name}: has more than {MOST_BYTES} bytes, too many for labels; {CURE}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name}: is no UTF-8 text at byte {error.start}; {CURE}") from error
    if "\0" in text:
        raise BadInput(f"{name}: is no text, it has a zero byte; {CURE}")
    # Only at line ends: str.splitlines would also split at form feeds and the like within a label.
    labels = [line.removesuffix("\r") for line in text.rstrip("\r\n").split("\n")] if text.strip() else []
    if skipped is not None:
        labels = [label for label in labels if label != skipped]
    if len(labels) < count:
        raise BadInput(f"{name}: has {len(labels)} labels, the model {count} outputs; give the labels of this model")
    return labels
