# SPDX-License-Identifier: MIT
"""Does a folder of kept things give back what was put there, or nothing; and does it keep its limits?"""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hornito.errors import BadInput
from hornito.files import LIMIT_VARIABLE, Store, cache_limit
from hornito.files import store as module

LIMIT = 1 << 20


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def content(store: Store, key: str) -> bytes | None:
    found = store.get(key)
    return None if found is None else bytes(found)


def used(path: Path, seconds_ago: int) -> None:
    then = time.time() - seconds_ago
    os.utime(path, (then, then))


def test_what_was_put_comes_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "new" / "folder", LIMIT)
    assert content(store, "a") is None
    store.put("a", [b"first ", memoryview(b"second")])
    store.put("empty", [])
    assert content(store, "a") == b"first second" and content(store, "empty") == b""
    assert content(Store(tmp_path / "new" / "folder", LIMIT), "a") == b"first second"


def test_a_later_entry_replaces_an_earlier_one(tmp_path: Path) -> None:
    store = Store(tmp_path, LIMIT)
    store.put("a", [b"one"])
    store.put("a", [b"two"])
    assert content(store, "a") == b"two" and names(tmp_path) == {"a"}


@given(st.data())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_a_damaged_entry_is_nothing_and_goes(tmp_path: Path, data: st.DataObject) -> None:
    store = Store(tmp_path, LIMIT)
    store.put("a", [bytes(range(200))])
    whole = (tmp_path / "a").read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    changed = data.draw(st.one_of(st.just(b""), st.binary(max_size=3), st.just(bytes([whole[at] ^ 1]))))
    damaged = whole[:at] + changed + (whole[at + 1 :] if data.draw(st.booleans()) else b"")
    (tmp_path / "a").write_bytes(damaged)
    assert content(store, "a") == (bytes(range(200)) if damaged == whole else None)
    assert (tmp_path / "a").exists() == (damaged == whole)
    store.put("a", [b"again"])
    assert content(store, "a") == b"again"


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    store = Store(tmp_path, 3500)
    for age, key in enumerate("abc"):
        store.put(key, [bytes(1000)])
        used(tmp_path / key, 100 - age)
    store.get("a")  # and so it is the one used last
    store.put("d", [bytes(1000)])
    assert names(tmp_path) == {"a", "c", "d"}


def test_there_are_never_more_than_so_many_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ENTRIES", 3)
    store = Store(tmp_path, LIMIT)
    for age, key in enumerate("abcde"):
        store.put(key, [b"x"])
        used(tmp_path / key, 100 - age)
    assert names(tmp_path) == {"c", "d", "e"}


def test_what_is_larger_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    store = Store(tmp_path, 1000)
    store.put("small", [b"x"])
    store.put("large", [bytes(1000)])
    assert names(tmp_path) == {"small"}


def test_limit_of_0_keeps_nothing_and_finds_nothing(tmp_path: Path) -> None:
    Store(tmp_path, LIMIT).put("a", [b"x"])
    store = Store(tmp_path, 0)
    store.put("b", [])
    assert store.get("a") is None and names(tmp_path) == {"a"}


def test_drafts_that_nobody_finishes_go(tmp_path: Path) -> None:
    for name, age in ((".old.part", 7200), (".new.part", 10)):
        (tmp_path / name).write_bytes(b"half")
        used(tmp_path / name, age)
    Store(tmp_path, LIMIT).put("a", [b"x"])
    assert names(tmp_path) == {"a", ".new.part"}


def test_folder_that_can_t_be_written_is_an_error_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = Store(tmp_path / "file" / "folder", LIMIT)
    assert store.get("a") is None
    with pytest.raises(BadInput, match=r"file/folder: can't be made \(Not a directory\)"):
        store.put("a", [b"x"])
    store.drop("a")


def test_private_entries_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Store(tmp_path / "own", LIMIT, private=True).put("a", [b"x"])
        Store(tmp_path / "open", LIMIT).put("a", [b"x"])
    finally:
        os.umask(before)
    modes = [(tmp_path / name).stat().st_mode & 0o777 for name in ("own", "own/a", "open/a")]
    assert modes == [0o700, 0o600, 0o666]


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_private_entry_that_others_can_write_is_nothing_and_goes(mode: int, tmp_path: Path) -> None:
    store = Store(tmp_path, LIMIT, private=True)
    store.put("a", [b"x"])
    (tmp_path / "a").chmod(0o644)
    assert content(store, "a") == b"x"
    (tmp_path / "a").chmod(mode)
    assert content(Store(tmp_path, LIMIT), "a") == b"x"
    assert content(store, "a") is None and names(tmp_path) == set()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_private_entry_of_another_user_is_nothing_and_goes(tmp_path: Path) -> None:
    store = Store(tmp_path, LIMIT, private=True)
    store.put("a", [b"x"])
    os.chown(tmp_path / "a", 65534, 65534)
    assert content(store, "a") is None and names(tmp_path) == set()


def test_symbolic_link_is_no_entry_and_goes(tmp_path: Path) -> None:
    store = Store(tmp_path, LIMIT)
    store.put("real", [b"x"])
    (tmp_path / "a").symlink_to("real")
    assert content(store, "a") is None and names(tmp_path) == {"real"}


WRITER = """
import random, sys
from pathlib import Path
from hornito.files import Store
store = Store(Path(sys.argv[1]), 100_000)
random.seed(int(sys.argv[2]))
found = 0
for _ in range(300):
    key = random.choice("abcdefgh")
    if (content := store.get(key)) is not None:
        assert bytes(content) == key.encode() * (1000 * (ord(key) - 96)), "torn"
        found += 1
    else:
        store.put(key, [key.encode() * 1000] * (ord(key) - 96))
    if random.random() < 0.05:
        store.drop(key)
print(found)
"""


def test_many_processes_read_write_and_remove_at_once(tmp_path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(seed)], stdout=subprocess.PIPE, text=True)
        for seed in range(4)
    ]
    found = [writer.communicate(timeout=60)[0] for writer in writers]
    assert all(writer.returncode == 0 for writer in writers) and all(int(text) > 0 for text in found)
    assert names(tmp_path) <= set("abcdefgh")


@pytest.mark.parametrize(
    "text,expected",
    [
        ("", 512 << 20),
        ("0", 0),
        ("123", 123),
        ("64K", 64 << 10),
        ("1g", 1 << 30),
        (" 5 MiB ", 5 << 20),
        ("7MB", 7 << 20),
    ],
)
def test_limit_of_the_environment(text: str, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, text)
    assert cache_limit() == expected


@pytest.mark.parametrize("text", ["much", "-1", "1.5G", "5X", "K", "9" * 20, "\u0665M"])
def test_limit_that_is_no_size_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, text)
    with pytest.raises(BadInput, match="HORNITO_CACHE_LIMIT=.* is no size; give bytes, or for example 512M"):
        cache_limit()


def test_what_is_no_file_is_never_waited_for(tmp_path: Path) -> None:
    store = Store(tmp_path, LIMIT)
    os.mkfifo(tmp_path / "read")
    os.mkfifo(tmp_path / "written")
    writer = os.open(tmp_path / "read", os.O_RDWR)
    assert content(store, "read") is None and names(tmp_path) == {"written"}
    os.close(writer)
    store.put("written", [b"one"])
    assert content(store, "written") == b"one"


def test_a_folder_in_an_entrys_place_is_named(tmp_path: Path) -> None:
    store = Store(tmp_path, LIMIT)
    (tmp_path / "a" / "b").mkdir(parents=True)
    before = len(os.listdir("/proc/self/fd"))
    assert content(store, "a") is None
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(BadInput, match="a: is a folder or a device in an entry's place; remove it"):
        store.put("a", [b"one"])
