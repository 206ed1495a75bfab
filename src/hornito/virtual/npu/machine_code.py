# SPDX-License-Identifier: MIT
"""How is a compiled loop kept on disk, loaded and called, all without its compiler?

numba takes half a second to be ready, even where all it has to do is to read what it compiled before. So what it made
of a loop is kept as an object file, which LLVM alone loads in a millisecond. A few instructions around it make it a
function of C: arrays come as numpy's objects, tuples as their members; they are what numba's own convention wants seven
or more numbers an array for. What arrays a loop makes itself come from malloc.
"""

import contextlib
import ctypes
import functools
import hashlib
import json
import logging
import operator
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hornito.errors import BadInput
from hornito.files import Store, cache_directory, cache_limit, private_folder

log = logging.getLogger("hornito")

FOLDER = "kernels"
_LIMIT = 64 << 20  # bytes; a processor's loops take some 200 KB
_HARMLESS = ("NUMBA_CACHE_DIR", "NUMBA_NUM_THREADS")  # of numba's settings; others change what it makes
_PREFIX = "hornito_"
_OBJECT_WORDS = object.__basicsize__ // 8  # of 64 bits, with which each object of this Python begins
_OK = (0, -2)  # what a loop returns; -2: and its result is None
_ELF = b"\x7fELF"
_SYMBOL = struct.Struct("<IBBHQQ")  # of a 64-bit ELF file: name, information, visibility, section, value, size
_NUMBERS: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "int64": (ctypes.c_int64, operator.index),
    "float64": (ctypes.c_double, float),
    "bool": (ctypes.c_uint8, bool),
}
_RESULTS = _NUMBERS | {"none": (ctypes.c_void_p, lambda value: value)}


_lost: list[str] = []  # why something that was compiled is not kept


class NotToBeKept(Exception):
    """A loop that only its compiler can call, or load."""


Put = Callable[[list[Any], Any], None]  # appends an argument, as C takes it, to those before


def _array(dtype: Any, dimensions: int, contiguous: bool) -> Put:
    """For arguments that are arrays. They must be as numba would take them: of that type, aligned, to be written."""

    def put(flat: list[Any], value: Any) -> None:
        flags = value.flags
        fits = flags.carray if contiguous else flags.behaved
        if not fits or value.ndim != dimensions or (value.dtype is not dtype and value.dtype != dtype):
            kind = "contiguous " if contiguous else ""
            raise TypeError(
                f"an array of {value.dtype} with {value.ndim} dimensions; the loop takes a {kind}one of {dtype} "
                f"with {dimensions}, aligned and to be written"
            )
        flat.append(value)

    return put


def _tuple(kinds: Sequence[str]) -> Put:
    """For tuples of numbers."""
    converted = [_NUMBERS[kind][1] for kind in kinds]
    whole = all(kind == "int64" for kind in kinds)

    def put(flat: list[Any], value: Any) -> None:
        if len(value) != len(converted):
            raise TypeError(f"{len(value)} numbers; the loop takes {len(converted)}")
        if whole:
            flat.extend(map(operator.index, value))
        else:
            flat.extend([convert(number) for convert, number in zip(converted, value, strict=True)])

    return put


def _number(kind: str) -> Put:
    """For numbers."""
    convert = _NUMBERS[kind][1]

    def put(flat: list[Any], value: Any) -> None:
        flat.append(convert(value))

    return put


class Loaded:
    """A loop's machine code, to be called with what numba would take. Holds no lock of Python's while it runs."""

    def __init__(self, engine: Any, symbol: str, result: str, rows: Sequence[list[Any]]) -> None:
        self._engine = engine  # owns the code
        self._symbol = symbol
        self._result, self._found = _RESULTS[result]
        self._puts: list[Put] = []
        self.first: Any = None  # the type of the first argument's elements, where that is an array
        types: list[Any] = [ctypes.c_void_p, ctypes.c_void_p]
        for kind, *row in rows:
            if kind == "array":
                self._puts.append(_array(np.dtype(row[0]), *row[1:]))
                types.append(ctypes.py_object)
            else:
                self._puts.append(_tuple(row[0]) if kind == "tuple" else _number(row[0][0]))
                types += [_NUMBERS[name][0] for name in row[0]]
        if rows and rows[0][0] == "array":
            self.first = np.dtype(rows[0][1])
        if not (address := engine.get_function_address(symbol)):
            raise NotToBeKept(f"it has no {symbol}")
        self._function = ctypes.CFUNCTYPE(ctypes.c_int32, *types)(address)

    def __call__(self, *values: Any) -> Any:
        result, problem = self._result(), ctypes.c_void_p()
        flat: list[Any] = [ctypes.addressof(result), ctypes.addressof(problem)]
        for put, value in zip(self._puts, values, strict=True):
            put(flat, value)
        if self._function(*flat) not in _OK:
            raise MemoryError(f"no memory for the arrays of {self._symbol.removeprefix(_PREFIX)}")
        return self._found(result.value)


class Overloaded:
    """Machine code of one loop for several types of its first argument, an array."""

    def __init__(self, loops: Sequence[Loaded]) -> None:
        self._loops = {loop.first: loop for loop in loops}

    def __call__(self, first: Any, *others: Any) -> Any:
        loop = self._loops.get(first.dtype)
        if loop is None:
            raise TypeError(f"an array of {first.dtype}; the loop takes {', '.join(map(str, self._loops))}")
        return loop(first, *others)


def store() -> Store | None:
    """Where machine code is kept; None where it can't be, or numba's settings ask for other code than usual."""
    if any(name.startswith("NUMBA_") and name not in _HARMLESS for name in os.environ):
        return None
    folder, limit = cache_directory() / FOLDER, allowed()
    return Store(folder, limit, private=True) if limit and may_keep_in(folder, cache_directory()) else None


def allowed() -> int:
    """How many bytes of machine code may be kept; 0: nothing is kept or looked for."""
    try:
        return min(_LIMIT, cache_limit())
    except BadInput as error:  # no reason not to run
        _remark_once(f"machine code in the cache is not used: {error}")
        return 0


def may_keep_in(folder: Path, top: Path, *, alone: bool = False) -> bool:
    """Make ``folder`` and look at it, up to ``top``, as ``private_folder`` does: what is there gets executed."""
    try:
        private_folder(folder, top, alone=alone)
    except OSError as error:
        if alone:  # the last place that is tried
            remark_lost(f"{top}: can't be used as a folder ({error.strerror}); name a place that can")
        return False
    except BadInput as error:
        _remark_once(f"machine code in the cache is not used: {error}")
        if alone:
            _lost.append(str(error))
        return False
    return True


def kept() -> bool:
    """Will the next start find what this one compiles, as far as that is known by now?"""
    return allowed() > 0 and not _lost


def remark_lost(why: object) -> None:
    """Say, once, that what is compiled is not kept."""
    if not _lost:
        _remark_once(f"machine code is not kept for the next start: {why}")
    _lost.append(str(why))


@functools.cache
def _remark_once(text: str) -> None:
    log.warning("%s", text)


def key(name: str, sources: Sequence[bytes], processor: str) -> str:
    """The entry's name: a loop by all that its machine code depends on, its own ``sources`` among it."""
    digest = hashlib.sha256(_maker())
    for part in (processor.encode(), *sources):
        digest.update(hashlib.sha256(part).digest())
    return f"{name}-{digest.hexdigest()}"


@functools.cache
def _maker() -> bytes:
    """What all machine code of this process depends on but the processor: this module, numba, LLVM, Python."""
    import importlib.util

    import llvmlite

    numba = importlib.util.find_spec("numba")
    assert numba is not None and numba.origin is not None
    version = (Path(numba.origin).parent / "_version.py").read_bytes()
    return b"\0".join((Path(__file__).read_bytes(), version, f"{_OBJECT_WORDS} {llvmlite.__version__}".encode()))


@functools.cache
def processor() -> str:
    """The processor that this process runs on, as LLVM names it, and what it can and can't do."""
    import llvmlite.binding as llvm

    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


def load(content: memoryview) -> Loaded:
    """The loop of which ``make`` made ``content``. For what something else made: raises NotToBeKept, or anything."""
    import llvmlite.binding as llvm

    length = int.from_bytes(content[:4], "little")
    head = json.loads(bytes(content[4 : 4 + length]))
    if content[4 + length : 8 + length] != _ELF:  # LLVM would read beyond its end
        raise NotToBeKept("it is no object file")
    _start_llvm()
    machine = llvm.Target.from_default_triple().create_target_machine()
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(bytes(content[4 + length :])))
    engine.finalize_object()
    return Loaded(engine, head["symbol"], head["result"], head["arguments"])


def keep(place: Store, name: str, content: memoryview) -> None:
    """Put what ``make`` made where later starts find it, if that can be."""
    try:
        place.put(name, [content])
    except BadInput as error:
        remark_lost(error)


def make(function: Callable[..., Any], signature: str) -> bytes:
    """Compile a loop to an object file, headed by how it is called. Raises NotToBeKept; and what numba raises."""
    from numba.core import compiler, registry, sigutils

    arguments, result = sigutils.normalize_signature(signature)
    flags = compiler.Flags()
    registry.cpu_target.options.parse_as_flags(
        flags, {"nopython": True, "nogil": True, "error_model": "numpy", "boundscheck": None}
    )
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    target = registry.cpu_target
    compiled = compiler.compile_extra(
        target.typing_context, target.target_context, function, arguments, result, flags, {}
    )
    rows = [_row(argument) for argument in arguments]
    if (gives := _type_name(result)) not in _RESULTS:
        raise NotToBeKept(f"a result of type {result}")
    symbol = _PREFIX + function.__name__
    code = _object(compiled.library.get_llvm_str(), compiled.fndesc.llvm_func_name, symbol, rows)
    head = json.dumps({"symbol": symbol, "result": gives, "arguments": rows}).encode()
    return len(head).to_bytes(4, "little") + head + code


def _row(argument: Any) -> list[Any]:
    """How an argument of this numba type is described."""
    from numba.core import types
    from numba.core.types.containers import BaseTuple

    if isinstance(argument, types.Array) and argument.layout in "CA" and argument.mutable and argument.aligned:
        return ["array", str(np.dtype(str(argument.dtype)).str), argument.ndim, argument.layout == "C"]
    members = list(argument.types) if isinstance(argument, BaseTuple) else [argument]
    names = [_type_name(member) for member in members]
    if any(name not in _NUMBERS for name in names):
        raise NotToBeKept(f"an argument of type {argument}")
    return ["tuple" if isinstance(argument, BaseTuple) else "number", names]


def _type_name(kind: Any) -> str:
    """numba's own name of a type; that of truth values has changed."""
    from numba.core import types

    return "bool" if kind is types.boolean else str(kind)


def _object(assembly: str, function: str, symbol: str, rows: Sequence[list[Any]]) -> bytes:
    """The object file of a module in which ``function`` is the only one to be called, as ``symbol``."""
    import llvmlite.binding as llvm

    _start_llvm()
    module = llvm.parse_assembly(assembly)
    _check_arguments(module.get_function(function), rows)
    module.link_in(llvm.parse_assembly(str(_memory())))
    module.link_in(llvm.parse_assembly(str(_entrance(function, symbol, rows))))
    for each in module.functions:
        if each.name != symbol and not each.is_declaration:
            each.linkage = "internal"
    for variable in module.global_variables:
        if not variable.is_declaration:
            variable.linkage = "internal"
    # Code and constants are loaded wherever there is room, 4 GiB apart too, so places are addressed in full.
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="static" if llvm.Target.from_default_triple().name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )
    code: bytes = machine.emit_object(module)
    for name in _wanted(code):
        # What LLVM can't find when it loads the code ends the process, so it is looked for now.
        if name.startswith(("NRT_", "numba_", "Py")) or llvm.address_of_symbol(name) is None:
            raise NotToBeKept(f"it calls {name}")
    return code


def _wanted(code: bytes) -> list[str]:
    """The symbols that an object file expects elsewhere."""
    import llvmlite.binding as llvm

    sections = {each.name(): each.data() for each in llvm.ObjectFileRef.from_data(code).sections()}
    names, found = sections[b".strtab"], []
    for name, _, _, section, _, _ in _SYMBOL.iter_unpack(sections[b".symtab"]):
        if name and section == 0:
            found.append(names[name : names.index(b"\0", name)].decode())
    return found


def _check_arguments(function: Any, rows: Sequence[list[Any]]) -> None:
    """Is the loop called as this module thinks? Another numba may have another way."""
    wanted = ["p", "p"]
    for kind, *row in rows:
        if kind == "array":
            wanted += ["p", "p", "i64", "i64", "p", *["i64"] * (2 * row[1])]
        else:
            wanted += [{"int64": "i64", "float64": "double", "bool": "i8"}[name] for name in row[0]]
    found = [
        "p" if str(each.type).endswith("*") or str(each.type) == "ptr" else str(each.type)
        for each in function.arguments
    ]
    if found != wanted:
        raise NotToBeKept(f"its arguments are {' '.join(found)}, not {' '.join(wanted)}")


def _entrance(function: str, symbol: str, rows: Sequence[list[Any]]) -> Any:
    """LLVM code for a function ``symbol`` of C that calls numba's ``function``: where the result goes, where what numba
    raises goes, then the arguments."""
    from llvmlite import ir

    pointer, word, small = ir.IntType(8).as_pointer(), ir.IntType(64), ir.IntType(32)
    number = {"int64": word, "float64": ir.DoubleType(), "bool": ir.IntType(8)}
    taken, passed = [pointer, pointer], [pointer, pointer]
    for kind, *row in rows:
        kinds = [pointer] if kind == "array" else [number[name] for name in row[0]]
        taken += kinds
        passed += [pointer, pointer, word, word, pointer, *[word] * (2 * row[1])] if kind == "array" else kinds
    module = ir.Module("entrance")
    loop = ir.Function(module, ir.FunctionType(small, passed), function)
    entrance = ir.Function(module, ir.FunctionType(small, taken), symbol)
    builder = ir.IRBuilder(entrance.append_basic_block())

    def words(address: Any, places: Sequence[int]) -> list[Any]:
        """Numbers from an array of them."""
        base = builder.bitcast(address, word.as_pointer())
        return [builder.load(builder.gep(base, [small(place)])) for place in places]

    arguments = iter(entrance.args)
    values = [next(arguments), next(arguments)]
    for kind, *row in rows:
        if kind != "array":
            values += [next(arguments) for _ in row[0]]
            continue
        # numpy's own struct: what every object begins with, elements, dimensions, sizes, strides.
        data, sizes, strides = words(next(arguments), [_OBJECT_WORDS + place for place in (0, 2, 3)])
        shape = words(builder.inttoptr(sizes, pointer), range(row[1]))
        count = word(1)
        for size in shape:
            count = builder.mul(count, size)
        values += [
            pointer(None),
            pointer(None),
            count,
            word(np.dtype(row[0]).itemsize),
            builder.inttoptr(data, pointer),
        ]
        values += [*shape, *words(builder.inttoptr(strides, pointer), range(row[1]))]
    builder.ret(builder.call(loop, values))
    return module


def _memory() -> Any:
    """LLVM code for numba's two functions that arrays are made and ended by: malloc and free.

    An array's memory begins with what numba calls its MemInfo: a count of users, the function and its argument that
    end it, where the elements are, their size in bytes, and an allocator.
    """
    from llvmlite import ir

    module = ir.Module("memory")
    pointer, size, small = ir.IntType(8).as_pointer(), ir.IntType(64), ir.IntType(32)
    malloc = ir.Function(module, ir.FunctionType(pointer, [size]), "malloc")
    free = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer]), "free")
    info = ir.LiteralStructType([size, pointer, pointer, pointer, size, pointer])

    allocate = ir.Function(module, ir.FunctionType(pointer, [size, small]), "NRT_MemInfo_alloc_aligned")
    builder = ir.IRBuilder(allocate.append_basic_block())
    wanted, alignment = allocate.args
    step = builder.zext(alignment, size)
    block = builder.call(malloc, [builder.add(builder.add(wanted, step), size(64))])
    with builder.if_then(builder.icmp_unsigned("==", block, pointer(None))):
        builder.ret(pointer(None))
    first = builder.add(builder.ptrtoint(block, size), builder.add(size(63), step))
    first = builder.sub(first, builder.urem(first, step))
    head = builder.bitcast(block, info.as_pointer())
    nobody = pointer(None)
    for number, value in enumerate((size(1), nobody, nobody, builder.inttoptr(first, pointer), wanted, nobody)):
        builder.store(value, builder.gep(head, [small(0), small(number)]))
    builder.ret(block)

    end = ir.Function(module, ir.FunctionType(ir.VoidType(), [pointer]), "NRT_MemInfo_call_dtor")
    builder = ir.IRBuilder(end.append_basic_block())
    builder.call(free, [end.args[0]])
    builder.ret_void()
    return module


def _start_llvm() -> None:
    import llvmlite.binding as llvm

    for start in (llvm.initialize, llvm.initialize_native_target, llvm.initialize_native_asmprinter):
        with contextlib.suppress(RuntimeError):  # newer ones start by themselves, and say so
            start()
