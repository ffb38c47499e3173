"""The layers that a scene is made of: a background that fills the frame, shapes before it."""

import math
from dataclasses import dataclass

import numpy as np

from maskflownet.reader.synthetic.config import SceneConfig
from maskflownet.reader.synthetic.motion import (
    Box,
    Motion,
    random_linear,
    random_move,
    random_waves,
)
from maskflownet.reader.synthetic.shapes import draw, random_shape
from maskflownet.reader.synthetic.textures import random_texture

_MARGIN = 3  # px around what is needed, so that cubic interpolation has its neighbours


@dataclass(frozen=True)
class Layer:
    """A textured thing as it is in image 1, and how it moves.

    Attributes
    ----------
    colour : numpy.ndarray
        uint8 (h, w, 3), BGR; a pixel here is a pixel of image 1. It may reach beyond the frame.
    cover : numpy.ndarray
        uint8 (h, w), 255 where the layer is, 0 where it is not, between them along its edge.
    left, top : int
        Position of the first pixel in image 1.
    motion : Motion
        From image 1 to image 2.
    """

    colour: np.ndarray
    cover: np.ndarray
    left: int
    top: int
    motion: Motion

    @property
    def box(self) -> Box:
        """The Box of pixels that it has in image 1."""
        h, w = self.cover.shape
        return Box(self.left, self.top, self.left + w - 1, self.top + h - 1)


def random_layers(
    rng: np.random.Generator, size_hw: tuple[int, int], config: SceneConfig
) -> list[Layer]:
    """Return a random scene, the furthest layer first.

    Parameters
    ----------
    rng : numpy.random.Generator
    size_hw : (int, int)
        Size of the frame.
    config : SceneConfig

    Returns
    -------
    list of Layer
        The first is the background, which fills the frame in both images.
    """
    background = _random_background(rng, size_hw, config)
    low, high = config.shapes
    count = rng.integers(low, high, endpoint=True)
    return [background] + [
        _random_shape_layer(rng, size_hw, background.motion, config) for _ in range(count)
    ]


def _random_background(rng, size_hw, config):
    """Return a background that is large enough for wherever image 2 looks."""
    h, w = size_hw
    frame = Box(0, 0, w - 1, h - 1)
    motion = Motion.about(
        ((w - 1) / 2, (h - 1) / 2),
        random_linear(rng, config.background_rotation_deg, config.background_stretch),
        random_move(rng, config.background_motion_px, config.motion_spread),
        _maybe_waves(rng, config, max(size_hw)),
    ).limited(frame, config.max_motion_px)
    left, top, right, bottom = _whole_box(
        Box.around([*frame.corners(), *motion.origin_of(frame).corners()])
    )
    size_hw = (bottom - top + 1, right - left + 1)
    colour = random_texture(rng, size_hw, config.finest_detail_px, materials=rng.integers(1, 4))
    return Layer(colour, np.full(size_hw, 255, np.uint8), left, top, motion)


def _random_shape_layer(rng, size_hw, background_motion, config):
    """Return a shape that moves with the background and by itself.

    It is the middle of its way that lies in the frame: as many shapes come in as go out.
    """
    low, high = np.log(config.shape_size)
    radius = min(size_hw) * math.exp(rng.uniform(low, high))
    contours = random_shape(rng, radius)
    middle = rng.uniform(0, 1, 2) * (size_hw[1], size_hw[0])
    own_move = random_move(rng, config.shape_motion_px, config.motion_spread)
    centre = middle - (_move_at(background_motion, middle) + own_move) / 2
    contours = [contour + centre for contour in contours]
    box = _whole_box(Box.around(np.concatenate(contours)))
    linear = random_linear(rng, config.shape_rotation_deg, config.shape_stretch)
    motion = Motion.about(
        centre,
        linear @ np.asarray(background_motion.linear),
        _move_at(background_motion, centre) + own_move,
        _maybe_waves(rng, config, 2 * radius),
    ).limited(box, config.max_motion_px)
    layer_size = (box.bottom - box.top + 1, box.right - box.left + 1)
    cover = draw([contour - (box.left, box.top) for contour in contours], layer_size)
    colour = random_texture(rng, layer_size, config.finest_detail_px, materials=rng.integers(1, 3))
    return Layer(colour, cover, box.left, box.top, motion)


def _move_at(motion, point_xy):
    """Return how far a motion carries a point, float64 (2,), in pixels."""
    return np.array(motion.forward(*point_xy)) - point_xy


def _maybe_waves(rng, config, extent_px):
    """Return bending waves for the share of layers that has them, otherwise None."""
    if rng.random() >= config.bend_share:
        return None
    return random_waves(rng, config.bend, extent_px)


def _whole_box(box):
    """Return the box of whole pixels around `box`, with a margin."""
    left, top, right, bottom = box.padded(_MARGIN)
    return Box(math.floor(left), math.floor(top), math.ceil(right), math.ceil(bottom))
