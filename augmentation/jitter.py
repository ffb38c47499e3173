"""Brightness, contrast, saturation and hue in a random order, gamma and noise: MMFlow's changes.

They are made on bytes, before anything else happens to the images, the same for both images of a
pair but for the noise. Images are taken for BGR.
"""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from maskflownet.augmentation.draws import either_way, generators
from maskflownet.config.augmentation import JitterConfig

_STREAM = 4  # of random numbers, beside those of `augmentation.draws` and `augmentation.affine`


class JitterDraws(NamedTuple):
    """What the colour jitter does to each of N samples.

    Attributes
    ----------
    order : numpy.ndarray
        (N, 4), in which order brightness (0), contrast (1), saturation (2) and hue (3) change.
    brightness, contrast, saturation : numpy.ndarray
        (N,), factors.
    hue : numpy.ndarray
        (N,), part of a whole turn.
    gamma : numpy.ndarray
        (N,), exponent.
    noise : numpy.ndarray
        float32 (N, 2, H, W, 3), what is added to both images in [0, 1]; or (N, 2, 1, 1, 1), zeros.
    """

    order: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    saturation: np.ndarray
    hue: np.ndarray
    gamma: np.ndarray
    noise: np.ndarray


def draw_jitter(
    config: JitterConfig, seed: int, step: int, samples: Sequence[int], size_hw: tuple[int, int]
) -> JitterDraws:
    """Draw what the colour jitter does to the samples of a step.

    Parameters
    ----------
    config : config.JitterConfig
    seed, step : int
        Not negative.
    samples : sequence of int
        Not negative: the samples' numbers within the step.
    size_hw : tuple of int
        Height and width of the largest images that will be changed.

    Returns
    -------
    JitterDraws
        Row i depends on the seed, the step and samples[i] alone.
    """
    ranges = (
        *(config.brightness, config.contrast, config.saturation),
        *(either_way(config.hue), config.gamma, config.noise),
    )
    low, high = zip(*ranges, strict=True)
    rngs = generators(_STREAM, seed, step, samples)
    order = np.stack([rng.permutation(4) for rng in rngs])
    brightness, contrast, saturation, hue, gamma, level = np.stack(
        [rng.uniform(low, high) for rng in rngs], axis=1
    )
    if not any(config.noise):
        size_hw = (1, 1)
    noise = (
        np.stack([rng.standard_normal((2, *size_hw, 3), dtype=np.float32) for rng in rngs])
        * level.astype(np.float32)[:, None, None, None, None]
    )
    return JitterDraws(order, brightness, contrast, saturation, hue, gamma, noise)


def jitter(
    draws: JitterDraws, images1: np.ndarray, images2: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Change the colours of pairs.

    Parameters
    ----------
    draws : JitterDraws
        Of N samples.
    images1, images2 : numpy.ndarray
        uint8 (N, H, W, 3), BGR, no larger than drawn for.

    Returns
    -------
    tuple of numpy.ndarray
        The two, float32 (N, H, W, 3) in [0, 1].
    """
    height, width = images1.shape[1:3]
    results = [[], []]
    for index, pair in enumerate(zip(images1, images2, strict=True)):
        own = JitterDraws(*(values[index] for values in draws))
        table = np.rint(255 * (np.arange(256) / 255) ** own.gamma).astype(np.uint8)
        for image, noise, result in zip(pair, own.noise, results, strict=True):
            bytes_ = cv2.LUT(_changed(image, own), table)
            result.append(np.clip(bytes_ / np.float32(255) + noise[:height, :width], 0, 1))
    return tuple(np.stack(result) for result in results)


def _changed(image, own):
    """Return an image, uint8 (H, W, 3), after the four changes of one sample."""
    changes = (
        lambda image: _blend(image, 0, own.brightness),
        lambda image: _blend(image, np.rint(_grey(image).mean()), own.contrast),
        lambda image: _blend(image, _grey(image)[..., None], own.saturation),
        lambda image: _turn_hue(image, own.hue),
    )
    for change in own.order:
        image = changes[change](image)
    return image


def _grey(image):
    return cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)


def _blend(image, other_end, factor):
    """Move bytes away from (factor above 1) or towards (below) what is at the other end."""
    other_end = np.asarray(other_end, np.float32)
    moved = other_end + np.float32(factor) * (image - other_end)
    return np.rint(np.clip(moved, 0, 255)).astype(np.uint8)


def _turn_hue(image, part):
    """Turn the hue by a part of a whole turn, in steps of 1/256."""
    steps = round(part * 256) % 256
    if steps == 0:  # there and back alone would round
        return image
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL)
    hsv[..., 0] += np.uint8(steps)  # bytes go round by themselves
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR_FULL)
