"""What `Pipeline.predict` does around the network, in ONNX: from images to flow of their size."""

from typing import NamedTuple

import numpy as np

from maskflownet.exporting.graph import Graph, Value
from maskflownet.network.network_size import MULTIPLE


class Sizes(NamedTuple):
    """Names of int64 vectors: the pairs' count, and (height, width) of images and network."""

    count: str  # type: ignore[assignment]
    image_hw: str
    network_hw: str


def sizes_of(graph: Graph, image: str, network_hw: tuple[int, int] | None) -> Sizes:
    """Return the sizes of images (N, H, W, 3), and at which the network sees them.

    Parameters
    ----------
    graph : Graph
    image : str
    network_hw : tuple of int or None
        Multiples of 64; None for the next ones that are not smaller than the images.
    """
    image_hw = graph.node("Shape", image, start=1, end=3)
    if network_hw is not None:
        return Sizes(graph.size(image, 0), image_hw, graph.integers(*network_hw))
    multiple = graph.integers(MULTIPLE)
    blocks = graph.node("Div", graph.node("Add", image_hw, graph.integers(MULTIPLE - 1)), multiple)
    return Sizes(graph.size(image, 0), image_hw, graph.node("Mul", blocks, multiple))


def network_inputs(graph: Graph, images: tuple[str, str], sizes: Sizes) -> list[Value]:
    """Return what the network wants of uint8 images (N, H, W, 3); see `network.images`."""
    values, means = [], []
    for image in images:
        image = graph.node("Cast", image, to=1)  # float
        image = graph.node("Div", image, graph.constant(np.float32(255)))
        image = graph.node("Transpose", image, perm=[0, 3, 1, 2])
        # Along rows, then over their means: one sum of millions would lose digits.
        mean = graph.node("ReduceMean", image, graph.integers(3), keepdims=1)
        means.append(graph.node("ReduceMean", mean, graph.integers(2), keepdims=1))
        values.append(Value(graph, image, 3))
    mean = graph.node("Mean", *means)
    centred = [Value(graph, graph.node("Sub", value.name, mean), 3) for value in values]
    return [resized(value, sizes.count, sizes.network_hw) for value in centred]


def flow_back(flow_xy: Value, sizes: Sizes) -> str:
    """Return the flow (N, H, W, 2) of the images' size; its values change as that does."""
    graph = flow_xy.graph
    resized_flow = resized(flow_xy, sizes.count, sizes.image_hw)
    own, seen = (graph.node("Cast", size, to=1) for size in (sizes.image_hw, sizes.network_hw))
    ratio_yx = graph.node("Div", own, seen)
    bounds = [graph.integers(number) for number in (-1, -3, 0, -1)]
    ratio_xy = graph.node("Slice", ratio_yx, *bounds)
    return graph.node("Mul", channels_last(resized_flow), ratio_xy)


def mask_back(mask: Value, sizes: Sizes) -> str:
    """Return the mask (N, H, W, 1) of the images' size."""
    return channels_last(resized(mask, sizes.count, sizes.image_hw))


def channels_last(value: Value) -> str:
    """Return (N, H, W, channels) of a value."""
    return value.graph.node("Transpose", value.name, perm=[0, 2, 3, 1])


def resized(value: Value, count: str, size_hw: str) -> Value:
    """Stretch so that the corners' pixels stay in the corners, as MXNet's BilinearResize2D does."""
    graph = value.graph
    name = graph.node(
        "Resize",
        value.name,
        "",
        "",
        graph.join(count, graph.integers(value.channels), size_hw),
        mode="linear",
        coordinate_transformation_mode="align_corners",
    )
    return Value(graph, name, value.channels)
