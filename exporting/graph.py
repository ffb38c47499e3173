"""An ONNX graph in the making, and the values that flow through it."""

from __future__ import annotations

import hashlib

import numpy as np


class Graph:
    """Collects nodes and constants; each operator called gives a `Value` or a name.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
    constants : list of onnx.TensorProto
    """

    def __init__(self):
        self.nodes = []
        self.constants = []
        self._names = {}  # how often a name was asked for
        self._shared = {}  # constants by content

    def constant(self, array: np.ndarray, name: str | None = None) -> str:
        """Return the name of a constant; equal ones are kept once."""
        from onnx import numpy_helper

        array = np.asarray(array)
        key = array.dtype.str, array.shape, hashlib.sha256(array.tobytes()).digest()
        if key not in self._shared:
            own = self._shared[key] = self._unique(name or "constant")
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), own))
        return self._shared[key]

    def integers(self, *numbers: int) -> str:
        """Return the name of a constant int64 vector."""
        return self.constant(np.array(numbers, np.int64))

    def node(self, operator: str, *inputs: str, outputs: int = 1, name=None, **attributes):
        """Add a node; return the name of its output, or a list of them if there are several."""
        from onnx import helper

        own = self._unique(name or operator)
        names = [own] if outputs == 1 else [f"{own}:{index}" for index in range(outputs)]
        self.nodes.append(helper.make_node(operator, inputs, names, name=own, **attributes))
        return names[0] if outputs == 1 else names

    def size(self, value: str, axis: int) -> str:
        """Return the name of an int64 vector of one: a tensor's length along an axis."""
        return self.node("Shape", value, start=axis, end=axis + 1)

    def join(self, *vectors: str) -> str:
        """Return the name of vectors joined to one."""
        return self.node("Concat", *vectors, axis=0)

    def _unique(self, name):
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"


class Value:
    """A float tensor (N, channels, H, W) of a `Graph`, with the arithmetic that networks use.

    Parameters
    ----------
    graph : Graph
    name : str
    channels : int
    """

    def __init__(self, graph: Graph, name: str, channels: int):
        self.graph = graph
        self.name = name
        self.channels = channels

    def _with(self, operator, other):
        if isinstance(other, Value):
            return Value(
                self.graph, self.graph.node(operator, self.name, other.name), self.channels
            )
        if operator == "Mul" and other == 1:
            return self
        number = self.graph.constant(np.float32(other))
        return Value(self.graph, self.graph.node(operator, self.name, number), self.channels)

    def __add__(self, other):
        return self._with("Add", other)

    def __sub__(self, other):
        return self._with("Sub", other)

    def __mul__(self, other):
        return self._with("Mul", other)

    def __gt__(self, other):
        """Return 1 where it is greater, else 0."""
        greater = self._with("Greater", other)
        return Value(self.graph, self.graph.node("Cast", greater.name, to=1), self.channels)
