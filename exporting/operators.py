"""MXNet's operators that the networks' forward passes call, in ONNX.

A forward pass gets its operators as an argument `F`: `mx.nd` to compute, `mx.sym` to trace, and an
`Operators` to write a graph. What takes most of the time goes through `exporting.steps` instead.
"""

import numpy as np

from maskflownet.exporting.graph import Graph, Value


class Operators:
    """The `F` that adds nodes to a graph.

    Parameters
    ----------
    graph : exporting.graph.Graph
    """

    def __init__(self, graph: Graph):
        self.graph = graph

    def __getattr__(self, name):
        """Say what is missing where a network learns a new operator."""
        raise NotImplementedError(f"{name}: has no ONNX form yet, add it to exporting/operators.py")

    def concat(self, *values, dim):
        """Join along the channels."""
        assert dim == 1, dim
        name = self.graph.node("Concat", *(value.name for value in values), axis=1)
        return Value(self.graph, name, sum(value.channels for value in values))

    def sigmoid(self, value):
        """Return 1 / (1 + exp(-value))."""
        return self._same(value, "Sigmoid")

    def LeakyReLU(self, value, act_type, slope):  # noqa: N802 (MXNet's name)
        """Return value where it is positive, slope times it elsewhere."""
        assert act_type == "leaky", act_type
        return self._same(value, "LeakyRelu", alpha=slope)

    def broadcast_mul(self, value, other):
        """Multiply; `other` may have a single channel."""
        return value * other

    def zeros_like(self, value):
        """Return zeros of a value's shape."""
        return value * 0

    def ones_like(self, value):
        """Return ones of a value's shape."""
        return value * 0 + 1

    def pad(self, value, mode, constant_value, pad_width):
        """Put zeros around: pad_width has the numbers before and after, axis by axis."""
        assert (mode, constant_value, any(pad_width[:4])) == ("constant", 0, False)
        return self._same(value, "Pad", self.graph.integers(*pad_width[::2], *pad_width[1::2]))

    def slice(self, value, begin, end):
        """Cut off some rows and columns; None and negative numbers are as in Python."""
        assert not any((*begin[:2], *end[:2]))
        bounds = [self.graph.integers(*numbers) for numbers in (begin[2:], end[2:], (2, 3))]
        return self._same(value, "Slice", *bounds)

    def slice_axis(self, value, axis, begin, end):
        """Return some of the channels."""
        assert axis == 1, axis
        bounds = [self.graph.integers(number) for number in (begin, end, axis)]
        return Value(self.graph, self.graph.node("Slice", value.name, *bounds), end - begin)

    def flip(self, value, axis):
        """Turn the order of the channels."""
        assert axis == 1, axis
        bounds = [self.graph.integers(number) for number in (-1, -value.channels - 1, axis, -1)]
        return self._same(value, "Slice", *bounds)

    def clip(self, value, low, high):
        """Limit to [low, high]."""
        return self._same(value, "Clip", *(self.graph.constant(np.float32(x)) for x in (low, high)))

    def GridGenerator(self, flow, transform_type):  # noqa: N802 (MXNet's name)
        """Return where a flow (N, 2, H, W), (x, y) pixels, points, in [-1, 1] of the image."""
        assert transform_type == "warp", transform_type
        sizes = image_size(self.graph, flow.name, (3, 2))
        last = self.graph.node("Sub", sizes, self.graph.constant(np.float32(1)))
        return normalised(self.graph, flow + pixel_positions(self.graph, flow.name, (3, 2)), last)

    def BilinearSampler(self, image, grid):  # noqa: N802 (MXNet's name)
        """Sample an image at a grid (N, 2, H, W), (x, y) in [-1, 1]; zeros outside."""
        return grid_sample(self.graph, image, grid)

    def _same(self, value, operator, *inputs, **attributes):
        name = self.graph.node(operator, value.name, *inputs, **attributes)
        return Value(self.graph, name, value.channels)


def image_size(graph: Graph, name: str, axes) -> str:
    """Return the name of float (1, len(axes), 1, 1): a tensor's lengths along these axes."""
    sizes = graph.join(*(graph.size(name, axis) for axis in axes))
    sizes = graph.node("Cast", sizes, to=1)  # float
    return graph.node("Reshape", sizes, graph.integers(1, len(axes), 1, 1))


def pixel_positions(graph: Graph, name: str, axes) -> Value:
    """Return the places (1, 2, H, W) of a tensor's pixels along two axes: (3, 2) for (x, y)."""
    zero, one = (graph.constant(np.int64(number)) for number in (0, 1))
    places = []
    for axis in axes:
        length = graph.node("Squeeze", graph.size(name, axis))
        places.append(graph.node("Cast", graph.node("Range", zero, length, one), to=1))
    sizes = graph.join(graph.integers(1, 1), graph.size(name, 2), graph.size(name, 3))
    rows = {2: (1, 1, -1, 1), 3: (1, 1, 1, -1)}
    maps = [
        graph.node("Expand", graph.node("Reshape", place, graph.integers(*rows[axis])), sizes)
        for axis, place in zip(axes, places, strict=True)
    ]
    return Value(graph, graph.node("Concat", *maps, axis=1), 2)


def normalised(graph: Graph, places: Value, last: str) -> Value:
    """Turn places in pixels into [-1, 1] of an image whose last pixel is `last` per axis."""
    two = graph.constant(np.float32(2))
    scale = graph.node("Div", two, last)
    return Value(graph, graph.node("Mul", places.name, scale), 2) - 1


def grid_sample(graph: Graph, image: Value, grid: Value) -> Value:
    """Sample an image (N, C, H, W) at a grid (N, 2, h, w), (x, y) in [-1, 1]; zeros outside."""
    places = graph.node("Transpose", grid.name, perm=[0, 2, 3, 1])
    sampled = graph.node(
        "GridSample", image.name, places, mode="linear", padding_mode="zeros", align_corners=1
    )
    return Value(graph, sampled, image.channels)
