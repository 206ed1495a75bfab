# SPDX-License-Identifier: MIT
"""Is machine code made when and where it should be, and does every way to multiply give the same?"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hornito.cli.progress import preparation
from hornito.errors import BadInput
from hornito.files import Store
from hornito.virtual.npu import kernels, machine_code, matrix
from hornito.virtual.npu.executor import Executor
from tests.virtual.machine import CHIP

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(300)  # every kernel is compiled anew: some ten seconds, on a machine with nothing else


def python(code: str, **environment: str) -> str:
    """Run code in a process of its own; gives what it prints."""
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=280,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), **environment},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nothing_is_compiled_on_import() -> None:
    assert python("import sys, hornito.virtual.npu.executor; print('numba' in sys.modules)") == "False\n"


def first(x):  # type: ignore[no-untyped-def]
    return x + 1


def second(x):  # type: ignore[no-untyped-def]
    return x + 2


def test_warming_up_is_heard_of_only_where_something_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HORNITO_CACHE", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)

    def steps() -> list[tuple[int, int, str]]:
        found: list[tuple[int, int, str]] = []
        own = [kernels.Kernel(function, ("int64(int64)",), None) for function in (first, second)]
        monkeypatch.setattr(kernels, "_ALL", own)
        for _ in range(2):  # what this process has compiled is there the second time
            Executor(CHIP, lambda done, total, name: found.append((done, total, name)))
        assert [kernel(40) for kernel in own] == [41, 42]
        return found

    assert steps() == [(1, 2, "second"), (2, 2, "")]
    assert steps() == []


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HORNITO_CACHE", str(tmp_path))
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    return tmp_path


def made_anew() -> bool:
    """Did a loop have to be compiled?"""
    kernel = kernels.Kernel(first, ("int64(int64)",), None)
    assert kernel(40) == 41
    return kernel.fresh


OWN_WAY = {"NUMBA_OPT": "3"}  # has numba itself keep the code


@pytest.mark.parametrize("environment", [{}, OWN_WAY], ids=["kernels", "numba"])
@pytest.mark.parametrize("place", ["", "kernels", "numba", "numba/*"])
def test_nothing_is_loaded_that_others_could_have_put_there(
    place: str, environment: dict[str, str], cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with monkeypatch.context() as patch:  # both folders are filled
        for name, value in OWN_WAY.items():
            patch.setenv(name, value)
        assert [made_anew(), made_anew()] == [True, False]
        for name in OWN_WAY:
            patch.delenv(name)
        assert [made_anew(), made_anew()] == [True, False]
    (open_to_all,) = cache.glob(place) if place else [cache]
    open_to_all.chmod(0o777)
    used = "numba" if environment or place == "kernels" else "kernels"
    assert made_anew() == (not place or place.startswith(used))
    if not environment and place == "kernels":
        (cache / "numba").chmod(0o777)  # what is kept in one way is no way around the other
        assert made_anew()


def test_another_processor_s_code_is_not_loaded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert made_anew()
    monkeypatch.setattr(machine_code, "processor", lambda: "another +feature")
    assert [made_anew(), made_anew()] == [True, False]


def test_limit_of_0_keeps_no_machine_code(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORNITO_CACHE_LIMIT", "0")
    assert made_anew() and made_anew() and list(cache.iterdir()) == []


def test_an_entry_that_is_no_loop_is_made_again(cache: Path) -> None:
    assert made_anew()
    (entry,) = (cache / "kernels").iterdir()
    Store(cache / "kernels", 1 << 20).put(entry.name, [b"\1\0\0\0{"])  # whole, but no JSON
    assert [made_anew(), made_anew()] == [True, False]


COMPILE_ONE = (
    "from hornito.virtual.npu import kernels; import numba; before = numba.config.CACHE_DIR\n"
    "kernels.requantise.compile(); assert numba.config.CACHE_DIR == before; print('done')"
)


def test_a_cache_folder_that_cannot_be_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert python(COMPILE_ONE, HORNITO_CACHE=str(tmp_path / "file" / "folder")) == "done\n"


@pytest.mark.parametrize("folder,environment", [("kernels", {}), ("numba", {"NUMBA_OPT": "3"})])
def test_a_damaged_cache_is_no_error(folder: str, environment: dict[str, str], tmp_path: Path) -> None:
    python(COMPILE_ONE, HORNITO_CACHE=str(tmp_path), **environment)
    kept = [path for path in (tmp_path / folder).rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        path.write_bytes(b"damaged")
    assert python(COMPILE_ONE, HORNITO_CACHE=str(tmp_path), **environment) == "done\n"
    assert all(path.read_bytes() != b"damaged" for path in (tmp_path / folder).rglob("*") if path.is_file())


def test_what_was_compiled_once_is_loaded_without_numba(cache_folder: Path) -> None:
    Executor(CHIP).close()  # all that is still to be compiled
    code = "import sys; from hornito.runtime import open_device; open_device('virtual'); print('numba' in sys.modules)"
    assert python(code) == "False\n"


@pytest.mark.parametrize("way", [2, 4, 5], ids=["shorter vectors", "16-bit integers", "floats"])
def test_every_way_to_multiply_is_exact(way: int, tmp_path: Path) -> None:
    wanted = matrix._WAYS[way : way + 1]
    if not all(matrix._features().issuperset(one.features) for one in wanted):
        pytest.skip("this processor has no such instructions")
    python(
        "import sys, pytest\n"
        "from hornito.virtual.npu import kernels, matrix\n"
        "kernels.warm_up = lambda report: None\n"  # only what is used gets compiled
        f"matrix._WAYS = matrix._WAYS[{way}:{way + 1}]\n"
        f"assert matrix.lanes() == {wanted[0].lanes if wanted else 0}\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-k', 'plain_model or float32 or convolution',"
        "'tests/virtual/test_nn.py', 'tests/virtual/test_convolution.py']))",
        HORNITO_CACHE=str(tmp_path),
    )


def test_no_loop_leaves_its_arrays(tmp_path: Path) -> None:
    """The plain models' cases once more, with every index checked."""
    python(
        "import sys, pytest\n"
        "from hornito.virtual.npu import kernels\n"
        "kernels.warm_up = lambda report: None\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider', '-k', 'plain_model or any_bytes or convolution',"
        "*('tests/virtual/test_' + name + '.py' for name in ('nn', 'tp', 'coefficients_v8', 'convolution'))]))",
        HORNITO_CACHE=str(tmp_path),
        NUMBA_BOUNDSCHECK="1",
    )


@pytest.mark.parametrize("place", ["/dev/null", "/proc/nope"])
def test_code_that_is_not_kept_is_told_once_and_why(
    place: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HORNITO_CACHE", place)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(machine_code, "_lost", [])
    machine_code._remark_once.cache_clear()
    assert machine_code.kept()
    assert made_anew() and made_anew() and not machine_code.kept()
    (remark,) = caplog.messages
    assert remark.startswith(f"machine code is not kept for the next start: {place}: can't be used as a folder (N")


def test_code_that_a_full_folder_does_not_take_is_told(
    cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise BadInput("disk full")

    monkeypatch.setattr(Store, "put", full)
    monkeypatch.setattr(machine_code, "_lost", [])
    machine_code._remark_once.cache_clear()
    assert made_anew() and made_anew() and not machine_code.kept()
    assert caplog.messages == ["machine code is not kept for the next start: disk full"]


@pytest.mark.parametrize("kept,words", [(True, "virtual NPU, once on this machine ..."), (False, "virtual NPU ...")])
def test_preparation_is_said_to_be_once_only_where_it_is(
    kept: bool, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(machine_code, "kept", lambda: kept)
    preparation()(1, 2, "a")
    assert words in capsys.readouterr().err
