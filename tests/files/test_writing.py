# SPDX-License-Identifier: MIT
"""Do files appear whole or not at all, and where they should?"""

import errno
import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hornito.errors import BadInput
from hornito.files import atomic_writer, cache_directory, model_directories, write_atomically


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def test_content_appears_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with atomic_writer(path) as stream:
        stream.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert os.listdir(tmp_path) == ["file"]


def test_write_atomically_takes_bytes_and_views(tmp_path: Path) -> None:
    write_atomically(str(tmp_path / "a"), b"bytes")
    write_atomically(tmp_path / "b", memoryview(b"view"))
    assert (tmp_path / "a").read_bytes() == b"bytes" and (tmp_path / "b").read_bytes() == b"view"


@pytest.mark.parametrize("before", [None, b"old"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_inside_leaves_everything_as_it_was(
    tmp_path: Path, before: bytes | None, error: type[BaseException]
) -> None:
    path = tmp_path / "file"
    if before is not None:
        path.write_bytes(before)
    with pytest.raises(error), atomic_writer(path) as stream:
        stream.write(b"half")
        raise error
    assert os.listdir(tmp_path) == (["file"] if before else [])
    assert before is None or path.read_bytes() == before


@pytest.fixture
def full() -> Iterator[None]:
    """No file can be larger than 100 kB."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("last", [2, 200_000], ids=["as the block ends", "as it is written"])
def test_a_file_that_takes_no_more_is_bad_input_and_leaves_nothing(tmp_path: Path, full: None, last: int) -> None:
    path = tmp_path / "file"
    with pytest.raises(BadInput, match=r"file: can't be written \(File too large\)"), atomic_writer(path) as stream:
        stream.write(bytes(99_999))
        stream.write(bytes(last))
        assert last == 2  # those wait in the buffer
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_a_device_that_takes_no_more_is_bad_input() -> None:
    with pytest.raises(BadInput, match=r"/dev/full: can't be written \(No space left on device\)"):
        write_atomically("/dev/full", b"content")


def test_a_pipe_whose_reader_has_gone_is_bad_input(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(BadInput, match=r"pipe: can't be written \(Broken pipe\)"), atomic_writer(pipe) as stream:
        os.close(reader)
        stream.write(b"content")
    assert os.listdir(tmp_path) == ["pipe"]


@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOSPC])
def test_an_error_that_names_no_file_is_not_taken_for_ours(tmp_path: Path, number: int) -> None:
    """What is printed inside may go nowhere."""
    with pytest.raises(OSError, match=os.strerror(number)), atomic_writer(tmp_path / "file") as stream:
        stream.write(b"content")
        raise OSError(number, os.strerror(number))
    assert os.listdir(tmp_path) == []


def test_an_existing_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"older and longer")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_folder_in_the_way_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is a folder"):
        write_atomically(tmp_path, b"")
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"missing/file: can't be written \(No such file or directory\)"):
        write_atomically(tmp_path / "missing" / "file", b"")


@pytest.mark.parametrize("letter", ["a", "\u20ac"])
def test_the_longest_name_is_written_and_a_longer_one_refused(tmp_path: Path, letter: str) -> None:
    longest = letter * (255 // len(letter.encode()))
    write_atomically(tmp_path / longest, b"content")
    assert [path.name for path in tmp_path.iterdir()] == [longest]
    with pytest.raises(BadInput, match="name too long"):
        write_atomically(tmp_path / (longest + letter), b"content")


def test_a_file_used_as_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    with pytest.raises(BadInput, match="can't be written"):
        write_atomically(tmp_path / "plain" / "file", b"")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unwritable for root")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(BadInput, match="Permission denied"):
            write_atomically(tmp_path / "file", b"")
    finally:
        tmp_path.chmod(0o700)


def test_a_place_that_takes_no_files_is_refused() -> None:
    with pytest.raises(BadInput, match="/proc/hornito: can't be written"):
        write_atomically("/proc/hornito", b"")


def test_permissions_are_those_of_the_user_s_umask(tmp_path: Path, umask: None) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_cache_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("HORNITO_CACHE", str(tmp_path / "own"))
    assert cache_directory() == tmp_path / "own"
    monkeypatch.delenv("HORNITO_CACHE")
    assert cache_directory() == tmp_path / "xdg" / "hornito"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_directory() == tmp_path / "home" / ".cache" / "hornito"
    assert not (tmp_path / "home").exists()


def test_models_are_looked_up_in_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HORNITO_CACHE", str(tmp_path))
    monkeypatch.setenv("HORNITO_MODELS", "/a::/b")
    assert model_directories() == [Path("/a"), Path("/b"), tmp_path / "models"]


def test_special_files_and_links_stay_what_they_are(tmp_path: Path) -> None:
    write_atomically("/dev/null", b"content")
    assert not Path("/dev/null").is_file()
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink() and target.read_bytes() == b"new"


def test_an_error_about_another_file_is_not_taken_for_ours(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), atomic_writer(tmp_path / "file"):
        (tmp_path / "missing").read_bytes()
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(params=["files without a name", "none without a name"])
def file_system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is, and one that knows no files without a name."""
    real = os.open

    def refusing(path: str | Path, flags: int, *more: int, **named: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported", str(path))
        return real(path, flags, *more, **named)

    if request.param == "none without a name":
        monkeypatch.setattr(os, "open", refusing)


def test_any_file_system_will_do(tmp_path: Path, file_system: None, umask: None) -> None:
    path = tmp_path / "file"
    for content in (b"new", b"newer"):
        write_atomically(path, content)
        assert path.read_bytes() == content and os.listdir(tmp_path) == ["file"]
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
    with pytest.raises(KeyboardInterrupt), atomic_writer(path) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"newer" and os.listdir(tmp_path) == ["file"]
    with pytest.raises(BadInput, match="missing/file: can't be written"):
        write_atomically(tmp_path / "missing" / "file", b"")


def test_what_is_being_written_has_no_name_yet(tmp_path: Path) -> None:
    """So nothing is left even by what gives no notice."""
    try:
        os.close(os.open(tmp_path, os.O_WRONLY | os.O_TMPFILE))
    except OSError:
        pytest.skip("the file system knows no files without a name")
    with atomic_writer(tmp_path / "file") as stream:
        stream.write(b"content")
        assert os.listdir(tmp_path) == []
    assert os.listdir(tmp_path) == ["file"]


def test_a_pipe_that_nobody_reads_is_bad_input(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(BadInput, match="pipe: is a pipe that nobody reads"), atomic_writer(pipe):
        pass
