"""The cost volume as a few products of matrices.

A slice of image 2's features for each displacement would read them 81 times, multiply and add up:
memory's speed decides, and it is slow. Here a row of pixels is cut into tiles; for each of the nine
vertical displacements, one product of matrices compares all pixels of a tile with all that lie
within horizontal reach. Of the result (tile, reach) a slanted band is wanted, which one more column
per row, read as if it were not there, makes straight.
"""

import numpy as np

from maskflownet.exporting.graph import Graph, Value

TILE = 8  # pixels; a multiple of it is as wide as the reach on both sides


def cost_volume(graph: Graph, features1: Value, features2: Value, reach: int) -> Value:
    """Return the mean over channels of products for every displacement up to `reach`.

    Parameters
    ----------
    graph : Graph
    features1, features2 : Value
        (N, C, H, W) each.
    reach : int
        The largest displacement per axis, in pixels; at most TILE / 2.

    Returns
    -------
    Value
        (N, (2 * reach + 1) ** 2, H, W), the vertical displacement outside.
    """
    side = 2 * reach + 1
    shape = _Shape(graph, features1)
    first = graph.node("Mul", features1.name, graph.constant(np.float32(1 / features1.channels)))
    # Both get whole tiles; the second also the reach around it, and the first as many rows.
    first = _padded(graph, first, shape.missing, top=0, left=0, bottom=0, right=0)
    second = _padded(graph, features2.name, shape.missing, reach, reach, reach, TILE - reach)
    first = graph.node("Reshape", first, shape.tiles(extra_rows=0, extra_tiles=0))
    first = graph.node("Transpose", first, perm=[0, 2, 3, 4, 1])  # (N, H, tiles, TILE, C)
    second = graph.node("Reshape", second, shape.tiles(extra_rows=2 * reach, extra_tiles=1))
    second = graph.node("Transpose", second, perm=[0, 2, 3, 1, 4])
    second = _with_neighbours(graph, second, 2 * reach)
    bands = []
    for row in range(side):
        start, end = graph.integers(row), graph.node("Add", shape.height, graph.integers(row))
        rows = graph.node("Slice", second, start, end, graph.integers(1))
        product = graph.node("MatMul", first, rows)  # (N, H, tiles, TILE, TILE + 2 * reach)
        bands.append(_band(graph, product, TILE + 2 * reach, side))
    volume = graph.node("Concat", *bands, axis=4)  # (N, H, tiles, TILE, side ** 2)
    volume = graph.node("Reshape", volume, graph.join(*shape.rows, graph.integers(-1, side**2)))
    volume = graph.node("Transpose", volume, perm=[0, 3, 1, 2])
    zero, axis = graph.integers(0), graph.integers(3)
    volume = graph.node("Slice", volume, zero, shape.width, axis)
    return Value(graph, volume, side**2)


class _Shape:
    """The lengths of a feature map, int64 vectors of one each, and of what is made of it."""

    def __init__(self, graph, features):
        self._graph = graph
        self._channels = graph.integers(features.channels)
        self._count, self.height, self.width = (graph.size(features.name, i) for i in (0, 2, 3))
        self.rows = self._count, self.height
        tile = graph.integers(TILE)
        over = graph.node("Add", self.width, graph.integers(TILE - 1))
        self._tiles = graph.node("Div", over, tile)
        self.missing = graph.node("Sub", graph.node("Mul", self._tiles, tile), self.width)

    def tiles(self, extra_rows, extra_tiles):
        """Return (N, C, H + extra_rows, tiles + extra_tiles, TILE)."""
        graph = self._graph
        height = graph.node("Add", self.height, graph.integers(extra_rows))
        tiles = graph.node("Add", self._tiles, graph.integers(extra_tiles))
        return graph.join(self._count, self._channels, height, tiles, graph.integers(TILE))


def _padded(graph, name, missing, top, left, bottom, right):
    """Put zeros around a map (N, C, H, W), and as many on the right as a whole tile wants."""
    right = graph.node("Add", missing, graph.integers(right))
    sizes = graph.join(graph.integers(0, 0, top, left, 0, 0, bottom), right)
    return graph.node("Pad", name, sizes)


def _with_neighbours(graph, tiles, count):
    """Put the first `count` columns of the next tile behind each but the last."""
    axis, zero = graph.integers(2), graph.integers(0)
    own = graph.node("Slice", tiles, zero, graph.integers(-1), axis)
    bounds = graph.integers(1, 0), graph.integers(2**31, count), graph.integers(2, 4)
    return graph.node("Concat", own, graph.node("Slice", tiles, *bounds), axis=4)


def _band(graph, product, width, side):
    """Return (N, H, tiles, TILE, side): of (N, H, tiles, TILE, width) row i from column i on."""
    flat = graph.node("Reshape", product, graph.integers(0, 0, 0, TILE * width))
    flat = graph.node("Pad", flat, graph.integers(0, 0, 0, 0, 0, 0, 0, TILE))
    slanted = graph.node("Reshape", flat, graph.integers(0, 0, 0, TILE, width + 1))
    return graph.node("Slice", slanted, graph.integers(0), graph.integers(side), graph.integers(4))
