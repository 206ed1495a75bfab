# SPDX-License-Identifier: MIT
"""What may a program, and ``hornito exec`` itself, be started with, and how may it open what it sees?"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.supervisor.conftest import EXEC, Outcome, Run


def test_an_empty_name_is_127(run: Run) -> None:
    assert run("") == Outcome(127, "", "hornito: '': No such file or directory\n")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_stay_closed_and_harm_nobody(watching: None, tmp_path: Path, closed: str) -> None:
    result = tmp_path / "result"
    script = f"import os; fd = os.open('/dev/dri/renderD128', os.O_RDWR); open({str(result)!r}, 'w').write(str(fd))"
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", *EXEC, "--", sys.executable, "-c", script]
    assert subprocess.run(command, timeout=60).returncode == 0
    assert result.read_text() == ("1" if closed == ">&-" else "0")


def test_without_a_free_descriptor_one_line_says_so(watching: None) -> None:
    for most in range(8, 24, 3):
        limit = f'ulimit -n {most}; exec "$@"'
        command = ["bash", "-c", limit, "bash", *EXEC, "--", "true"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert done.returncode == (125 if done.stderr else 0)
        assert len(done.stderr.splitlines()) <= 1
        assert "ended" not in done.stderr


def test_folders_and_the_node_open_as_mere_places(run: Run) -> None:
    """O_PATH, as udev's library opens each part of a path."""
    script = """
import os
for path in ("/dev/dri", "/dev/dri/renderD128", "/sys/class/drm/renderD128", "/sys/devices/platform/npu/uevent"):
    fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    print(oct(os.fstat(fd).st_mode), os.listdir(fd) if os.path.isdir(path) else "")
print(os.stat("renderD128", dir_fd=os.open("/dev/dri", os.O_PATH)).st_rdev == os.makedev(226, 128))
"""
    outcome = run(python=script)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines()[1::3] == ["0o20660 ", "True"]
