"""The random numbers of the augmentation: NumPy only, a function of (seed, step, sample)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from maskflownet.config import ColorConfig, GeometryConfig

# Streams of random numbers that have nothing to do with one another.
_GEOMETRY, _COLOR, _NOISE_LEVEL = range(3)


class GeometryDraws(NamedTuple):
    """What the geometric augmentation does to each of N samples; all float64.

    Translations are in units of half the source image, whose coordinates go from -1 to 1.

    Attributes
    ----------
    angle : numpy.ndarray
        (N,), rotation in radians.
    zoom, aspect : numpy.ndarray
        (N,), source pixels per target pixel, and the factor by which there are more of them along
        x than along y.
    position_xy : numpy.ndarray
        (N, 2) in -1..1, where the target lies in the room that the source leaves it.
    translation_xy : numpy.ndarray
        (N, 2), added to that.
    relative_angle, relative_scale : numpy.ndarray
        (N,), rotation in radians and scale of image 2 against image 1.
    relative_translation_xy : numpy.ndarray
        (N, 2), translation of image 2 against image 1.
    """

    angle: np.ndarray
    zoom: np.ndarray
    aspect: np.ndarray
    position_xy: np.ndarray
    translation_xy: np.ndarray
    relative_angle: np.ndarray
    relative_scale: np.ndarray
    relative_translation_xy: np.ndarray


class ColorDraws(NamedTuple):
    """What the colour augmentation does to each of N samples.

    Attributes
    ----------
    contrast, brightness : numpy.ndarray
        (N,); 0 changes nothing.
    channel : numpy.ndarray
        (N, 3), a factor per channel.
    saturation, hue : numpy.ndarray
        (N,), a factor and an angle in radians.
    gamma : numpy.ndarray
        (N,), logarithm of the exponent.
    noise : numpy.ndarray
        float32 (N, 2, 3, H, W), what is added to both images in [0, 1]; or (N, 2, 1, 1, 1), zeros.
    """

    contrast: np.ndarray
    brightness: np.ndarray
    channel: np.ndarray
    saturation: np.ndarray
    hue: np.ndarray
    gamma: np.ndarray
    noise: np.ndarray


def draw_geometry(
    config: GeometryConfig, seed: int, step: int, samples: Sequence[int]
) -> GeometryDraws:
    """Draw what the geometric augmentation does to the samples of a step.

    Parameters
    ----------
    config : config.GeometryConfig
    seed, step : int
        Not negative.
    samples : sequence of int
        Not negative: the samples' numbers within the step.

    Returns
    -------
    GeometryDraws
        Row i depends on the seed, the step and samples[i] alone.
    """
    angle = np.deg2rad(config.angle)
    position = either_way(1)
    translation = either_way(2 * config.translation)  # the image is 2 wide in these units
    relative = either_way(2 * config.translation * config.relative_translation)
    ranges = (
        either_way(angle),
        config.zoom,
        config.aspect,
        *(position, position),
        *(translation, translation),
        either_way(angle * config.relative_angle),
        config.relative_scale,
        *(relative, relative),
    )
    low, high = zip(*ranges, strict=True)
    rngs = generators(_GEOMETRY, seed, step, samples)
    values = np.stack([rng.uniform(low, high) for rng in rngs])
    return GeometryDraws(
        angle=values[:, 0],
        zoom=values[:, 1],
        aspect=values[:, 2],
        position_xy=values[:, 3:5],
        translation_xy=values[:, 5:7],
        relative_angle=values[:, 7],
        relative_scale=values[:, 8],
        relative_translation_xy=values[:, 9:11],
    )


def draw_color(
    config: ColorConfig, seed: int, step: int, samples: Sequence[int], size_hw: tuple[int, int]
) -> ColorDraws:
    """Draw what the colour augmentation does to the samples of a step.

    The level of the noise is one number per step, as in the original, which draws it per call.

    Parameters
    ----------
    config : config.ColorConfig
    seed, step : int
        Not negative.
    samples : sequence of int
        Not negative: the samples' numbers within the step.
    size_hw : tuple of int
        Height and width of the images that will be changed.

    Returns
    -------
    ColorDraws
        Row i depends on the seed, the step and samples[i] alone.
    """
    ranges = (
        config.contrast,
        *(config.channel,) * 3,
        either_way(config.saturation),
        either_way(np.pi * config.hue),
        config.gamma,
    )
    low, high = zip(*ranges, strict=True)
    rngs = generators(_COLOR, seed, step, samples)
    values = np.stack([rng.uniform(low, high) for rng in rngs])
    brightness = np.stack([rng.normal(0, config.brightness) for rng in rngs])
    level = _generator(_NOISE_LEVEL, seed, step).uniform(*config.noise)
    return ColorDraws(
        contrast=values[:, 0],
        brightness=brightness,
        channel=values[:, 1:4],
        saturation=1 + values[:, 4],
        hue=values[:, 5],
        gamma=values[:, 6],
        noise=_draw_noise(rngs, level, size_hw),
    )


def _draw_noise(rngs, level, size_hw):
    """Return normal noise for both images of each sample, (N, 2, 3, H, W) float32."""
    if level == 0:
        return np.zeros((len(rngs), 2, 1, 1, 1), np.float32)
    noise = np.empty((len(rngs), 2, 3, *size_hw), np.float32)
    for rng, own in zip(rngs, noise, strict=True):
        rng.standard_normal(dtype=np.float32, out=own)
    noise *= np.float32(level)
    return noise


def either_way(most: float) -> tuple[float, float]:
    """Return the range (-most, most)."""
    return (-most, most)


def generators(
    stream: int, seed: int, step: int, samples: Sequence[int]
) -> list[np.random.Generator]:
    """Return a generator per sample, which depends on these numbers and nothing else."""
    return [_generator(stream, seed, step, sample) for sample in samples]


def _generator(stream, *key):
    # The stream is the spawn key: as part of the entropy, where zeros at the end do not count,
    # (1, 2) and (1, 2, 0) would be the same.
    return np.random.default_rng(np.random.SeedSequence(key, spawn_key=(stream,)))
