"""Rotation, zoom, stretching and translation of a pair, a little different for its two images.

Three kinds of coordinates, all (x, y): pixels from the image's centre, in which rotations are
rotations; the same in units of half the image, from -1 to 1, which MXNet's samplers take; and
the pixels in which flow is measured.

With p = L q + t from pixel q of the new image 1 to the source, and q -> L R q + t + d for image 2,
a point that moves from p to p + f in the source moves in the new images from q to
q + inv(L R) (f - d) + (inv(R) - 1) q.
"""

from typing import Any, NamedTuple

import numpy as np
from mxnet.gluon import nn

from maskflownet.augmentation.channels import mix_channels
from maskflownet.augmentation.draws import GeometryDraws

EPSILON = 1e-8


class GeometryMaps(NamedTuple):
    """The geometric augmentation of N samples as the affine maps to apply; all float32.

    Attributes
    ----------
    grid1, grid2 : numpy.ndarray
        (N, 6), rows of a 2x3 matrix: from target coordinates in -1..1 to those of the source, for
        image 1 and for image 2.
    shift_xy : numpy.ndarray
        (N, 2, 1, 1), translation of image 2 against image 1 in source pixels: d.
    flow_matrix : numpy.ndarray
        (N, 2, 2), from flow in source pixels to flow in target pixels: inv(L R).
    motion : numpy.ndarray
        (N, 6), from target coordinates in -1..1 to the flow in target pixels that the difference
        between the images' maps makes: inv(R) - 1.
    """

    grid1: np.ndarray
    grid2: np.ndarray
    shift_xy: np.ndarray
    flow_matrix: np.ndarray
    motion: np.ndarray


def geometry_maps(
    draws: GeometryDraws, source_hw: tuple[int, int], target_hw: tuple[int, int]
) -> GeometryMaps:
    """Turn draws into affine maps.

    The zoom is lowered and the target shifted back so far that image 1 lies within its source.

    Parameters
    ----------
    draws : augmentation.draws.GeometryDraws
        Of N samples.
    source_hw, target_hw : tuple of int
        Height and width of the images before and after.

    Returns
    -------
    GeometryMaps
    """
    source_xy, target_xy = half_size_xy(source_hw), half_size_xy(target_hw)
    turn = _rotation(draws.angle)
    stretch_xy = np.stack([draws.aspect, np.ones_like(draws.aspect)], axis=1)
    # How far the target's corners lie from the source's centre at zoom 1, where 1 is its border.
    reach_xy = stretch_xy * (np.abs(turn) @ target_xy) / source_xy
    zoom = np.minimum(draws.zoom, 1 / reach_xy.max(axis=1))[:, None]
    linear = (zoom * stretch_xy)[:, :, None] * turn

    centre_xy = draws.position_xy * (1 - zoom * target_xy / source_xy) + draws.translation_xy
    room_xy = np.maximum(1 - zoom * reach_xy, 0)  # rounding can make it less
    centre_xy = np.clip(centre_xy, -room_xy, room_xy)

    relative = draws.relative_scale[:, None, None] * _rotation(draws.relative_angle)
    shift_xy = draws.relative_translation_xy
    motion = np.linalg.inv(relative) - np.eye(2)
    to_source = target_xy / source_xy[:, None]  # (row, column): from half targets to half sources
    maps = GeometryMaps(
        grid1=affine_rows(linear * to_source, centre_xy),
        grid2=affine_rows(linear @ relative * to_source, centre_xy + shift_xy),
        shift_xy=(shift_xy * source_xy)[:, :, None, None],
        flow_matrix=np.linalg.inv(linear @ relative),
        motion=affine_rows(motion * target_xy, np.zeros_like(centre_xy)),
    )
    return GeometryMaps(*(array.astype(np.float32) for array in maps))


def half_size_xy(size_hw: tuple[int, int]) -> np.ndarray:
    """Return half the distance between the centres of the first and the last pixel, per axis."""
    height, width = size_hw
    return np.array([width - 1, height - 1]) / 2


def _rotation(angle):
    """Return the matrices (N, 2, 2) that rotate by angles (N,) from x towards y."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos, -sin, sin, cos], axis=1).reshape((-1, 2, 2))


def affine_rows(linear: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Return (N, 2, 2) and (N, 2) as the rows of N 2x3 matrices, (N, 6)."""
    return np.concatenate([linear, offset[:, :, None]], axis=2).reshape((-1, 6))


class GeometricAugmentation(nn.HybridBlock):
    """Applies the affine maps of `geometry_maps` to pairs, their flow and their valid masks.

    Where the new valid mask is one, warping the new image 2 by the new flow gives the new image 1.

    Parameters
    ----------
    target_hw : tuple of int
        Height h and width w of the results.
    fast : bool
        Whether the operators of `kernels` sample; only where `kernels.use_fast` says so.

    Inputs
    ------
    image1, image2 : (N, 3, H, W)
    flow : (N, 2, H, W), (u, v) in pixels; it may be anything where valid is zero
    valid : (N, 1, H, W) in 0..1
    grid1, grid2, shift_xy, flow_matrix, motion : see `GeometryMaps`

    Outputs
    -------
    image1, image2, flow, valid
        The same of size h x w. Image 2 is zero outside of its source; flow is finite everywhere.
    """

    def __init__(self, target_hw: tuple[int, int], fast: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self._target_hw = tuple(target_hw)
        self._fast = fast

    def hybrid_forward(
        self,
        F: Any,
        image1: Any,
        image2: Any,
        flow: Any,
        valid: Any,
        grid1: Any,
        grid2: Any,
        shift_xy: Any,
        flow_matrix: Any,
        motion: Any,
    ) -> tuple[Any, Any, Any, Any]:
        """Return the four results."""
        known = F.broadcast_axis(valid, axis=1, size=2)
        flow = F.broadcast_sub(flow, shift_xy)
        # Products alone would not do: zero times NaN or infinity is NaN.
        flow = F.where(known > 0, flow * known, F.zeros_like(flow))

        # Rounding can take grid 1 beyond the border.
        image1, flow, valid = self._sample(F, (image1, flow, valid), grid1, repeat_border=True)
        (image2,) = self._sample(F, (image2,), grid2, repeat_border=False)

        flow = F.broadcast_div(flow, F.maximum(valid, EPSILON))
        flow = mix_channels(F, flow_matrix, flow, channels=2) + self._apply(F, motion)
        return image1, image2, flow, valid

    def _sample(self, F, arrays, affine, repeat_border):
        """Return arrays sampled where a map leads, with zeros or the border pixel around them."""
        if self._fast:
            height, width = self._target_hw
            how = {"height": height, "width": width, "repeat_border": int(repeat_border)}
            return [F.maskflownet_affine_sample(array, affine, **how) for array in arrays]
        grid = self._apply(F, affine)
        grid = F.clip(grid, -1, 1) if repeat_border else grid
        return [F.BilinearSampler(array, grid) for array in arrays]

    def _apply(self, F, affine):
        """Return what maps (N, 6) give for each target coordinate in -1..1, (N, 2, h, w)."""
        return F.GridGenerator(affine, transform_type="affine", target_shape=self._target_hw)
