"""The deformable convolution whose taps share one offset, as one convolution and one sampling.

Where all nine taps fall inside the image, what it computes is the response of the plain
convolution, sampled bilinearly where the flow points. Near the border it is not: MXNet takes a tap
for zero when it lies above row 0 or left of column 0, be it by a fraction, and lets the last row
and column repeat for one more pixel; and that differs from cell to cell of the pixel grid, where
sampling wants one value per pixel. So the map that is sampled has the two pixels of a border cell
for that cell alone: it is the response with some rows and columns put in between.

Along an axis of length L, in cell k (from pixel k to k + 1) tap t in (-1, 0, 1) counts where
0 <= k + t < L. Its values at the cell's two ends are x[k + t] and x[min(k + t + 1, L - 1)]:

===========  ==========================  ==========================
cell         taps at its first end       taps at its second end
===========  ==========================  ==========================
-1           0, 0, x[0]                  0, 0, x[1]
0            0, x[0], x[1]               0, x[1], x[2]
1 to L - 2   those of pixel k            those of pixel k + 1
L - 1        x[L-2], x[L-1], 0           x[L-1], x[L-1], 0
L            x[L-1], 0, 0                x[L-1], 0, 0
===========  ==========================  ==========================

where the last pixel, as the second end of cell L - 2, sees x[L-2], x[L-1], x[L-1]. The first ends
are what a convolution over an image in two rings of zeros gives. The others come from eight more
rows (columns) in front.
"""

import numpy as np

from maskflownet.exporting.graph import Graph, Value
from maskflownet.exporting.operators import grid_sample, image_size, normalised, pixel_positions

EXTRA = 7  # rows that the sampled map has more than the image
FRONT = 8  # rows in front for the second ends


def tied_deformable(graph: Graph, features: Value, flow_yx: Value, weight: str) -> Value:
    """Return the deformable convolution of features with one offset for all taps, without bias.

    Parameters
    ----------
    graph : Graph
    features : Value
        (N, C, H, W).
    flow_yx : Value
        (N, 2, H, W), (y, x) order, in pixels of the features.
    weight : str
        The constant (C, C, 3, 3).
    """
    two = (2, 2)
    padded = graph.node("Pad", features.name, graph.integers(0, 0, *two, 0, 0, *two))
    lengths = [graph.size(features.name, axis) for axis in (2, 3)]
    for axis, length in zip((2, 3), lengths, strict=True):
        front = graph.node("Gather", padded, _front(graph, length), axis=axis)
        padded = graph.node("Concat", front, padded, axis=axis)
    sampled = graph.node("Conv", padded, weight)
    for axis, length in zip((2, 3), lengths, strict=True):
        sampled = graph.node("Gather", sampled, _order(graph, length), axis=axis)
    grid = _grid(graph, features, flow_yx)
    return grid_sample(graph, Value(graph, sampled, features.channels), grid)


def _front(graph, length):
    """Return which rows of the image in its rings of zeros are repeated in front.

    They are 0, 0, x[1], x[2], x[L-2], x[L-1], x[L-1], 0; pixel i is row i + 2. In an image of one
    row x[1] is x[0], and x[2] is zero.
    """
    zero, one, two = (graph.integers(number) for number in (0, 1, 2))
    last = graph.node("Sub", length, one)
    first = graph.node("Add", two, graph.node("Min", one, last))
    second = graph.node("Add", two, graph.node("Min", two, graph.node("Max", last, one)))
    end = graph.node("Add", length, one)
    return graph.join(zero, zero, first, second, length, end, end, zero)


def _order(graph, length):
    """Return which rows of the convolution make up the map that is sampled, in its order."""
    end = graph.node("Add", length, graph.integers(FRONT))
    begin, step = (graph.constant(np.int64(number)) for number in (FRONT + 2, 1))
    pixels = graph.node("Range", begin, graph.node("Squeeze", end), step)
    # The last pixel as a second end; there is no such cell in an image of one row.
    last = graph.node("Sub", length, graph.integers(1))
    repeated = graph.node("Slice", graph.integers(4), graph.integers(0), last, graph.integers(0))
    after = graph.node("Add", end, graph.integers(1))
    before = graph.integers(FRONT, 0, FRONT + 1, 1)
    return graph.join(before, pixels, repeated, end, graph.integers(5), after, after)


def _grid(graph, features, flow_yx):
    """Return where to sample the map, (N, 2, H, W), (x, y) in [-1, 1] of it."""
    order = (2, 3)
    place = flow_yx + pixel_positions(graph, features.name, order)
    lengths = image_size(graph, features.name, order)
    cell = graph.node("Floor", place.name)
    shifted = graph.node("Add", cell, graph.constant(np.float32(2)))
    # Cells -1, 0 and 1, and L - 1, L and L + 1, begin one row later than the cell before ended.
    for number in (shifted, graph.node("Sub", shifted, lengths)):
        steps = graph.node("Clip", number, *(graph.constant(np.float32(x)) for x in (0, 3)))
        place = Value(graph, graph.node("Add", place.name, steps), 2)
    last = graph.node("Add", lengths, graph.constant(np.float32(EXTRA - 1)))
    # Far outside is as good as just outside, and safe for whatever turns it into whole numbers.
    outside = graph.constant(np.float32(-2)), graph.node("Add", last, graph.constant(np.float32(2)))
    place = graph.node("Max", graph.node("Min", place.name, outside[1]), outside[0])
    grid_yx = normalised(graph, Value(graph, place, 2), last)
    bounds = [graph.integers(number) for number in (-1, -3, 1, -1)]
    return Value(graph, graph.node("Slice", grid_yx.name, *bounds), 2)
