"""From layers to two images and the truth between them.

Image 1 is the layers as they are. For image 2 every pixel asks each layer's inverse motion where
in that layer to look. Flow is the motion itself, so it is exact by construction.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from maskflownet.reader.synthetic.layers import Layer
from maskflownet.reader.synthetic.motion import grid

_HALF = 128  # a layer owns the pixels that it covers by half or more


class View(NamedTuple):
    """The part of a layer that is in the frame of one image.

    Attributes
    ----------
    rows, cols : slice
        Where in the frame; empty when the layer is out of it.
    colour : numpy.ndarray
        uint8 (h, w, 3), BGR.
    cover : numpy.ndarray
        uint8 (h, w), 0 to 255.
    """

    rows: slice
    cols: slice
    colour: np.ndarray
    cover: np.ndarray


class Rendered(NamedTuple):
    """Two images and the truth between them; see `reader.sample.FlowSample` for the arrays."""

    image1: np.ndarray
    image2: np.ndarray
    flow: np.ndarray
    occluded: np.ndarray


def render(layers: list[Layer], size_hw: tuple[int, int]) -> Rendered:
    """Return both images of a scene with flow and occlusion.

    Parameters
    ----------
    layers : list of Layer
        The furthest first; the first one fills the frame in both images.
    size_hw : (int, int)

    Returns
    -------
    Rendered
        Images uint8 (H, W, 3), BGR; flow float32 (H, W, 2), (x, y) in pixels; occluded bool (H, W).
    """
    first = [_in_image1(layer, size_hw) for layer in layers]
    second = [_in_image2(layer, size_hw) for layer in layers]
    owner, target = _owner_and_target(layers, first, size_hw)
    occluded = _occluded(owner, target, first, second)
    x, y = grid(slice(0, size_hw[0]), slice(0, size_hw[1]))
    flow = np.stack([target[..., 0] - x, target[..., 1] - y], axis=-1)
    return Rendered(_composed(first), _composed(second), flow, occluded)


def _in_image1(layer, size_hw):
    """Return the View of a layer in image 1: a cut-out of it."""
    rows, cols = _in_frame(layer.box, size_hw)
    inside = (
        slice(rows.start - layer.top, rows.stop - layer.top),
        slice(cols.start - layer.left, cols.stop - layer.left),
    )
    return View(rows, cols, layer.colour[inside], layer.cover[inside])


def _in_image2(layer, size_hw):
    """Return the View of a layer in image 2: each pixel looked up by the inverse motion."""
    rows, cols = _in_frame(layer.motion.image_of(layer.box), size_hw)
    if rows.stop == 0:
        return View(rows, cols, layer.colour[:0, :0], layer.cover[:0, :0])
    x, y = layer.motion.inverse(*grid(rows, cols))
    x -= layer.left
    y -= layer.top
    colour = cv2.remap(layer.colour, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    cover = cv2.remap(layer.cover, x, y, cv2.INTER_LINEAR)
    return View(rows, cols, colour, cover)


def _in_frame(box, size_hw):
    """Return the rows and columns of the frame that a Box touches, as slices; 0 to 0 for none."""
    h, w = size_hw
    top, bottom = max(0, math.floor(box.top)), min(h, math.ceil(box.bottom) + 1)
    left, right = max(0, math.floor(box.left)), min(w, math.ceil(box.right) + 1)
    if top >= bottom or left >= right:
        return slice(0, 0), slice(0, 0)
    return slice(top, bottom), slice(left, right)


def _composed(views):
    """Return the image of views laid over one another, the first one filling the frame."""
    image = views[0].colour.copy()
    for rows, cols, colour, cover in views[1:]:
        if cover.size:
            weight = cover * np.float32(1 / 255)
            image[rows, cols] = cv2.blendLinear(colour, image[rows, cols], weight, 1 - weight)
    return image


def _owner_and_target(layers, first, size_hw):
    """Return which layer each pixel of image 1 belongs to, and where in image 2 it goes.

    uint8 (H, W), the number in `layers`; float32 (H, W, 2), positions (x, y) in pixels.
    """
    owner = np.zeros(size_hw, np.uint8)
    target = np.empty((*size_hw, 2), np.float32)
    for number, (layer, view) in enumerate(zip(layers, first, strict=True)):
        if not view.cover.size:
            continue
        moved = cv2.merge(layer.motion.forward(*grid(view.rows, view.cols)))
        mine = view.cover >= _HALF
        np.copyto(owner[view.rows, view.cols], number, where=mine)
        cv2.copyTo(moved, mine.view(np.uint8), target[view.rows, view.cols])
    return owner, target


def _occluded(owner, target, first, second):
    """Return which pixels of image 1 are out of the frame or behind a nearer layer in image 2.

    From the nearest layer to the furthest, `nearer` gathers how much of image 2 the layers so far
    cover; the pixels of the next layer look there, at the place that they move to.
    """
    h, w = owner.shape
    occluded = cv2.inRange(target, (0, 0), (w - 1, h - 1)) == 0
    nearer = np.zeros((h, w), np.uint8)
    for number in reversed(range(len(first))):
        rows, cols = first[number].rows, first[number].cols
        if first[number].cover.size:
            covered = cv2.remap(nearer, target[rows, cols], None, cv2.INTER_LINEAR)
            occluded[rows, cols] |= (owner[rows, cols] == number) & (covered >= _HALF)
        rows, cols = second[number].rows, second[number].cols
        np.maximum(nearer[rows, cols], second[number].cover, out=nearer[rows, cols])
    return occluded
