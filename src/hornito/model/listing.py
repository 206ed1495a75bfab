# SPDX-License-Identifier: MIT
"""What does a network look like on paper? The lines of TFLite's model analyser, with the quantisation added.

Operator lines are the analyser's own. Tensor lines are too, up to where it would print 8-bit and real constants as
characters: those are numbers here, and scale and zero point follow.
"""

from dataclasses import asdict
from enum import Enum
from typing import Any

from hornito.model.graph import Graph, Operator, Quantization, Tensor
from hornito.words import counted

SHOWN = 5


def _text(name: str) -> str:
    """A name from a file, on one line and without control characters."""
    return "".join(character if character.isprintable() else "\ufffd" for character in name)


def _values(tensor: Tensor) -> str:
    """The first values of a constant, as the analyser lists them."""
    if tensor.data is None:
        return ""
    flat = tensor.data.reshape(-1)
    shown = [f"{value:.6g}" if tensor.data.dtype.kind == "f" else str(value) for value in flat[:SHOWN].tolist()]
    return f"[{', '.join([*shown, *(['...'] if flat.size > SHOWN else [])])}]"


def _argument(graph: Graph, index: int) -> str:
    if index < 0:
        return "T#-1"
    tensor = graph.tensor(index)
    # As the analyser: int32 constants are shapes, axes and biases, worth seeing in place.
    return f"T#{index}{_values(tensor) if tensor.type_name == 'INT32' and tensor.nbytes else ''}"


def _operator(graph: Graph, operator: Operator) -> str:
    inputs = ", ".join(_argument(graph, index) for index in operator.inputs)
    outputs = ", ".join(f"T#{index}" for index in operator.outputs)
    kind = _text(operator.kind.removeprefix("CUSTOM:"))
    return f"  Op#{operator.index} {kind}({inputs}) -> [{outputs}]"


def _quantization(quantization: Quantization) -> str:
    if quantization.per_tensor:
        return f"scale:{quantization.scale:.9g}, zero point:{quantization.zero_point}"

    def few(values: tuple[Any, ...], form: str) -> str:
        shown = [format(value, form) for value in values[:SHOWN]]
        return f"[{', '.join([*shown, *(['...'] if len(values) > SHOWN else [])])}]"

    zeros = quantization.zero_points
    zero_points = str(zeros[0]) if len(set(zeros)) == 1 else few(zeros, "d")
    return f"scales:{few(quantization.scales, '.9g')} along axis {quantization.axis}, zero points:{zero_points}"


def _tensor(tensor: Tensor) -> str:
    line = f"  T#{tensor.index}({_text(tensor.name)}) shape:{list(tensor.shape)}"
    if tensor.is_dynamic:
        line += f", shape_signature:{list(tensor.shape_signature)}"
    line += f", type:{tensor.type_name}"
    if tensor.is_variable:
        line += ", variable"
    if tensor.nbytes:
        line += f" RO {tensor.nbytes} bytes, buffer: {tensor.buffer}"
        if tensor.data is not None:
            line += f", data:{_values(tensor)}"
    if tensor.quantization is not None:
        line += f", {_quantization(tensor.quantization)}"
    return line


def listing(graph: Graph) -> str:
    """Operators, tensors and totals of a graph, as lines of text without a final newline."""
    inputs = ", ".join(f"T#{index}" for index in graph.inputs)
    outputs = ", ".join(f"T#{index}" for index in graph.outputs)
    constant = sum({tensor.buffer: tensor.nbytes for tensor in graph.tensors if tensor.nbytes}.values())
    name = f" {_text(graph.subgraph_name)}" if graph.subgraph_name else ""
    lines = [f"Subgraph#0{name}({inputs}) -> [{outputs}]"]
    lines += [_operator(graph, operator) for operator in graph.operators]
    lines += ["", "Tensors of Subgraph#0"]
    lines += [_tensor(tensor) for tensor in graph.tensors]
    lines += [
        "",
        f"{counted(len(graph.operators), 'operator')}, {counted(len(graph.tensors), 'tensor')}, "
        f"{constant} of {counted(len(graph.source), 'byte')} are constants",
    ]
    if graph.subgraphs > 1:
        lines.append(f"{counted(graph.subgraphs - 1, 'further subgraph')}, which control flow calls")
    return "\n".join(lines)


def _plain(options: Any) -> dict[str, Any] | None:
    if options is None:
        return None
    return {name: value.name if isinstance(value, Enum) else value for name, value in asdict(options).items()}


def as_json(graph: Graph) -> dict[str, Any]:
    """The same as values that ``json.dumps`` takes; constants by their size."""

    def tensor(of: Tensor) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "index": of.index,
            "name": of.name,
            "shape": list(of.shape),
            "shape_signature": list(of.shape_signature),
            "type": of.type_name,
            "quantization": None,
            "constant_bytes": of.nbytes,
            "is_variable": of.is_variable,
        }
        if of.quantization is not None:
            entry["quantization"] = {
                "scales": list(of.quantization.scales),
                "zero_points": list(of.quantization.zero_points),
                "axis": of.quantization.axis,
            }
        return entry

    return {
        "description": graph.description,
        "subgraphs": graph.subgraphs,
        "inputs": list(graph.inputs),
        "outputs": list(graph.outputs),
        "signatures": [
            {
                "name": signature.name,
                "subgraph": signature.subgraph,
                "inputs": dict(signature.inputs),
                "outputs": dict(signature.outputs),
            }
            for signature in graph.signatures
        ],
        "operators": [
            {
                "index": operator.index,
                "kind": operator.kind,
                "version": operator.version,
                "inputs": list(operator.inputs),
                "outputs": list(operator.outputs),
                "options": _plain(operator.options),
            }
            for operator in graph.operators
        ],
        "tensors": [tensor(one) for one in graph.tensors],
    }
