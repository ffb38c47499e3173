"""The affine augmentation: flow that fits the new images, full frames, exact flips and crops."""

from dataclasses import replace

import mxnet as mx
import numpy as np
import pytest
from operators_in_turn import each_kind_of_operators  # noqa: F401 (for all tests)
from ramps import SOURCE_HW, TARGET_HW, augment, errors_px, ramp_pairs

from maskflownet.augmentation import Augmentation
from maskflownet.augmentation.affine import affine_maps, draw_affine
from maskflownet.config import AffineConfig, JitterConfig, load_dataset_config

DRAWS = 200
STRONG = AffineConfig(
    horizontal_flip=0.5,
    vertical_flip=0.5,
    angle=10,
    zoom=(1.0, 1.5),
    squeeze=(0.86, 1.16),
    translation=0.05,
    relative_angle=1,
    relative_zoom=(0.985, 1.015),
    relative_translation=0.00375,
)
SLIPS = {
    "no shift": lambda maps: maps._replace(shift_xy=0 * maps.shift_xy),
    "sign of the grid's motion": lambda maps: maps._replace(motion=-maps.motion),
    "flow as if not flipped": lambda maps: maps._replace(flow_matrix=np.abs(maps.flow_matrix)),
    "image 2 like image 1": lambda maps: maps._replace(grid2=maps.grid1),
    "rotation of flow transposed": lambda maps: maps._replace(
        flow_matrix=maps.flow_matrix.swapaxes(1, 2)
    ),
}


@pytest.fixture(scope="module")
def pairs():
    return ramp_pairs(DRAWS)


@pytest.fixture(scope="module")
def maps():
    return affine_maps(draw_affine(STRONG, 0, 1, range(DRAWS)), SOURCE_HW, TARGET_HW)


def test_the_new_flow_leads_from_the_new_image_1_to_the_new_image_2(pairs, maps):
    errors = errors_px(*augment(pairs, maps))
    assert np.isfinite(errors).mean() > 0.6
    assert np.nanmax(errors) < 0.05


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_would_show(pairs, maps, slip):
    assert np.nanmax(errors_px(*augment(pairs, SLIPS[slip](maps)))) > 0.2


def test_the_frames_are_full(pairs, maps):
    image1, image2, _, _ = augment(pairs, maps)
    assert image1[:, 2].min() > 0.999
    assert image2[:, 2].min() > 0.9  # its border may lie beyond the last pixel's centre by a bit


def test_a_map_that_cannot_fill_the_frame_is_left_out():
    draws = draw_affine(AffineConfig(zoom=(0.5, 0.6)), 0, 1, range(2))
    np.testing.assert_array_equal(draws.first, [np.eye(3)] * 2)


def test_flips_and_crops_move_whole_pixels():
    image = np.arange(np.prod(SOURCE_HW), dtype=np.float32).reshape((1, 1, *SOURCE_HW))
    pair = [np.repeat(image, 3, axis=1)] * 2
    flow = np.full((1, 2, *SOURCE_HW), 3, np.float32)
    config = AffineConfig(horizontal_flip=1, vertical_flip=1)
    draws = draw_affine(config, 0, 1, [0])
    new, _, new_flow, _ = augment(
        [*pair, flow, np.ones_like(image)], affine_maps(draws, SOURCE_HW, TARGET_HW)
    )
    room = [
        size - target + 1 for size, target in zip(SOURCE_HW[::-1], TARGET_HW[::-1], strict=True)
    ]
    left, top = np.floor(draws.position_xy[0] * room).astype(int)
    turned = image[0, 0, ::-1, ::-1][top : top + TARGET_HW[0], left : left + TARGET_HW[1]]
    np.testing.assert_allclose(new[0, 0], turned, atol=0.02)
    np.testing.assert_allclose(new_flow, -3, atol=1e-4)


def test_draws_spread_over_their_ranges_and_repeat():
    draws = draw_affine(STRONG, 0, 1, range(DRAWS))
    flips = np.sign(draws.first[:, [0, 1], [0, 1]])
    assert (np.abs(flips.mean(axis=0)) < 0.3).all()
    zooms = np.sqrt(np.abs(np.linalg.det(draws.first[:, :2, :2])))
    assert 1 <= zooms.min() < 1.15 and 1.4 < zooms.max() <= 1.5
    assert 0 <= draws.position_xy.min() < 0.05 and 0.95 < draws.position_xy.max() < 1
    alone = draw_affine(STRONG, 0, 1, [7])
    for array, own in zip(draws, alone, strict=True):
        np.testing.assert_array_equal(array[7:8], own)


def test_the_jitter_comes_first_and_takes_the_place_of_the_colours():
    config = replace(
        load_dataset_config("chairs"),
        orig_shape=(72, 80),
        target_shape=(64, 64),
        affine=AffineConfig(),
        jitter=JitterConfig(brightness=(0.5, 0.5)),
    )
    augmentation = Augmentation(config, seed=0)
    draws = augmentation.draw(1, range(2))
    geo_aug, color_aug = augmentation.callables(draws)
    images = mx.nd.full((2, 3, 72, 80), 100 / 255)
    flow, valid = mx.nd.zeros((2, 2, 72, 80)), mx.nd.ones((2, 1, 72, 80))
    image1, image2, _, _ = geo_aug(images, images, flow, valid)
    for image in color_aug(image1, image2):
        np.testing.assert_allclose(image.asnumpy(), 50 / 255, atol=1e-5)
