# SPDX-License-Identifier: MIT
"""Does a loop that was kept as an object file compute what its Python does, and take only what it was made for?"""

import json
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hornito.files import LIMIT_VARIABLE
from hornito.virtual.npu import machine_code
from hornito.virtual.npu.machine_code import Loaded, NotToBeKept, Overloaded, load, make


def loaded(function: Callable[..., Any], signature: str) -> Loaded:
    return load(memoryview(make(function, signature)))


def mix(image, table, shape, scale, number, flag, out):  # type: ignore[no-untyped-def]
    rows, columns = shape
    factor, shift, on = scale
    total = 0.0
    for y in range(rows):
        for x in range(columns):
            value = table[y, x, 1] * number + np.int64(image[y * columns + x])
            out[y, x] = value >> shift if on and flag else value
            total += value * factor
    return total


MIX = (
    "float64(uint8[::1], int16[:,:,::1], UniTuple(int64, 2), Tuple((float64, int64, boolean)), int64, boolean,"
    "int32[:,:])"
)


@pytest.mark.parametrize("flag", [False, True])
def test_arrays_tuples_and_numbers_arrive(flag: bool) -> None:
    random = np.random.default_rng(1)
    image, table = random.integers(0, 255, 12, np.uint8), random.integers(-99, 99, (3, 4, 2), np.int16)
    outs = [np.zeros((6, 8), np.int32)[::2, ::2] for _ in range(2)]
    ways: list[Callable[..., Any]] = [mix, loaded(mix, MIX)]
    plain, found = (
        way(image, table, (3, np.int64(4)), (0.5, 2, flag), 7, np.bool_(True), out)
        for way, out in zip(ways, outs, strict=True)
    )
    assert plain == found and isinstance(found, float)
    assert np.array_equal(outs[0], outs[1]) and outs[0].any()


def larger(a, b):  # type: ignore[no-untyped-def]
    return a > b


def test_truth_comes_back() -> None:
    loop = loaded(larger, "boolean(int64, int64)")
    assert loop(2, 1) is True and loop(1, 2) is False


def spend(count, length):  # type: ignore[no-untyped-def]
    total = 0
    for i in range(count):
        mine = np.full(length, i, np.int64)
        view = mine[1:]
        total += view[i % (length - 1)]
    return total


def test_memory_of_its_arrays_is_given_back() -> None:
    loop = loaded(spend, "int64(int64, int64)")
    assert loop(3, 10) == 3
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert loop(1000, 1 << 18) == sum(range(1000))  # 2 MB each
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 << 10


def test_too_little_memory_is_an_error() -> None:
    with pytest.raises(MemoryError, match="no memory for the arrays of spend"):
        loaded(spend, "int64(int64, int64)")(1, 1 << 55)


def first_of(values):  # type: ignore[no-untyped-def]
    return np.int64(values[0]) + 1


def aligned_wrongly() -> Any:
    return np.zeros(17, np.uint8)[1:].view("<i4")


def read_only() -> Any:
    array = np.zeros(4, np.int32)
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    "value",
    [np.zeros(4, np.int64), np.zeros((2, 2), np.int32), np.zeros(8, np.int32)[::2], read_only(), aligned_wrongly()],
    ids=["type", "dimensions", "steps", "read only", "alignment"],
)
def test_array_of_another_kind_is_refused(value: Any) -> None:
    loop = loaded(first_of, "int64(int32[::1])")
    assert loop(np.zeros(4, np.int32)) == 1
    with pytest.raises(TypeError, match="the loop takes a contiguous one of int32 with 1, aligned and to be written"):
        loop(value)


@pytest.mark.parametrize("values", [(1,), (1, 2, 3), (1.5, 2), ("1", 2)])
def test_numbers_of_another_kind_are_refused(values: tuple[Any, ...]) -> None:
    loop = loaded(spend, "int64(int64, int64)")
    with pytest.raises((TypeError, ValueError)):
        loop(*values)


def test_types_of_the_first_argument_choose_the_code() -> None:
    both = Overloaded([loaded(first_of, f"int64({kind}[::1])") for kind in ("int32", "uint8")])
    assert both(np.array([5], np.int32)) == 6 and both(np.array([255], np.uint8)) == 256
    with pytest.raises(TypeError, match="an array of int64; the loop takes int32, uint8"):
        both(np.array([5]))


def gives_an_array(values):  # type: ignore[no-untyped-def]
    return values + 1


def length_of(pair):  # type: ignore[no-untyped-def]
    return len(pair[0])


def reshapes(values):  # type: ignore[no-untyped-def]
    return values.reshape(-1)[0]


@pytest.mark.parametrize(
    "function,signature,why",
    [
        (gives_an_array, "int64[::1](int64[::1])", "a result of type"),
        (length_of, "int64(Tuple((int64[::1], int64)))", "an argument of type"),
        (reshapes, "int64(int64[:,::1])", "it calls numba_attempt_nocopy_reshape"),
    ],
)
def test_what_needs_numba_to_run_is_not_kept(function: Callable[..., Any], signature: str, why: str) -> None:
    with pytest.raises(NotToBeKept, match=why):
        make(function, signature)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("HORNITO_CACHE", str(tmp_path))
    yield tmp_path / machine_code.FOLDER


def test_folder_is_nobody_else_s(folder: Path) -> None:
    assert machine_code.store() is not None and folder.stat().st_mode & 0o777 == 0o700


def test_folder_where_others_may_write_is_not_used(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    assert machine_code.store() is None


def test_folder_below_one_where_others_may_write_is_not_used(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert machine_code.store() is not None
    folder.parent.chmod(0o777)
    for _ in range(2):
        assert machine_code.store() is None
    assert caplog.messages == [
        f"machine code in the cache is not used: {folder.parent}: other users can change what is in it; "
        "make it yours, with mode 0755 or 0700"
    ]


@pytest.mark.parametrize("limit", ["0", "lots"])
def test_nothing_is_kept_where_nothing_may_be(limit: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, limit)
    assert machine_code.store() is None and machine_code.allowed() == 0 and not folder.exists()


@pytest.mark.parametrize("limit,expected", [("", 64 << 20), ("1M", 1 << 20), ("1G", 64 << 20)])
def test_machine_code_takes_64_mb_or_what_the_user_allows(
    limit: str, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, limit)
    assert machine_code.allowed() == expected


def test_every_processor_source_and_loop_has_an_entry_of_its_own() -> None:
    cases = [
        ("a", [b"x"], "cpu +avx"),
        ("a", [b"x"], "cpu +avx2"),
        ("a", [b"y"], "cpu +avx"),
        ("b", [b"x"], "cpu +avx"),
    ]
    assert len({machine_code.key(*case) for case in [*cases, *cases]}) == len(cases)


def test_a_processor_is_known_by_its_name_and_features() -> None:
    import llvmlite.binding as llvm

    name, *features = machine_code.processor().replace(" ", ",").split(",")
    assert name == llvm.get_host_cpu_name() and set(features) == set(llvm.get_host_cpu_features().flatten().split(","))


def adds_one(x):  # type: ignore[no-untyped-def]
    return x + 1


@pytest.mark.parametrize(
    "symbol,code", [("hornito_none", None), ("hornito_adds_one", b"junk"), ("hornito_adds_one", b"")]
)
def test_what_has_no_such_loop_is_refused(symbol: str, code: bytes | None) -> None:
    content = make(adds_one, "int64(int64)")
    end = 4 + int.from_bytes(content[:4], "little")
    head = json.dumps(json.loads(content[4:end]) | {"symbol": symbol}).encode()
    with pytest.raises(NotToBeKept):
        load(memoryview(len(head).to_bytes(4, "little") + head + (content[end:] if code is None else code)))


def test_settings_of_numba_that_change_its_code_are_obeyed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")
    assert machine_code.store() is not None
    monkeypatch.setenv("NUMBA_BOUNDSCHECK", "1")
    assert machine_code.store() is None
