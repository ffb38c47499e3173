"""The random numbers of the augmentation: their ranges, and what they depend on."""

from dataclasses import replace

import numpy as np
import pytest

from maskflownet.augmentation.draws import draw_color, draw_geometry
from maskflownet.config import ColorConfig, GeometryConfig, load_dataset_config

SIZE_HW = (6, 8)
SAMPLES = range(500)

# (lowest, highest) of what is drawn, by dataset. Translations are twice the share of the image,
# because the image is 2 wide in their units; saturation is a factor.
GEOMETRY_RANGES = {
    "chairs": {
        "angle": np.deg2rad([-17, 17]),
        "zoom": (0.5, 1 / 0.9),
        "aspect": (0.9, 1 / 0.9),
        "position_xy": (-1, 1),
        "translation_xy": (-0.2, 0.2),
        "relative_angle": np.deg2rad([-4.25, 4.25]),
        "relative_scale": (0.96, 1 / 0.96),
        "relative_translation_xy": (-0.05, 0.05),
    },
    "kitti": {
        "angle": np.deg2rad([-5, 5]),
        "zoom": (1 / 1.25, 1 / 0.95),
        "aspect": (0.95, 1 / 0.95),
        "position_xy": (-1, 1),
        "translation_xy": (-0.1, 0.1),
        "relative_angle": np.deg2rad([-1.25, 1.25]),
        "relative_scale": (0.98, 1 / 0.98),
        "relative_translation_xy": (-0.025, 0.025),
    },
}
GEOMETRY_RANGES["things3d"] = GEOMETRY_RANGES["chairs"]
GEOMETRY_RANGES["sintel"] = GEOMETRY_RANGES["chairs"] | {"zoom": (1 / 1.5, 1 / 0.9)}
GEOMETRY_RANGES["sintel_kitti2015_hd1k"] = GEOMETRY_RANGES["sintel"]

COLOR_RANGES = {
    "chairs": {
        "contrast": (-0.4, 0.8),
        "channel": (0.8, 1.4),
        "saturation": (0.5, 1.5),
        "hue": (-np.pi / 2, np.pi / 2),
    },
    "kitti": {
        "contrast": (-0.2, 0.4),
        "channel": (0.9, 1.2),
        "saturation": (0.75, 1.25),
        "hue": (-np.pi / 10, np.pi / 10),
        "gamma": (-0.5, 0.5),
    },
}
COLOR_RANGES["things3d"] = COLOR_RANGES["sintel"] = COLOR_RANGES["chairs"]
BRIGHTNESS = {"chairs": 0.1, "things3d": 0.1, "sintel": 0.1, "kitti": 0.05}
MOST_NOISE = {"chairs": 0.04, "things3d": 0.04, "sintel": 0, "kitti": 0.02}


def check_ranges(draws, ranges):
    for name, (low, high) in ranges.items():
        values, width = getattr(draws, name), high - low
        assert values.min() >= low and values.max() <= high, name
        # All of the range, on every axis and channel.
        assert (values.min(axis=0) < low + 0.03 * width).all(), name
        assert (values.max(axis=0) > high - 0.03 * width).all(), name
        np.testing.assert_allclose(values.mean(), (low + high) / 2, atol=0.07 * width)


@pytest.mark.parametrize("dataset", GEOMETRY_RANGES)
def test_geometry_is_drawn_from_the_ranges_of_the_dataset(dataset):
    draws = draw_geometry(load_dataset_config(dataset).geometry, 0, 1, SAMPLES)
    assert set(GEOMETRY_RANGES[dataset]) == set(draws._fields)
    check_ranges(draws, GEOMETRY_RANGES[dataset])


@pytest.mark.parametrize("dataset", COLOR_RANGES)
def test_color_is_drawn_from_the_ranges_of_the_dataset(dataset):
    draws = draw_color(load_dataset_config(dataset).color, 0, 1, SAMPLES, SIZE_HW)
    check_ranges(draws, COLOR_RANGES[dataset])
    if dataset != "kitti":
        assert (draws.gamma == 0).all()
    assert draws.brightness.std() == pytest.approx(BRIGHTNESS[dataset], rel=0.1)
    assert abs(draws.brightness.mean()) < 0.2 * BRIGHTNESS[dataset]


@pytest.mark.parametrize("dataset", MOST_NOISE)
def test_noise_has_one_level_per_step_from_the_range_of_the_dataset(dataset):
    config, most = load_dataset_config(dataset).color, MOST_NOISE[dataset]
    noises = [draw_color(config, 0, step, range(10), SIZE_HW).noise for step in range(100)]
    levels = np.array([noise.std() for noise in noises])
    assert 0.9 * most <= levels.max() <= 1.05 * most  # of 2880 numbers
    assert levels.min() <= 0.1 * most
    per_sample = noises[0].std(axis=(1, 2, 3, 4))
    np.testing.assert_allclose(per_sample, levels[0], rtol=0.2)
    assert all(noise.dtype == np.float32 for noise in noises)


def all_draws(seed, step, samples):
    geometry = GeometryConfig(angle=10, zoom=(0.5, 1), translation=0.1, relative_translation=0.2)
    color = ColorConfig(brightness=0.1, hue=0.1, noise=(0.01, 0.02))
    return [
        *draw_geometry(geometry, seed, step, samples),
        *draw_color(color, seed, step, samples, SIZE_HW),
    ]


def test_a_sample_is_the_same_in_whatever_batch():
    whole = all_draws(3, 5, range(8))
    for samples in ([2], [7, 0, 4], np.arange(8)[::-1]):
        for own, all_ in zip(all_draws(3, 5, samples), whole, strict=True):
            np.testing.assert_array_equal(own, all_[np.asarray(samples)])


def test_seeds_steps_and_samples_all_differ():
    keys = [(seed, step, sample) for seed in range(5) for step in range(5) for sample in range(5)]
    for field in (0, 3, 9, 14):  # angle and position, brightness, noise
        drawn = [all_draws(seed, step, [sample])[field] for seed, step, sample in keys]
        assert len(np.unique(np.stack(drawn).reshape((len(keys), -1))[:, 0])) == len(keys)


def test_geometry_and_color_do_not_touch_each_other():
    config = ColorConfig(hue=0.1, noise=(0.01, 0.02))
    noisy = draw_color(config, 0, 1, [0], SIZE_HW)
    quiet = draw_color(replace(config, noise=(0, 0)), 0, 1, [0], SIZE_HW)
    assert noisy.hue == quiet.hue
    angle = draw_geometry(GeometryConfig(angle=180), 0, 1, [0]).angle / np.pi
    position = draw_color(ColorConfig(contrast=(-1, 1)), 0, 1, [0], SIZE_HW).contrast
    assert angle != position
