# SPDX-License-Identifier: MIT
"""Where is the test data, and where may tests write? Fixtures for every package's tests."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import Browser, find_chromium


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test data, $HORNITO_SHARED. Unset: the test is skipped. Set, but no folder: it fails."""
    named = os.environ.get("HORNITO_SHARED")
    if not named:
        pytest.skip("HORNITO_SHARED is not set")
    folder = Path(named)
    if not folder.is_dir():
        pytest.fail(f"HORNITO_SHARED is {named}, which is no folder")
    return folder


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """$HORNITO_CACHE for tests and the programs they start: a new folder unless the environment names one.

    One for all tests, so that numba compiles the virtual NPU's kernels (some seconds) only once; the processes of
    pytest-xdist, whose folders lie side by side, share it.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HORNITO_MODELS", raising=False)
        if "HORNITO_CACHE" not in os.environ:
            base = tmp_path_factory.getbasetemp()
            folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"
            folder.mkdir(exist_ok=True)
            patch.setenv("HORNITO_CACHE", str(folder))
        yield Path(os.environ["HORNITO_CACHE"])


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A Chromium without a window. Where there is none, the test is skipped; one that $CHROMIUM names must be there."""
    program = find_chromium()
    if program is None:
        pytest.skip("there is no Chromium in $PATH, and $CHROMIUM names none")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Browser(program, Path(folder)) as started:
        yield started
