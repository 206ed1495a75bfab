# SPDX-License-Identifier: MIT
"""Which operators go together where crossings between NPU and CPU are to be few? A search from TFLite's own way.

Groups alternate between the two units. How few of them there can be is known: let one of the units begin and put every
operator into the earliest group of its unit; no other order with that beginning has fewer. Where between the earliest
and the latest group an operator goes is a matter of the tensors that cross: operators are moved, with all that must
then go before or behind them, as long as that saves something.
"""

from collections.abc import Iterable, Sequence

from hornito.compiler.partition import Group, group_of, partition
from hornito.model.graph import Graph

MOST_OPERATORS = 1000  # of a network that is searched: the work grows with their square
Cost = tuple[int, int, int]  # tensors that cross, NPU segments, bytes that cross
Layers = list[int]  # the group of each operator; even and odd ones are different units'


def cost(groups: Sequence[Group], graph: Graph) -> Cost:
    """What the crossings of these groups cost."""
    accepted = [group for group in groups if group.accepted]
    tensors = [index for group in accepted for index in (*group.inputs, *group.outputs)]
    return len(tensors), len(accepted), sum(graph.tensor(index).elements for index in tensors)


def fewest_crossings(graph: Graph, refused: frozenset[int]) -> list[Group]:
    """Groups that can run one after the other, with no more crossings than ``partition`` gives; ``refused``: indices of
    the operators for the CPU."""
    found = [partition(graph, refused)]
    if len(found[0]) > 1 and len(graph.operators) <= MOST_OPERATORS:
        for accepted_first in (True, False):
            network = _Network(graph, refused, accepted_first)
            layers = network.earliest()
            for begin in (layers, network.latest(max(layers)), network.latest(max(layers) + 2)):
                found.append(network.groups(network.improved(begin)))
    return min(found, key=lambda groups: cost(groups, graph))


class _Network:
    """Operators by their place in the graph, and who waits for whom."""

    def __init__(self, graph: Graph, refused: frozenset[int], accepted_first: bool) -> None:
        self._graph = graph
        self._refused = refused
        self._first = accepted_first
        self._parity = [int((operator.index not in refused) != accepted_first) for operator in graph.operators]
        place = {operator.index: number for number, operator in enumerate(graph.operators)}
        self._before: list[list[int]] = [[] for _ in graph.operators]
        self._after: list[list[int]] = [[] for _ in graph.operators]
        self._near: list[list[int]] = [[] for _ in graph.operators]  # the tensors of each
        # Of each tensor that is computed or given: its size, producer (-1 for none), consumers, and whether it leaves.
        self._tensors: list[tuple[int, int, list[int], bool]] = []
        for tensor in graph.tensors:
            producer = graph.producer(tensor.index)
            if tensor.is_constant and producer is None:
                continue
            consumers = [place[operator.index] for operator in graph.consumers(tensor.index)]
            maker = -1 if producer is None else place[producer.index]
            for number in (*consumers, *([maker] if maker >= 0 else [])):
                self._near[number].append(len(self._tensors))
            self._tensors.append((tensor.elements, maker, consumers, tensor.index in graph.outputs))
            for consumer in consumers if maker >= 0 else ():
                self._before[consumer].append(maker)
                self._after[maker].append(consumer)

    def earliest(self) -> Layers:
        """Every operator in the earliest group that it can be in. They stand in an order in which they can run."""
        layers: Layers = []
        for number, parity in enumerate(self._parity):
            least = max((layers[other] for other in self._before[number]), default=0)
            layers.append(least + (least % 2 != parity))
        return layers

    def latest(self, last: int) -> Layers:
        """Every operator in the latest group that it can be in, where group ``last`` is the last."""
        layers: Layers = [0] * len(self._parity)
        for number in reversed(range(len(layers))):
            most = min((layers[other] for other in self._after[number]), default=last)
            layers[number] = most - (most % 2 != self._parity[number])
        return layers

    def improved(self, layers: Layers) -> Layers:
        """Move operators one after the other to where they cost less, until none gains by it."""
        last = max(layers)
        best = self.cost(layers)
        gained = True
        while gained:
            gained = False
            for number in range(len(layers)):
                for layer in range(self._parity[number], last + 1, 2):
                    moved = self._moved(layers, number, layer, last)
                    if moved is not None and (now := self._change(best, layers, moved)) < best:
                        layers, best, gained = moved, now, True
        return layers

    def _moved(self, layers: Layers, number: int, layer: int, last: int) -> Layers | None:
        """Put an operator into another group, and what must come before or behind it where it then can be."""
        if layer == layers[number]:
            return None
        later = layer > layers[number]
        moved = list(layers)
        moved[number] = layer
        waiting = [number]
        while waiting:
            one = waiting.pop()
            for other in self._after[one] if later else self._before[one]:
                if (moved[other] < moved[one]) if later else (moved[other] > moved[one]):
                    wrong = moved[one] % 2 != self._parity[other]
                    moved[other] = moved[one] + (wrong if later else -wrong)
                    if not 0 <= moved[other] <= last:
                        return None
                    waiting.append(other)
        return moved

    def cost(self, layers: Layers) -> Cost:
        """As ``cost`` of the groups that come of it."""
        joined = self._joined(layers)
        segments = sum(layer % 2 != self._first for layer in set(joined.values()))
        return self._sum(layers, joined, range(len(self._tensors)), segments)

    def _change(self, cost: Cost, layers: Layers, moved: Layers) -> Cost:
        """The cost of ``moved``, given that of ``layers``: by the tensors of the operators that differ."""
        if set(layers) != set(moved):
            return self.cost(moved)
        joined = self._joined(layers)
        pairs = enumerate(zip(layers, moved, strict=True))
        tensors = {tensor for number, (old, new) in pairs if old != new for tensor in self._near[number]}
        before, after = (self._sum(each, joined, tensors, 0) for each in (layers, moved))
        return cost[0] - before[0] + after[0], cost[1], cost[2] - before[2] + after[2]

    def _sum(self, layers: Layers, joined: dict[int, int], tensors: Iterable[int], segments: int) -> Cost:
        """What these tensors cost, and ``segments``."""
        npu = 0 if self._first else 1
        crossing = size = 0
        for number in tensors:
            elements, producer, consumers, leaves = self._tensors[number]
            home = joined[layers[producer]] if producer >= 0 else None
            users = {joined[layers[consumer]] for consumer in consumers}
            count = sum(user % 2 == npu for user in users if user != home)
            count += home is not None and home % 2 == npu and (leaves or bool(users - {home}))
            crossing += count
            size += count * elements
        return crossing, segments, size

    def _joined(self, layers: Layers) -> dict[int, int]:
        """Groups renumbered: where one in between became empty, its neighbours are one."""
        found: dict[int, int] = {}
        last = 0
        for layer in sorted(set(layers)):
            last += last % 2 != layer % 2
            found[layer] = last
        return found

    def groups(self, layers: Layers) -> list[Group]:
        """The groups, in the order in which they run."""
        joined = self._joined(layers)
        members: dict[int, list[int]] = {}
        for number, layer in enumerate(layers):
            members.setdefault(joined[layer], []).append(number)
        operators = self._graph.operators
        return [
            group_of(self._graph, (layer % 2 == 0) == self._first, [operators[number] for number in members[layer]])
            for layer in sorted(members)
        ]
