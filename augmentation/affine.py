"""Flips, a random affine map that keeps the frame full, and a crop: MMFlow's geometric changes.

The affine maps are in units of the image's width and height, (x, y) from its centre: a point n of
the image comes to lie at T n, with T = translation * rotation * diag(squeeze, 1 / squeeze) * zoom.
Image 2 gets a second, smaller map after that of image 1. A map that would leave a part of the frame
empty is drawn again.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maskflownet.augmentation.draws import either_way, generators
from maskflownet.augmentation.geometry import GeometryMaps, affine_rows, half_size_xy
from maskflownet.config.augmentation import AffineConfig

_STREAM = 3  # of random numbers, beside those of `augmentation.draws`
TRIES = 1000  # before a map is left out
# The frame's corners, (3, 4) as columns of homogeneous coordinates.
_CORNERS = np.array([[-0.5, 0.5, -0.5, 0.5], [-0.5, -0.5, 0.5, 0.5], [1, 1, 1, 1]])


class AffineDraws(NamedTuple):
    """What the affine augmentation does to each of N samples; all float64.

    Attributes
    ----------
    first, second : numpy.ndarray
        (N, 3, 3), where points of image 1 and of image 2 come to lie, flips included.
    position_xy : numpy.ndarray
        (N, 2) in 0..1, where the crop lies in the room that the frame leaves it.
    """

    first: np.ndarray
    second: np.ndarray
    position_xy: np.ndarray


def draw_affine(config: AffineConfig, seed: int, step: int, samples: Sequence[int]) -> AffineDraws:
    """Draw what the affine augmentation does to the samples of a step.

    Parameters
    ----------
    config : config.AffineConfig
    seed, step : int
        Not negative.
    samples : sequence of int
        Not negative: the samples' numbers within the step.

    Returns
    -------
    AffineDraws
        Row i depends on the seed, the step and samples[i] alone.
    """
    rows = [_draw_one(config, rng) for rng in generators(_STREAM, seed, step, samples)]
    return AffineDraws(*(np.stack(column) for column in zip(*rows, strict=True)))


def _draw_one(config, rng):
    chances = np.array([config.horizontal_flip, config.vertical_flip])
    flips = np.where(rng.uniform(size=2) < chances, -1.0, 1.0)
    translation = either_way(config.translation)
    first = _covering(
        np.eye(3),
        (either_way(config.angle), config.zoom, config.squeeze, translation, translation),
        rng,
    )
    translation = either_way(config.relative_translation)
    second = _covering(
        first,
        (either_way(config.relative_angle), config.relative_zoom, (1, 1), translation, translation),
        rng,
    )
    flip = np.diag([*flips, 1])
    return first @ flip, second @ flip, rng.uniform(size=2)


def _covering(before, ranges, rng):
    """Return a map drawn from ranges, after the one `before`, that keeps the frame full."""
    low, high = zip(*ranges, strict=True)
    for _ in range(TRIES):
        angle, zoom, squeeze, *shift = rng.uniform(low, high)
        cos, sin = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        linear = np.array([[cos, -sin], [sin, cos]]) @ np.diag([squeeze, 1 / squeeze]) * zoom
        drawn = np.eye(3)
        drawn[:2, :2], drawn[:2, 2] = linear, shift
        whole = drawn @ before
        # The frame is full if its corners show something: a convex part of the image is a
        # convex part of the frame.
        if np.abs(np.linalg.solve(whole, _CORNERS)[:2]).max() <= 0.5:
            return whole
    return before


def affine_maps(
    draws: AffineDraws, source_hw: tuple[int, int], target_hw: tuple[int, int]
) -> GeometryMaps:
    """Turn draws into the maps that `augmentation.geometry.GeometricAugmentation` applies.

    Parameters
    ----------
    draws : AffineDraws
        Of N samples.
    source_hw, target_hw : tuple of int
        Height and width of the images before and after; the crop is no larger than the image.

    Returns
    -------
    augmentation.geometry.GeometryMaps
    """
    size_xy, crop_xy = np.array(source_hw[::-1]), np.array(target_hw[::-1])
    # Pixels from the frame's centre: where the crop's centre lies.
    first_pixel = np.floor(draws.position_xy * (size_xy - crop_xy + 1))
    crop_centre = first_pixel + half_size_xy(target_hw) - half_size_xy(source_hw)
    (linear1, offset1), (linear2, offset2) = (
        _back(maps, size_xy, crop_centre) for maps in (draws.first, draws.second)
    )
    source, target = half_size_xy(source_hw), half_size_xy(target_hw)
    to_source = target / source[:, None]  # (row, column): from half targets to half sources
    flow_matrix = np.linalg.inv(linear2)
    motion = flow_matrix @ linear1 - np.eye(2)
    maps = GeometryMaps(
        grid1=affine_rows(linear1 * to_source, offset1 / source),
        grid2=affine_rows(linear2 * to_source, offset2 / source),
        shift_xy=(offset2 - offset1)[:, :, None, None],
        flow_matrix=flow_matrix,
        motion=affine_rows(motion * target, np.zeros_like(offset1)),
    )
    return GeometryMaps(*(array.astype(np.float32) for array in maps))


def _back(maps, size_xy, crop_centre):
    """Return (N, 2, 2) and (N, 2): from pixels from the crop's centre to those from the image's."""
    inverse = np.linalg.inv(maps)
    linear = inverse[:, :2, :2] * size_xy[:, None] / size_xy
    offset = inverse[:, :2, 2] * size_xy + (linear @ crop_centre[:, :, None])[:, :, 0]
    return linear, offset
