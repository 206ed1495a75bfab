# SPDX-License-Identifier: MIT
"""Is a folder refused whose contents somebody else could have made?"""

import os
from pathlib import Path

import pytest

from hornito.errors import BadInput
from hornito.files import make_folder, private_folder
from hornito.files.trust import may_trust

USER, OTHER = 1000, 1001


def status(mode: int, owner: int) -> os.stat_result:
    return os.stat_result((mode, 0, 0, 1, owner, 100, 0, 0, 0, 0))


@pytest.mark.parametrize(
    "mode,owner,expected",
    [
        (0o100600, USER, True),
        (0o040755, USER, True),
        (0o100644, 0, True),
        (0o040700, OTHER, False),
        (0o100400, 65534, False),
        (0o100620, USER, False),
        (0o100602, USER, False),
        (0o040777, 0, False),
        (0o041777, USER, False),
        (0o120777, USER, False),
    ],
)
def test_only_what_the_user_or_root_alone_can_write_is_trusted(mode: int, owner: int, expected: bool) -> None:
    assert may_trust(status(mode, owner), USER) == expected


def test_who_else_may_read_counts_where_it_is_asked_for() -> None:
    assert may_trust(status(0o040700, USER), USER, 0o077)
    assert not may_trust(status(0o040710, USER), USER, 0o077)


def test_new_folders_are_closed_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        private_folder(tmp_path / "top" / "middle" / "inner", tmp_path / "top")
        make_folder(tmp_path / "plain")
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("top", "top/middle", "top/middle/inner", "plain")]
    assert modes == [0o755, 0o755, 0o700, 0o755]


@pytest.mark.parametrize(
    "place,mode,alone,refused",
    [
        ("top/middle/inner", 0o755, False, False),
        ("top/middle/inner", 0o755, True, True),
        ("top/middle/inner", 0o775, False, True),
        ("top/middle/inner", 0o1777, False, True),
        ("top/middle", 0o775, False, True),
        ("top/middle", 0o755, True, False),
        ("top", 0o757, False, True),
        ("top", 0o1777, True, False),
    ],
)
def test_what_others_can_change_is_refused_up_to_the_top(
    place: str, mode: int, alone: bool, refused: bool, tmp_path: Path
) -> None:
    folder, top = tmp_path / "top" / "middle" / "inner", tmp_path / "top"
    private_folder(folder, top)
    (tmp_path / place).chmod(mode)
    tmp_path.chmod(0o777)  # above the top: not looked at
    if refused:
        with pytest.raises(BadInput, match=f"{tmp_path / place}: other users c"):
            private_folder(folder, top, alone=alone)
    else:
        private_folder(folder, top, alone=alone)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give folders away")
@pytest.mark.parametrize("place", ["top", "top/middle", "top/middle/inner"])
def test_another_user_s_folder_is_refused(place: str, tmp_path: Path) -> None:
    folder, top = tmp_path / "top" / "middle" / "inner", tmp_path / "top"
    private_folder(folder, top)
    os.chown(tmp_path / place, 65534, 65534)
    with pytest.raises(BadInput, match=f"{tmp_path / place}: other users c"):
        private_folder(folder, top)


def test_only_the_top_may_be_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "top").symlink_to("real")
    private_folder(tmp_path / "top" / "inner", tmp_path / "top")
    (tmp_path / "top" / "link").symlink_to("inner")
    with pytest.raises(BadInput, match="link: other users"):
        private_folder(tmp_path / "top" / "link", tmp_path / "top")
