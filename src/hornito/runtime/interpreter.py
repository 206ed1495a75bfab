# SPDX-License-Identifier: MIT
"""``Interpreter``: what ``tf.lite.Interpreter`` is, with the NPU doing what it can.

A user changes one import; ``device``, ``chip``, ``plan_level``, ``disable`` and
``per_axis_error`` choose what runs where.
"""

import dataclasses
import functools
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from hornito.compiler import Evidence, Options, Plan, Refusal, Unit, find_level, find_technique
from hornito.driver import Device
from hornito.errors import BadInput, DeviceError
from hornito.model import Graph, find_model, read_model
from hornito.runtime import litert
from hornito.runtime.compiled import CompiledModel
from hornito.runtime.devices import AUTO, VIRTUAL, Emulation, Report, find_device, open_device, resolve
from hornito.runtime.inventory import missing_npu
from hornito.runtime.session import Session
from hornito.stream import Archive

log = logging.getLogger("hornito")

# Arguments of LiteRT's own constructor that only concern what LiteRT runs; they are handed on to it.
LITERT_SETTINGS = frozenset(
    f"experimental_{name}"
    for name in (
        "op_resolver_type",
        "preserve_all_tensors",
        "disable_delegate_clustering",
        "default_delegate_latest_features",
        "compress_quantization_zero_points",
        "disable_delegate_node_fusion",
        "force_delegate_node_profiling",
    )
)


class Interpreter:
    """Runs a TFLite model. Method and argument names, results and exception types are LiteRT's.

    ``device`` is a name, as ``--device`` takes it, or an open device; ``chip`` which NPU the virtual one is;
    ``plan_level`` "proven", "wide" or "fast"; ``disable`` units to do without ("nn", "tp"); ``per_axis_error`` how far
    channels of per-axis weights that share a job may be off, as a part of their results' spread (0.1); ``without``
    techniques that level fast leaves out (docs/fast.md); ``cache`` whether what was compiled before may be used again,
    and what is compiled now be kept (docs/cache.md).

    ``plan`` is the plan in force, or None where the whole model runs in LiteRT; ``remarks`` says why, and what else a
    user should know; ``refusals`` which rule keeps which operator on the CPU. Errors about a model are BadInput (a
    ValueError), about the device DeviceError (a RuntimeError); what LiteRT refuses only when it runs is both
    ValueError and RuntimeError. Not to be used by two threads at once.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str] | None = None,
        model_content: bytes | None = None,
        experimental_delegates: Sequence[Any] | None = None,
        num_threads: int | None = None,
        *,
        device: str | Device = "auto",
        chip: str | None = None,
        plan_level: str = "proven",
        disable: Iterable[str] = (),
        without: Iterable[str] = (),
        per_axis_error: float | None = None,
        evidence: Evidence | None = None,
        cache: bool = True,
        report: Report | None = None,
        **litert_settings: Any,
    ) -> None:
        if experimental_delegates:
            raise ValueError("experimental_delegates: Hornito takes their place; leave them out")
        if unknown := sorted(set(litert_settings) - LITERT_SETTINGS):
            raise TypeError(f"Interpreter() got an unexpected keyword argument {unknown[0]!r}")
        if num_threads is not None and (not isinstance(num_threads, int) or num_threads < 1):
            raise ValueError(f"num_threads should be an int >= 1; got {num_threads!r}")
        if not model_path and not model_content:
            raise ValueError("`model_path` or `model_content` must be specified")
        if model_path and model_content:
            raise ValueError("Can't both provide `model_path` and `model_content`")
        disabled = frozenset(_unit(name) for name in disable)
        left_out = frozenset(find_technique(name) for name in without)
        level = find_level(plan_level)
        automatic = device == AUTO
        if isinstance(device, str):
            device = resolve(device)
        chosen = find_device(device, chip) if isinstance(device, str) else device.chip
        if chosen is not None:
            Options(chosen).check()
        self.graph: Graph = read_model(find_model(os.fsdecode(model_path)) if model_path else model_content or b"")
        self.remarks: list[str] = []
        self.archive: Archive | None = None  # what is loaded
        self.device: Device | None = None
        self._own_device = isinstance(device, str)
        self._threads = num_threads
        self._settings = litert_settings
        self._session: Session | None = None
        self._closed = False
        self._values: dict[int, NDArray[Any]] = {}
        self._model: CompiledModel | None = None  # where the NPU has a part in it
        self._refusals: Mapping[int, Refusal] = {}  # where it has none
        self._open: Callable[[], Device] = functools.partial(_open, device, chip, report, num_threads)
        self._reference = litert.load(
            self.graph.source, self.graph.name, num_threads, settings=litert_settings, digest=self.graph.digest
        )
        with litert.refusals(self.graph.name):  # names that are no UTF-8, for one
            self.get_input_details()
            self.get_output_details()
        self._inputs = self.graph.inputs
        if chosen is None:
            return
        if automatic and device == VIRTUAL and (cure := missing_npu()):
            self._remark(f"the virtual NPU stands in for this board's own: {cure}")
        whole = self._only_litert()
        if whole is None:
            options = Options(chosen, level, disabled, evidence=evidence or Evidence(), without=left_out)
            if per_axis_error is not None:
                options = dataclasses.replace(options, per_axis_error=per_axis_error)
            model = CompiledModel(self.graph, options, cached=cache)
            whole = model.no_use
            if whole is None:
                self._model = model
                if off := model.sharing:
                    self._remark(f"{self.graph.name}: {off}")
            else:
                self._refusals = model.plan.refusals
        if whole is not None:
            self._remark(f"{self.graph.name} runs in LiteRT on the CPU: {whole}")

    def _only_litert(self) -> str | None:
        """Why the whole model runs in LiteRT, whatever its operators are; or None."""
        graph = self.graph
        if self._settings.get("experimental_preserve_all_tensors"):
            return "all tensors are to be preserved, and those inside the NPU are out of reach"
        if graph.subgraphs > 1:
            return f"it has {graph.subgraphs} subgraphs"
        for index in (*graph.inputs, *graph.outputs):
            tensor = graph.tensor(index)
            if tensor.is_dynamic:
                return f"T#{index} has the open shape {tensor.shape_signature}"
            if tensor.dtype is None:
                return f"T#{index} is of type {tensor.type_name}"
        for tensor in graph.tensors:
            if tensor.is_variable or tensor.type_name in ("RESOURCE", "VARIANT"):
                return f"T#{tensor.index} keeps its value from run to run"
        return None

    def _remark(self, text: str) -> None:
        self.remarks.append(text)
        log.warning("%s", text)

    @property
    def plan(self) -> Plan | None:
        """Which operator runs where and why, or None where everything runs in LiteRT."""
        return None if self._model is None else self._model.plan

    @property
    def uses_npu(self) -> bool:
        """Does an NPU run a part of the model? Unlike asking for ``plan`` this costs nothing."""
        return self._model is not None

    @property
    def from_cache(self) -> bool:
        """Had this machine compiled the model before?"""
        return self._model is not None and self._model.from_cache

    @property
    def refusals(self) -> Mapping[int, Refusal]:
        """Which rule keeps an operator on the CPU, by the operator's number; also where that is all of them.

        Empty where no rule was asked, because the whole model runs in LiteRT for a reason that ``remarks`` gives, or
        because ``device`` is "cpu".
        """
        return self._refusals if self._model is None else self._model.plan.refusals

    def open_device(self) -> None:
        """Open the device, if there is a plan to run on one; else ``allocate_tensors`` does it. Raises DeviceError."""
        self._check_open()
        if self._model is not None and self.device is None:
            self.device = self._open()

    def allocate_tensors(self) -> None:
        """Compile the plan and load it onto the device. Raises BadInput, Unsupported, DeviceError."""
        self._check_open()
        if self._model is None:
            with litert.refusals(self.graph.name):
                self._reference.allocate_tensors()
        elif self._session is None:
            self.archive, _ = self._model.result()
            self.open_device()
            assert self.device is not None
            self._session = Session(self.archive, self.device, self._threads, trusted=True, settings=self._settings)
            self._values = {index: self._zeros(index) for index in self._inputs}

    def _zeros(self, index: int) -> NDArray[Any]:
        tensor = self.graph.tensor(index)
        return np.zeros(tensor.shape, tensor.dtype)

    def get_input_details(self) -> list[dict[str, Any]]:
        """A dictionary for each input: name, index, shape, dtype, quantisation, as LiteRT gives them."""
        details: list[dict[str, Any]] = self._reference.get_input_details()
        return details

    def get_output_details(self) -> list[dict[str, Any]]:
        """A dictionary for each output, as ``get_input_details``."""
        details: list[dict[str, Any]] = self._reference.get_output_details()
        return details

    def get_tensor_details(self, subgraph_index: int = 0) -> list[dict[str, Any]]:
        """A dictionary for each tensor, as ``get_input_details``."""
        details: list[dict[str, Any]] = self._reference.get_tensor_details(subgraph_index)
        return details

    def num_subgraphs(self) -> int:
        """How many subgraphs the model has."""
        return self.graph.subgraphs

    def set_tensor(self, tensor_index: int, value: Any) -> None:
        """Copy ``value`` into an input. Raises ValueError for a wrong index, dtype or shape, or before allocation."""
        self._check_open()
        if self._model is None:
            self._reference.set_tensor(tensor_index, value)
            return
        self._check_allocated("set")
        if tensor_index not in self._inputs:
            raise ValueError(f"Cannot set tensor: {tensor_index} is no input; inputs are {list(self._inputs)}")
        tensor = self.graph.tensor(tensor_index)
        array = np.asarray(value)
        if array.dtype != tensor.dtype:
            raise ValueError(
                f"Cannot set tensor: Got value of type {array.dtype} but expected type {tensor.dtype} "
                f"for input {tensor_index}, name: {tensor.name}"
            )
        if array.shape != tensor.shape:
            raise ValueError(
                f"Cannot set tensor: Dimension mismatch. Got {array.shape} but expected {tensor.shape} "
                f"for input {tensor_index}."
            )
        np.copyto(self._values[tensor_index], array)

    def invoke(self) -> None:
        """Run the model once. Raises RuntimeError: DeviceError where the NPU failed, else with LiteRT's words."""
        self._check_open()
        if self._model is None:
            with litert.refusals(self.graph.name):
                self._reference.invoke()
            return
        if self._session is None:
            raise RuntimeError("call allocate_tensors() before invoke()")
        self._values = self._session.run({index: self._values[index] for index in self._inputs})

    def get_tensor(self, tensor_index: int, subgraph_index: int = 0) -> NDArray[Any]:
        """A copy of an input, an output, a constant, or a tensor that crosses from unit to unit.

        Raises ValueError for a tensor inside an NPU segment: it is never in the CPU's memory.
        """
        self._check_open()
        if self._model is None or subgraph_index:
            return np.asarray(self._reference.get_tensor(tensor_index, subgraph_index))
        return self._array(tensor_index).copy()

    def tensor(self, tensor_index: int) -> Callable[[], NDArray[Any]]:
        """A function that gives the array itself at the time of its call, so that inputs can be filled in place."""
        return lambda: self._array(tensor_index)

    def _array(self, index: int) -> NDArray[Any]:
        self._check_open()
        if self._model is None:
            return np.asarray(self._reference.tensor(index)())
        self._check_allocated("get")
        if index in self._values:
            return self._values[index]
        if not 0 <= index < len(self.graph.tensors):
            raise ValueError(f"Invalid tensor index {index}; the model has {len(self.graph.tensors)} tensors")
        tensor = self.graph.tensor(index)
        if tensor.data is not None:
            return tensor.data
        if index in self.graph.outputs:
            return self._zeros(index)  # allocated, but not computed yet
        raise ValueError(f"Tensor {index} ({tensor.name}) is computed and used within one segment, not kept")

    def _check_allocated(self, what: str) -> None:
        if self._session is None:
            raise ValueError(f"Cannot {what} tensor: call allocate_tensors() first")

    def _check_open(self) -> None:
        if self._closed:
            raise DeviceError("the interpreter is closed; make another one")

    def resize_tensor_input(self, input_index: int, tensor_size: Sequence[int], strict: bool = False) -> None:
        """Give an input another shape; a model so changed runs in LiteRT. Raises ValueError as LiteRT does."""
        if self._model is not None:
            same = input_index in self._inputs and tuple(tensor_size) == self.graph.tensor(input_index).shape
            if same:
                return
            self._reference.resize_tensor_input(input_index, tensor_size, strict)
            self._remark(f"{self.graph.name} runs in LiteRT on the CPU: input {input_index} was resized")
            self._leave_npu()
        else:
            self._reference.resize_tensor_input(input_index, tensor_size, strict)

    def reset_all_variables(self) -> None:
        """Give every variable its first value. A model that has some runs in LiteRT."""
        if self._model is None:
            self._reference.reset_all_variables()

    def _leave_npu(self) -> None:
        self._release()
        self._model, self.archive, self._refusals = None, None, {}

    def _release(self) -> None:
        """Give the device's memory back, and the device itself if it was opened here."""
        if self._session is not None:
            self._session.close()
            self._session = None
        if self._own_device and self.device is not None:
            self.device.close()
        self.device = None

    def get_signature_list(self) -> dict[str, dict[str, list[str]]]:
        """The names of each signature's inputs and outputs."""
        signatures: dict[str, dict[str, list[str]]] = self._reference.get_signature_list()
        return signatures

    def get_signature_runner(self, signature_key: str | None = None) -> Any:
        """A callable that takes a signature's inputs by name and gives its outputs by name."""
        if self._model is None:
            return self._reference.get_signature_runner(signature_key)
        return SignatureRunner(self, signature_key)

    def close(self) -> None:
        """Give the device's memory back; the interpreter can't run any more. A second time does nothing."""
        self._closed = True
        self._release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SignatureRunner:
    """One signature of a model, as a function of named arrays."""

    def __init__(self, interpreter: Interpreter, signature_key: str | None) -> None:
        signatures = {signature.name: signature for signature in interpreter.graph.signatures}
        if signature_key is None:
            if len(signatures) != 1:
                raise ValueError(f"signature_key is None and the model has {len(signatures)} signatures")
            signature_key = next(iter(signatures))
        if signature_key not in signatures:
            raise ValueError(f"Invalid signature_key: {signature_key!r}; the model has {list(signatures)}")
        self._interpreter = interpreter
        self._inputs: Mapping[str, int] = signatures[signature_key].inputs
        self._outputs: Mapping[str, int] = signatures[signature_key].outputs

    def __call__(self, **values: Any) -> dict[str, NDArray[Any]]:
        """Set the inputs (a new shape resizes them), run, and give the outputs. Raises ValueError, RuntimeError."""
        if set(values) != set(self._inputs):
            raise ValueError(f"Invalid inputs {sorted(values)}; the signature takes {sorted(self._inputs)}")
        for name, value in values.items():
            self._interpreter.resize_tensor_input(self._inputs[name], np.asarray(value).shape)
        self._interpreter.allocate_tensors()
        for name, value in values.items():
            self._interpreter.set_tensor(self._inputs[name], value)
        self._interpreter.invoke()
        return {name: self._interpreter.get_tensor(index) for name, index in self._outputs.items()}

    def get_input_details(self) -> dict[str, dict[str, Any]]:
        """Tensor details by input name."""
        details = {detail["index"]: detail for detail in self._interpreter.get_input_details()}
        return {name: details[index] for name, index in self._inputs.items()}

    def get_output_details(self) -> dict[str, dict[str, Any]]:
        """Tensor details by output name."""
        details = {detail["index"]: detail for detail in self._interpreter.get_output_details()}
        return {name: details[index] for name, index in self._outputs.items()}


def _open(device: str | Device, chip: str | None, report: Report | None, threads: int | None) -> Device:
    """A device that is no CPU, by name or as it is."""
    if not isinstance(device, str):
        return device
    found = open_device(device, chip, report, emulation=Emulation(threads=threads))
    assert found is not None
    return found


def _unit(name: str) -> Unit:
    if name not in (Unit.NN, Unit.TP):
        raise BadInput(f"unit {name!r} can't be disabled; known are nn and tp")
    return Unit(name)
