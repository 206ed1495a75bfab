# SPDX-License-Identifier: MIT
"""Does every package import only what its layer may, and do the other rules of the house hold that source shows?"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import hornito

ROOT = Path(hornito.__file__).parent
MAX_LINES = 500
HEAVY = (
    *("numpy", "numba", "llvmlite", "PIL", "ai_edge_litert", "flatbuffers", "rich", "scipy", "sklearn", "torch"),
    "websockets",
)

BY_ALL = {"crew", "errors", "files", "words"}
_BELOW_DRIVER = {"bits", "hardware", "uapi", "stream"}
_BELOW_RUNTIME = _BELOW_DRIVER | {"model", "cost", "compiler", "driver", "virtual", "remote"}
_BELOW_DOCTOR = _BELOW_RUNTIME | {"supervisor", "runtime", "examples"}
_BELOW_TRACE = _BELOW_DOCTOR | {"doctor", "web"}
_BELOW_CONFORMANCE = _BELOW_TRACE | {"trace"}

# Which packages may import which. docs/architecture.md says what each is.
MAY_IMPORT: dict[str, set[str]] = {
    "crew": set(),
    "errors": set(),
    "files": set(),
    "words": set(),
    "bits": set(),
    "hardware": {"bits"},
    "uapi": {"bits"},
    "model": set(),
    "web": set(),
    "stream": {"bits", "hardware"},
    "cost": {"bits", "hardware", "stream"},
    "compiler": {"bits", "hardware", "model", "stream", "cost"},
    "driver": _BELOW_DRIVER,
    "virtual": _BELOW_DRIVER | {"cost"},
    "supervisor": {"uapi", "virtual"},
    "remote": {"uapi", "stream", "driver"},
    "runtime": _BELOW_RUNTIME,
    "examples": {"model", "runtime"},
    "doctor": _BELOW_DOCTOR,
    "trace": _BELOW_TRACE,
    "conformance": _BELOW_CONFORMANCE,
    "server": _BELOW_RUNTIME | {"runtime"},
    "vmm": {"bits", "uapi", "virtual"},
    "lab": {"bits", "uapi", "virtual", "vmm"},
    "display": {"bits", "uapi", "virtual", "vmm"},
    "cli": _BELOW_CONFORMANCE | {"conformance", "server", "vmm", "lab", "display", "__init__"},
    "__init__": {"runtime"},  # of hornito itself: its public names
}

MODULES = sorted(ROOT.rglob("*.py"))
_MODULE_NAMES = {".".join(("hornito", *path.relative_to(ROOT).with_suffix("").parts)) for path in MODULES}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _package(path: Path) -> str:
    """The layer that a module belongs to: its package, or for modules of hornito itself their own name."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _imports(path: Path, tree: ast.Module | None = None) -> Iterator[str]:
    """Every module that a module imports anywhere, by its full name; of ``from a import b`` both a and a.b. A module's
    name as a text counts: it is started as a program, or imported by somebody else."""
    for node in ast.walk(tree or _tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = ["hornito", *path.relative_to(ROOT).parts[: -node.level]]
                base = ".".join([*package, *([node.module] if node.module else [])])
            if base != "hornito":
                yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
            argument = node.args[0]
            # A module whose name is put together: what stands before the first hole tells the package.
            if isinstance(argument, ast.JoinedStr):
                argument = argument.values[0]
            if isinstance(argument, ast.Constant):
                yield str(argument.value)
        elif isinstance(node, ast.Constant) and node.value in _MODULE_NAMES:
            yield str(node.value)


def _first_party(path: Path, tree: ast.Module | None = None) -> set[str]:
    """The layers that a module imports from; hornito's own public names are "__init__"."""
    layers = {_package(module) for module in MODULES}
    names = [name.split(".") for name in _imports(path, tree)]
    return {name[1] if name[1:] and name[1] in layers else "__init__" for name in names if name[0] == "hornito"}


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_module_imports_only_what_its_layer_may(path: Path) -> None:
    package = _package(path)
    assert package in MAY_IMPORT, f"{package} is no layer of docs/architecture.md; add it there and here"
    allowed = MAY_IMPORT[package] | BY_ALL | {package}
    if package in BY_ALL:
        allowed = BY_ALL
    assert _first_party(path) <= allowed


def test_the_table_has_no_circles() -> None:
    done: set[str] = set()
    while rest := {name for name in MAY_IMPORT if name not in done and name != "__init__"}:
        ready = {name for name in rest if MAY_IMPORT[name] - {"__init__"} <= done}
        assert ready, f"circle among {rest}"
        done |= ready


@pytest.mark.parametrize(
    "source,expected",
    [
        ("import hornito.model.reader", {"model"}),
        ("from hornito import model", {"model"}),
        ("from hornito.model import Graph", {"model"}),
        ("from .. import model", {"model"}),
        ("from ..driver.device import Device", {"driver"}),
        ("def f():\n    from hornito.virtual import kernel", {"virtual"}),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import hornito.runtime", {"runtime"}),
        ("import importlib\nimportlib.import_module(f'hornito.cli.{verb}')", {"cli"}),
        ("import subprocess\nsubprocess.run([python, '-m', 'hornito.cli.main'])", {"cli"}),
        ("from hornito import __version__", {"__init__"}),
        ("import hornitology", set()),
    ],
)
def test_every_form_of_import_is_seen(source: str, expected: set[str]) -> None:
    assert _first_party(ROOT / "compiler" / "invented.py", ast.parse(source)) == expected


def test_only_the_virtual_npu_s_kernels_import_numba() -> None:
    found = [_name(path) for path in MODULES if any(name.split(".")[0] == "numba" for name in _imports(path))]
    assert found == [f"virtual/npu/{name}.py" for name in ("kernels", "machine_code", "matrix")]


def test_opening_files_or_devices_is_not_for_the_compiler() -> None:
    for path in MODULES:
        if _package(path) in ("compiler", "cost", "bits", "hardware"):
            outside = {name.split(".")[0] for name in _imports(path)}
            assert not outside & {"os", "io", "pathlib", "socket", "mmap", "tempfile", "subprocess"}, _name(path)
            calls = {ast.unparse(node.func) for node in ast.walk(_tree(path)) if isinstance(node, ast.Call)}
            assert "open" not in calls, _name(path)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\n"
        "from hornito.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\n"
        "except SystemExit:\n    pass\n"
        f"print('HEAVY', *sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    environment_free = [sys.executable, "-c", script, *arguments]
    result = subprocess.run(environment_free, capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.splitlines()[-1] == "HEAVY"


def test_importing_hornito_imports_nothing_heavy() -> None:
    script = f"import sys, hornito\nprint(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == ""


@pytest.mark.parametrize("folder", ["src", "tests", "tools", "benchmarks"])
def test_every_source_file_names_its_licence(folder: str) -> None:
    place = Path(__file__).parent.parent / folder
    assert place.is_dir()
    without = [
        path.name
        for path in place.rglob("*.py")
        if not path.read_text(encoding="utf-8").startswith("# SPDX-License-Identifier: MIT\n")
    ]
    assert without == []


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_no_module_is_longer_than_can_be_read(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_LINES


@pytest.mark.parametrize("path", [path for path in MODULES if path.stat().st_size > 200], ids=_name)
def test_every_module_says_which_question_it_answers(path: Path) -> None:
    assert ast.get_docstring(_tree(path))


def _numbers(path: Path) -> set[int]:
    """The integers that a module spells out."""
    nodes = ast.walk(_tree(path))
    return {node.value for node in nodes if isinstance(node, ast.Constant) and type(node.value) is int}


def _telling(number: int) -> bool:
    """Is it a number that hardly occurs but for what it means on the chip? Not small, no power of two or one less."""
    return number > 0x400 and number & (number - 1) != 0 and number & (number + 1) != 0


def test_numbers_of_silicon_stand_in_hardware_alone() -> None:
    facts = {number for path in MODULES if _package(path) == "hardware" for number in _numbers(path)}
    telling = {number for number in facts if _telling(number)}
    assert {0x010A0, 0xC23, 0x7F800000, 0x45080009} <= telling
    elsewhere = {
        f"{_name(path)}: {number:#x}"
        for path in MODULES
        if _package(path) != "hardware"
        for number in _numbers(path) & telling
    }
    assert elsewhere == set()


def test_states_and_chips_are_named_in_hardware_alone() -> None:
    """Not even as text: no other module spells out a core's name but the examples in help."""
    from hornito.hardware.chips import CHIPS

    for path in MODULES:
        if _package(path) != "hardware":
            strings = {node.value for node in ast.walk(_tree(path)) if isinstance(node, ast.Constant)}
            assert not strings & {chip.name for chip in CHIPS}, _name(path)
