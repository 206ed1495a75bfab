# SPDX-License-Identifier: MIT
"""What is a rule about operators? A condition with what it needs, and the value that it met.

``hornito.compiler.operators`` has the rules themselves, one file an operator.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hornito.bits import BitField, Confidence
from hornito.compiler.options import Options
from hornito.model.graph import Graph, Operator, Tensor

SIGN_SHIFT = 128  # int8 tensors are uint8 ones moved by this


@dataclass(frozen=True)
class Candidate:
    """An operator that may run on the NPU, with what its rules look at."""

    graph: Graph
    operator: Operator
    options: Options

    def input(self, number: int) -> Tensor | None:
        """An operand, or None where it is absent."""
        inputs = self.operator.inputs
        if number >= len(inputs) or inputs[number] < 0:
            return None
        return self.graph.tensor(inputs[number])

    def operand(self, number: int) -> Tensor:
        """An operand that the reader has made sure of."""
        return self.graph.tensor(self.operator.inputs[number])

    @property
    def source(self) -> Tensor:
        return self.operand(0)

    @property
    def target(self) -> Tensor:
        return self.graph.tensor(self.operator.outputs[0])

    @property
    def operands(self) -> list[Tensor]:
        """All inputs that are there."""
        return [self.graph.tensor(index) for index in self.operator.inputs if index >= 0]

    @property
    def results(self) -> list[Tensor]:
        return [self.graph.tensor(index) for index in self.operator.outputs]


@dataclass(frozen=True)
class Rule:
    """A condition on operators. ``need``: what must be there, after "needs"; ``got``: what is there instead, after
    "it has"; ``fields``: the hardware's fields whose meaning the rule takes for granted."""

    need: str
    holds: Callable[[Candidate], bool]
    got: Callable[[Candidate], str]
    fields: tuple[BitField, ...] = ()


@dataclass(frozen=True)
class Refusal:
    """Why an operator stays on the CPU: a reason, and the value that was met, "" where there is none to tell."""

    operator: int
    kind: str
    reason: str
    got: str = ""

    @property
    def text(self) -> str:
        """Reason and value, without the operator."""
        return f"{self.reason}; it has {self.got}" if self.got else self.reason

    def __str__(self) -> str:
        return f"Op#{self.operator} {self.kind}: {self.text}"


def lacks(operator: Operator, need: str, got: str) -> Refusal:
    """The refusal of an operator that has not what it needs."""
    return Refusal(operator.index, operator.kind, f"needs {need}", got)


def first_refusal(rules: Sequence[Rule], candidate: Candidate) -> Refusal | None:
    """The first of ``rules`` that does not hold, or None."""
    for rule in rules:
        if not rule.holds(candidate):
            return lacks(candidate.operator, rule.need, rule.got(candidate))
    return None


def guesses(rules: Iterable[Rule]) -> list[str]:
    """The fields that ``rules`` take for granted though their meaning is a guess."""
    fields = {field.name: field for rule in rules for field in rule.fields}
    return [name for name, field in fields.items() if field.confidence is not Confidence.REPLAYED]


def zero_point(tensor: Tensor) -> int:
    """The byte that means 0.0 in device memory, 0..255, of a tensor with one zero point."""
    assert tensor.quantization is not None
    return tensor.quantization.zero_point + (SIGN_SHIFT if tensor.type_name == "INT8" else 0)


def shapes(*tensors: Tensor) -> str:
    """Tensors' shapes, for messages."""
    return ", ".join("x".join(str(size) for size in tensor.shape) or "a scalar" for tensor in tensors)
