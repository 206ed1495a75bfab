# SPDX-License-Identifier: MIT
"""Is a model compiled once, and again whenever anything has changed that its submissions depend on?"""

import dataclasses
import io
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hornito
from hornito.compiler import Evidence, Level, Options, Unit, compile_plan, make_plan
from hornito.compiler.options import Technique
from hornito.driver import Device
from hornito.files import LIMIT_VARIABLE, Store
from hornito.hardware.chips import find_chip
from hornito.hardware.timing import timing_of
from hornito.model import read_model
from hornito.runtime import CompiledModel, Interpreter, compiled
from hornito.runtime.compiled import canonical, source_digest
from hornito.stream import Archive, pack_archive
from tests.runtime.networks import Layer, alternating, noise, small_float

OPTIONS = Options(find_chip("vipnano-qi"))
# For each field another value than OPTIONS has; a field that has none here fails the test.
OTHERS: dict[str, Any] = {
    "chip": find_chip("vipnano-si-plus"),
    "level": Level.WIDE,
    "disabled": frozenset({Unit.TP}),
    "as_reference": True,
    "per_axis_error": 0.2,
    "evidence": Evidence(frozenset({"key"}), "report"),
    "without": frozenset({Technique.GROUPS}),
    "timing": timing_of(OPTIONS.chip),
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where compiled models are kept: an empty folder for each test."""
    monkeypatch.setattr(compiled, "cache_directory", lambda: tmp_path)
    yield tmp_path / "compiled"


def packed(archive: Archive) -> bytes:
    content = io.BytesIO()
    pack_archive(content, archive)
    return content.getvalue()


def opened(model: bytes, device: Device, **options: Any) -> Interpreter:
    interpreter = Interpreter(model_content=model, device=device, **options)
    interpreter.allocate_tensors()
    return interpreter


def run(interpreter: Interpreter) -> Any:
    detail = interpreter.get_input_details()[0]
    interpreter.set_tensor(detail["index"], noise(detail["shape"], detail["dtype"], 1))
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@pytest.mark.parametrize("model", [Layer().model(), alternating(np.int8)], ids=["layer", "alternating"])
def test_second_interpreter_takes_what_the_first_compiled(model: bytes, device: Device, folder: Path) -> None:
    with opened(model, device) as first, opened(model, device) as second:
        assert not first.from_cache and second.from_cache and len(list(folder.iterdir())) == 1
        assert first.archive is not None and second.archive is not None
        assert packed(first.archive) == packed(second.archive)
        assert np.array_equal(run(first), run(second))
        assert second.remarks == first.remarks and second.refusals == first.refusals
        assert second.plan is not None and second.plan.uses_npu
        assert packed(compile_plan(second.plan).archive) == packed(second.archive)


def test_facts_of_a_compiled_model_are_kept(folder: Path) -> None:
    graph = read_model(alternating())
    new, old = CompiledModel(graph, OPTIONS), None
    archive, facts = new.result()
    old = CompiledModel(graph, OPTIONS)
    assert old.from_cache and old.result()[1] == facts and packed(old.result()[0]) == packed(archive)
    plan = make_plan(graph, OPTIONS)
    assert facts.cpu_operators == len(plan.refusals) > 0 and facts.jobs == 10 and facts.no_use is None


def test_without_the_cache_nothing_is_read_or_written(device: Device, folder: Path) -> None:
    with opened(Layer().model(), device, cache=False):
        assert not folder.exists()
    opened(Layer().model(), device).close()
    with opened(Layer().model(), device, cache=False) as interpreter:
        assert not interpreter.from_cache


def test_model_that_the_npu_gets_nothing_of_is_not_kept(device: Device, folder: Path) -> None:
    with opened(small_float(), device) as interpreter:
        assert not interpreter.uses_npu and not interpreter.from_cache and interpreter.plan is None
    assert not folder.exists()


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Options)])
def test_other_options_are_another_entry(name: str) -> None:
    graph = read_model(Layer().model())
    changed = dataclasses.replace(OPTIONS, **{name: OTHERS[name]})
    CompiledModel(graph, OPTIONS).result()
    assert CompiledModel(graph, OPTIONS).from_cache
    assert not CompiledModel(graph, changed).from_cache


def test_another_model_is_another_entry() -> None:
    CompiledModel(read_model(Layer().model()), OPTIONS).result()
    assert not CompiledModel(read_model(Layer(seed=1).model()), OPTIONS).from_cache


@pytest.mark.parametrize("package", ["compiler", "hardware", "bits", "model", "stream", "cost"])
def test_any_change_of_the_compiler_s_source_is_another_version(package: str, tmp_path: Path) -> None:
    root = Path(hornito.__file__).parent
    copy = tmp_path / "hornito"
    for source in root.rglob("*.py"):
        place = copy / source.relative_to(root)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(source.read_bytes())
    assert source_digest(copy) == source_digest(root)
    changed = sorted((copy / package).rglob("*.py"))[-1]
    changed.write_bytes(changed.read_bytes() + b"#")
    assert source_digest(copy) not in (source_digest(root), None)
    shutil.rmtree(copy / package)
    assert source_digest(copy) is None


def test_equal_options_are_equal_text_and_unknown_types_are_refused() -> None:
    units = [Unit.NN, Unit.TP]
    assert canonical(frozenset(units)) == canonical(frozenset(reversed(units))) == ["NN", "TP"]
    assert canonical({"b": 1, "a": None}) == canonical({"a": None, "b": 1})
    with pytest.raises(TypeError, match="object in options has no canonical form"):
        canonical((object(),))


@pytest.mark.parametrize("damage", ["bits", "cut", "empty", "strange", "notes"])
def test_entry_of_no_use_is_replaced(damage: str, folder: Path) -> None:
    graph = read_model(Layer().model())
    archive, _ = CompiledModel(graph, OPTIONS).result()
    (entry,) = folder.iterdir()
    whole = entry.read_bytes()
    match damage:
        case "bits":
            entry.write_bytes(whole[:-9] + bytes([whole[-9] ^ 4]) + whole[-8:])
        case "cut":
            entry.write_bytes(whole[: len(whole) // 2])
        case "empty":
            entry.write_bytes(b"")
        case "strange":
            Store(folder, 1 << 20).put(entry.name, [b"sound, but no archive"])
        case "notes":
            Store(folder, 1 << 20).put(entry.name, [whole[20:].replace(b'"cpu_operators"', b'"gpu_operators"')])
    again = CompiledModel(graph, OPTIONS)
    assert not again.from_cache and not entry.exists()
    assert packed(again.result()[0]) == packed(archive)
    assert entry.read_bytes() == whole and CompiledModel(graph, OPTIONS).from_cache


def test_folder_that_can_t_be_written_is_one_remark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, device: Device
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setattr(compiled, "cache_directory", lambda: tmp_path / "file")
    for _ in range(2):
        with opened(Layer().model(), device) as interpreter:
            assert run(interpreter).shape == (1, 6, 7, 8)
    (record,) = caplog.records
    assert record.getMessage() == (
        f"compiled models are not kept for the next start: {tmp_path}/file/compiled: can't be made (Not a directory); "
        "name a place that can; HORNITO_CACHE_LIMIT=0 keeps none"
    )


def test_limit_is_kept(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "20K")
    for seed in range(6):
        CompiledModel(read_model(Layer(seed=seed).model()), OPTIONS).result()
        assert sum(path.stat().st_size for path in folder.iterdir()) <= 20 << 10
    assert CompiledModel(read_model(Layer(seed=5).model()), OPTIONS).from_cache


STARTER = """
import hashlib, io, sys
from hornito.compiler import Options
from hornito.hardware.chips import find_chip
from hornito.hardware.timing import timing_of
from hornito.model import read_model
from hornito.runtime import CompiledModel
from hornito.stream import pack_archive
graph = read_model(sys.argv[1])
for _ in range(5):
    content = io.BytesIO()
    pack_archive(content, CompiledModel(graph, Options(find_chip("vipnano-qi"))).result()[0])
    print(hashlib.sha256(content.getvalue()).hexdigest())
"""


def test_processes_that_compile_at_once_get_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HORNITO_CACHE", str(tmp_path))
    (tmp_path / "model.tflite").write_bytes(alternating())
    command = [sys.executable, "-c", STARTER, str(tmp_path / "model.tflite")]
    starters = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    found = {line for starter in starters for line in starter.communicate(timeout=60)[0].split()}
    assert all(starter.returncode == 0 for starter in starters) and len(found) == 1
    assert len(list((tmp_path / "compiled").iterdir())) == 1
