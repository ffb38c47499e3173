"""Names for what flows through the networks, since MXNet says nothing about its types."""

from typing import Any, TypeAlias

# An mxnet.nd.NDArray or, while a graph is traced, an mxnet.sym.Symbol; docstrings have the shapes.
Array: TypeAlias = Any
# `F`: mxnet.nd or mxnet.sym, whose operators are called.
Operators: TypeAlias = Any
# {pyramid level: Array}.
Levels: TypeAlias = dict[int, Any]
