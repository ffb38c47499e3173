"""Pairs whose images show coordinates, so that errors of geometry read in pixels."""

import mxnet as mx
import numpy as np
from operators_in_turn import IN_USE

from maskflownet.augmentation import GeometricAugmentation
from maskflownet.augmentation.draws import draw_geometry
from maskflownet.augmentation.geometry import geometry_maps
from maskflownet.config import GeometryConfig
from maskflownet.network.layers import flip_axes, warp

SOURCE_HW, TARGET_HW = (48, 64), (36, 44)
STRONG = GeometryConfig(  # FlyingChairs' ranges
    angle=17,
    zoom=(0.5, 1 / 0.9),
    aspect=(0.9, 1 / 0.9),
    translation=0.1,
    relative_angle=0.25,
    relative_scale=(0.96, 1 / 0.96),
    relative_translation=0.25,
)


def coordinates_xy(size_hw):
    """Return (2, H, W): x and y of every pixel, from the image's centre."""
    y, x = np.indices(size_hw, dtype=float)
    return np.stack([x - x.mean(), y - y.mean()])


def ramp_pairs(count, size_hw=SOURCE_HW, seed=0):
    """Return image1, image2, flow and valid of pairs with a random affine flow each.

    Both images show where in image 1 a point is: channels x, y and one, which tells what lies
    outside. A part of each pair is invalid, and its flow is nonsense.
    """
    rng = np.random.default_rng(seed)
    p = coordinates_xy(size_hw)
    linear = np.eye(2) + rng.uniform(-0.05, 0.05, (count, 2, 2))
    offset = rng.uniform(-4, 4, (count, 2, 1, 1))
    flow = np.einsum("nij,jhw->nihw", linear, p) + offset - p
    origin = np.einsum("nij,njhw->nihw", np.linalg.inv(linear), p - offset)
    ones = np.ones((count, 1, *size_hw))
    image1 = np.concatenate([np.broadcast_to(p, origin.shape), ones], axis=1)
    image2 = np.concatenate([origin, ones], axis=1)
    valid = ones.copy()
    valid[:, :, 20:26, 30:40] = 0
    flow = np.where(valid > 0, flow, rng.uniform(-1e4, 1e4, flow.shape))
    return [array.astype(np.float32) for array in (image1, image2, flow, valid)]


def augment(pairs, maps, target_hw=TARGET_HW, hybridized=True):
    """Return the four results of the block as NumPy arrays."""
    block = GeometricAugmentation(target_hw, IN_USE["fast"])
    block.hybridize(active=hybridized)
    results = block(*(mx.nd.array(array) for array in (*pairs, *maps)))
    return [result.asnumpy() for result in results]


def draw_maps(config, count, seed=0):
    """Return draws and their maps between the sizes above."""
    draws = draw_geometry(config, seed, 1, range(count))
    return draws, geometry_maps(draws, SOURCE_HW, TARGET_HW)


def errors_px(image1, image2, flow, valid):
    """Return by how many target pixels the flow is off: (N, h, w), NaN where that can't be said.

    It can where the valid mask is one and the flow points into image 2.
    """
    flow_yx = flip_axes(mx.nd, mx.nd.array(flow))
    warped = warp(mx.nd, mx.nd.array(image2), flow_yx).asnumpy()
    off_source = (warped - image1)[:, :2]
    # The ramps of the new image 1 say what a target pixel is in source pixels.
    h, w = flow.shape[2:]
    inner = image1[:, :2, h // 4 : -(h // 4), w // 4 : -(w // 4)].astype(float)
    along_x, along_y = (np.diff(inner, axis=axis).mean(axis=(2, 3)) for axis in (3, 2))
    to_target = np.linalg.inv(np.stack([along_x, along_y], axis=2))
    off = np.linalg.norm(np.einsum("nij,njhw->nihw", to_target, off_source), axis=1)
    certain = (valid[:, 0] > 1 - 1e-5) & (warped[:, 2] > 1 - 1e-5)
    return np.where(certain, off, np.nan)
