"""The colour augmentation: golden numbers and the formulas, written out."""

from pathlib import Path

import mxnet as mx
import numpy as np
import pytest
from operators_in_turn import IN_USE, each_kind_of_operators  # noqa: F401 (for all tests)

from maskflownet.augmentation import ColorAugmentation
from maskflownet.augmentation.color import color_change
from maskflownet.augmentation.draws import ColorDraws, draw_color
from maskflownet.config import ColorConfig, load_dataset_config

ORACLE = Path(__file__).parents[1] / "data" / "oracle" / "augmentation.npz"
SIZE_HW = (12, 16)
ALL = ColorConfig(  # KITTI's ranges, wider in hue
    contrast=(-0.2, 0.4),
    brightness=0.05,
    channel=(0.9, 1.2),
    saturation=0.25,
    hue=0.5,
    noise=(0.01, 0.02),
    gamma=(-0.5, 0.5),
)


def recolor(images, draws, hybridized=True):
    block = ColorAugmentation(IN_USE["fast"])
    block.hybridize(active=hybridized)
    results = block(*(mx.nd.array(array) for array in (*images, *color_change(draws))))
    return [result.asnumpy() for result in results]


def random_images(count):
    return np.random.default_rng(0).random((2, count, 3, *SIZE_HW), dtype=np.float32)


@pytest.mark.parametrize("hybridized", [False, True])
def test_it_equals_the_reference(hybridized):
    with np.load(ORACLE) as arrays:
        wanted = dict(arrays)
    draws = ColorDraws(
        contrast=np.array([0.3]),
        brightness=np.zeros(1),
        channel=np.full((1, 3), 1.1),
        saturation=np.ones(1),
        hue=np.zeros(1),
        gamma=np.array([0.2]),
        noise=np.zeros((1, 2, 1, 1, 1), np.float32),
    )
    results = recolor([wanted["image1"], wanted["image2"]], draws, hybridized)
    for name, result in zip(("image1", "image2"), results, strict=True):
        np.testing.assert_allclose(result, wanted[f"color_{name}"], rtol=0, atol=1e-5)


def by_formula(image, noise, draws, index):
    """Return one image (3, H, W) as the formulas have it."""
    saturation, hue = draws.saturation[index], draws.hue[index]
    u, v = saturation * np.cos(hue), saturation * np.sin(hue)
    x, y, z = image.astype(float)
    rows = [
        (
            0.299 + 0.701 * u + 0.168 * v,
            0.587 - 0.587 * u + 0.330 * v,
            0.114 - 0.114 * u - 0.497 * v,
        ),
        (
            0.299 - 0.299 * u - 0.328 * v,
            0.587 + 0.413 * u + 0.035 * v,
            0.114 - 0.114 * u + 0.292 * v,
        ),
        (0.299 - 0.300 * u + 1.25 * v, 0.587 - 0.588 * u - 1.05 * v, 0.114 + 0.886 * u - 0.203 * v),
    ]
    image = np.stack([i * x + j * y + k * z for i, j, k in rows]) + noise
    mean = image.mean(axis=(1, 2), keepdims=True)
    channel = draws.channel[index][:, None, None]
    image = (image - mean) * (1 + draws.contrast[index]) * channel + mean * channel
    return np.clip(image + draws.brightness[index], 0, 1) ** np.exp(draws.gamma[index])


def test_it_is_what_the_formulas_say():
    count = 20
    images = random_images(count)
    draws = draw_color(ALL, 0, 1, range(count), SIZE_HW)
    results = recolor(images, draws)
    for which in range(2):
        for index in range(count):
            wanted = by_formula(images[which, index], draws.noise[index, which], draws, index)
            np.testing.assert_allclose(results[which][index], wanted, atol=1e-5)


def test_without_ranges_only_the_rounding_of_the_mixture_shows():
    images = random_images(3)
    results = recolor(images, draw_color(ColorConfig(), 0, 1, range(3), SIZE_HW))
    np.testing.assert_allclose(results, images, atol=0.0021)
    np.testing.assert_allclose(results[0][:, :2], images[0, :, :2], atol=1e-6)


@pytest.mark.parametrize("config_name", ["chairs", "kitti"])
@pytest.mark.parametrize("brightness", [0, 1])
def test_black_and_white_images_stay_in_the_range(config_name, brightness):
    images = np.full((2, 50, 3, *SIZE_HW), brightness, np.float32)
    config = load_dataset_config(config_name).color
    for result in recolor(images, draw_color(config, 0, 1, range(50), SIZE_HW)):
        assert np.isfinite(result).all()
        assert result.min() >= 0 and result.max() <= 1


def test_both_images_change_alike_but_for_the_noise():
    image = random_images(5)[0]
    draws = draw_color(ALL, 0, 1, range(5), SIZE_HW)
    noisy1, noisy2 = recolor([image, image], draws)
    assert not np.array_equal(noisy1, noisy2)
    draws = draws._replace(noise=np.zeros((5, 2, 1, 1, 1), np.float32))
    np.testing.assert_array_equal(*recolor([image, image], draws))
