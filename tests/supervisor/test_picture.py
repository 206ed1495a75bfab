# SPDX-License-Identifier: MIT
"""Where do paths lead in the tree of files that a program sees?"""

import errno
import shutil
from collections.abc import Iterator

import pytest

from hornito.supervisor.picture import Picture
from tests.virtual.client import fails


@pytest.fixture
def picture() -> Iterator[Picture]:
    picture = Picture()
    picture.draw()
    yield picture
    shutil.rmtree(picture.root)


@pytest.mark.parametrize("path", ["/dev/dri/renderD128/", "/dev/dri/renderD128/x", "/dev/dri/renderD128/../card0"])
def test_nothing_lies_below_the_node(picture: Picture, path: str) -> None:
    fails(errno.ENOTDIR, lambda: picture.find(path, follow=True))
