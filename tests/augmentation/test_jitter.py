"""The colour jitter: what each change does, its order, and that both images get the same."""

import numpy as np
import pytest

from maskflownet.augmentation.jitter import draw_jitter, jitter
from maskflownet.config import JitterConfig

SIZE_HW = (20, 24)
NEUTRAL = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0, "gamma": 1.0}


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (1, *SIZE_HW, 3), np.uint8)


def changed(images, order=(0, 1, 2, 3), **values):
    """Return the images, as numbers from 0 to 255, after changes of these strengths."""
    draws = draw_jitter(JitterConfig(), 0, 1, [0], SIZE_HW)
    fixed = {name: np.array([value]) for name, value in (NEUTRAL | values).items()}
    draws = draws._replace(order=np.array([order]), **fixed)
    first, second = jitter(draws, images, images)
    np.testing.assert_array_equal(first, second)
    return first * 255


def test_without_ranges_bytes_stay(images):
    np.testing.assert_allclose(changed(images), images, atol=1e-4)


def test_each_change_does_what_its_name_says(images):
    grey_level = images[0] @ [0.114, 0.587, 0.299]
    np.testing.assert_allclose(changed(images, brightness=0.5), images / 2, atol=4)
    flat = changed(images, contrast=0.0)
    np.testing.assert_allclose(flat, grey_level.mean(), atol=1)
    no_color = changed(images, saturation=0.0)
    np.testing.assert_allclose(no_color[0], np.repeat(grey_level[..., None], 3, 2), atol=1)
    darker = changed(images, gamma=1.5)
    np.testing.assert_allclose(darker, 255 * (images / 255) ** 1.5, atol=8)
    # A third of a turn takes blue to red (BGR to RGB: one channel further).
    turned = changed(images, hue=1 / 3)
    np.testing.assert_allclose(turned, np.roll(images, -1, axis=3), atol=10)


def test_the_order_counts(images):
    results = [
        changed(images, order, brightness=1.5, contrast=0.5)
        for order in ((0, 1, 2, 3), (1, 0, 2, 3))
    ]
    assert np.abs(results[0] - results[1]).max() > 10


def test_noise_is_fresh_for_each_image_of_one_level_per_pair():
    config = JitterConfig(noise=(0.01, 0.04))
    draws = draw_jitter(config, 0, 1, range(50), SIZE_HW)
    grey = np.full((50, *SIZE_HW, 3), 128, np.uint8)
    noise1, noise2 = (images - 128 / 255 for images in jitter(draws, grey, grey))
    level1, level2 = (noise.std(axis=(1, 2, 3)) for noise in (noise1, noise2))
    np.testing.assert_allclose(level1, level2, rtol=0.15)
    assert 0.009 < level1.min() < 0.02 and 0.03 < level1.max() < 0.042
    assert abs(np.corrcoef(noise1.ravel(), noise2.ravel())[0, 1]) < 0.02


def test_draws_depend_on_their_own_sample_alone_and_cover_their_ranges():
    config = JitterConfig(brightness=(0.5, 1.5), hue=0.5, gamma=(0.7, 1.5))
    draws = draw_jitter(config, 3, 2, range(200), SIZE_HW)
    alone = draw_jitter(config, 3, 2, [9], SIZE_HW)
    for array, own in zip(draws, alone, strict=True):
        np.testing.assert_array_equal(array[9:10], own)
    for values, low, high in ((draws.brightness, 0.5, 1.5), (draws.hue, -0.5, 0.5)):
        assert low <= values.min() < low + 0.05 and high - 0.05 < values.max() <= high
    assert len({tuple(order) for order in draws.order}) == 24
