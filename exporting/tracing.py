"""A network's own forward pass, run on values of a graph."""

import inspect
import types

from mxnet.gluon import HybridBlock

from maskflownet.exporting.layers import Layer
from maskflownet.network.base import PyramidNetwork


class Traced:
    """A network seen so that its methods, unchanged, write a graph.

    Its layers are `Layer`s, its heavy steps those given; all else is the network's own: what it
    does is said once, in `network`, for the MXNet's two kinds of operators and for this one.
    """

    def __init__(self, network, graph, steps, prefix=""):
        self._network = network
        self._graph = graph
        self._prefix = prefix
        self.steps = steps

    def __getattr__(self, name):
        """Return the network's attribute of that name, as a graph needs it."""
        method = inspect.getattr_static(type(self._network), name, None)
        if isinstance(method, types.FunctionType):
            return types.MethodType(method, self)
        value = getattr(self._network, name)
        if isinstance(value, PyramidNetwork):
            return Traced(value, self._graph, self.steps, f"{self._prefix}{name}.")
        if isinstance(value, HybridBlock):
            return Layer(self._graph, value, self._prefix + name)
        return value
