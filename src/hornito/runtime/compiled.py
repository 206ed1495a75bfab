# SPDX-License-Identifier: MIT
"""How does a model come to its submissions? They are compiled, once; then a cache folder has them (docs/cache.md)."""

import dataclasses
import enum
import functools
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import Any

from hornito.compiler import Options, Plan, compile_plan, make_plan, nothing_for_npu, sharing
from hornito.errors import BadInput
from hornito.files import LIMIT_VARIABLE, Store, cache_directory, cache_limit
from hornito.model import Graph
from hornito.stream import Archive, from_flat, to_flat

log = logging.getLogger("hornito")

FOLDER = "compiled"
# Whoever changes one of these changes what is compiled, so their very text is a part of each entry's name.
_MAKERS = ("bits", "hardware", "model", "stream", "cost", "compiler", "runtime/compiled.py")
_told: set[str] = set()


def source_digest(root: Path) -> str | None:
    """A digest of all source in the folder of ``hornito`` that decides what a model is compiled to; takes about 2 ms.
    None where a package is no folder of source files: then nothing tells one compiler from another."""
    digest = hashlib.sha256()
    for maker in _MAKERS:
        sources = _sources(root / maker)
        if not sources:
            return None
        for path in sources:
            digest.update(f"\n{path.relative_to(root)}\n".encode())
            try:
                digest.update(path.read_bytes())
            except OSError:
                return None
    return digest.hexdigest()


def _sources(place: Path) -> list[Path]:
    if place.suffix == ".py":
        return [place] if place.is_file() else []
    found = [Path(folder, name) for folder, _, names in os.walk(place) for name in names if name.endswith(".py")]
    return sorted(found)


_COMPILER = source_digest(Path(__file__).parents[1])  # now: later the files may be newer than what was loaded


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is said of a compiled model. ``no_use``: why the NPU is of no use to it, or None; ``sharing``: by how much
    shared jobs may be off (``compiler.sharing``), or None; how many operators stay on the CPU; how many jobs there
    are."""

    no_use: str | None
    sharing: str | None
    cpu_operators: int
    jobs: int


class CompiledModel:
    """The submissions of a model as it was read, compiled with some options when they are first asked for.

    What a cache folder has is taken from there, and then no plan is made unless ``plan`` is asked for. ``cached``
    False: the cache is neither read nor written. Raises BadInput for a $HORNITO_CACHE_LIMIT that is no size.
    """

    def __init__(self, graph: Graph, options: Options, *, cached: bool = True) -> None:
        self._graph = graph
        self._options = options
        self._store = Store(cache_directory() / FOLDER, cache_limit()) if cached and _COMPILER else None
        self._found = self._look_up()
        self.from_cache = self._found is not None

    @functools.cached_property
    def plan(self) -> Plan:
        """The plan. It is made now if it was not needed before."""
        return make_plan(self._graph, self._options)

    @functools.cached_property
    def no_use(self) -> str | None:
        """Why the NPU is of no use for the model, or None."""
        return self._found[1].no_use if self._found else _no_use(self.plan)

    @functools.cached_property
    def sharing(self) -> str | None:
        """By how much results may be off because per-axis weights share jobs, or None."""
        return self._found[1].sharing if self._found else sharing(self.plan)

    def result(self) -> tuple[Archive, Facts]:
        """The submissions, and what there is to say of them. Raises Unsupported for a chip that can't be compiled
        for."""
        if self._found is None:
            made = compile_plan(self.plan, workers=len(os.sched_getaffinity(0)))
            jobs = sum(len(part) for part in made.jobs)
            facts = Facts(self.no_use, self.sharing, len(self.plan.refusals), jobs)
            self._found = made.archive, facts
            self._keep(made.archive, facts)
        return self._found

    @functools.cached_property
    def _key(self) -> str:
        """The entry's name: everything that the submissions depend on."""
        what = (_COMPILER, canonical(self._options), self._graph.digest)
        return hashlib.sha256(json.dumps(what).encode()).hexdigest()

    def _look_up(self) -> tuple[Archive, Facts] | None:
        if self._store is None or (content := self._store.get(self._key)) is None:
            return None
        try:
            archive, notes = from_flat(content, self._key)
            return archive, Facts(**notes)
        except (BadInput, TypeError) as error:
            # Whole, yet not what it should be: written by something that is no Hornito.
            log.debug("compiled model %s: %s", self._key, error)
            self._store.drop(self._key)
            return None

    def _keep(self, archive: Archive, facts: Facts) -> None:
        if self._store is None:
            return
        try:
            self._store.put(self._key, to_flat(archive, dataclasses.asdict(facts)))
        except BadInput as error:
            _remark_once(f"compiled models are not kept for the next start: {error}; {LIMIT_VARIABLE}=0 keeps none")


def _no_use(plan: Plan) -> str | None:
    if not plan.uses_npu:
        return nothing_for_npu(plan)
    for part in plan.parts:
        for index in (*part.inputs, *part.outputs):
            if index not in plan.planes and (tensor := plan.graph.tensor(index)).dtype is None:
                return f"T#{index}, of type {tensor.type_name}, would cross from unit to unit"
    return None


def _remark_once(text: str) -> None:
    if text not in _told:
        _told.add(text)
        log.warning("%s", text)


def canonical(value: Any) -> Any:
    """A value as JSON can hold it, so that equal ones are equal text; of dataclasses all fields, whatever they are.

    Raises TypeError for a type that it does not know: options of such a type need a line here.
    """
    if isinstance(value, enum.Enum):
        return value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: canonical(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, frozenset | set):
        return sorted((canonical(each) for each in value), key=json.dumps)
    if isinstance(value, tuple | list):
        return [canonical(each) for each in value]
    if isinstance(value, dict):
        return sorted(([canonical(key), canonical(each)] for key, each in value.items()), key=json.dumps)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{type(value).__name__} in options has no canonical form")
