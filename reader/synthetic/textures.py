"""Procedural textures: fractal noise, stripes, checks and cells, coloured by random palettes.

A pattern is a uint8 array; a palette of 256 colours turns it into an image. Patterns may be as
hard-edged as they like, since the finished texture is smoothed to the finest detail allowed.
"""

import math

import cv2
import numpy as np

_HALF = 128


def random_texture(
    rng: np.random.Generator, size_hw: tuple[int, int], finest_px: float, materials: int
) -> np.ndarray:
    """Return a random texture.

    Parameters
    ----------
    rng : numpy.random.Generator
    size_hw : (int, int)
    finest_px : float
        Structure of this wavelength is damped to a ninth, and finer structure more (pixels).
    materials : int
        How many different patterns are patched together.

    Returns
    -------
    numpy.ndarray
        uint8 (H, W, 3), BGR.
    """
    texture = _material(rng, size_hw)
    for _ in range(materials - 1):
        patches = fractal_noise(rng, size_hw, max(size_hw) / 2, smoothness=1.0)
        where = cv2.compare(patches, float(rng.uniform(0.0, 1.0)), cv2.CMP_GT)
        cv2.copyTo(_material(rng, size_hw), where, texture)
    # A Gaussian of this width leaves exp(-2 pi^2 / 9), a ninth, at the finest wavelength.
    return cv2.GaussianBlur(texture, (0, 0), finest_px / 3)


def fractal_noise(
    rng: np.random.Generator, size_hw: tuple[int, int], coarsest_px: float, smoothness: float
) -> np.ndarray:
    """Return a sum of smooth random fields, each with half the wavelength of the one before.

    Each is a cubic B-spline with random coefficients, since that is what repeated `pyrUp` (the
    B-spline's subdivision rule) makes of random numbers.

    Parameters
    ----------
    rng : numpy.random.Generator
    size_hw : (int, int)
    coarsest_px : float
        Grid step of the coarsest field, in pixels; rounded to a power of two.
    smoothness : float
        A field's strength is its grid step to this power: near 0 gritty, above 1 smooth.

    Returns
    -------
    numpy.ndarray
        float32 (H, W), mean about 0, standard deviation about 1.
    """
    octaves = max(1, round(math.log2(coarsest_px)))
    field = rng.random(_grid_shape(size_hw, octaves), dtype=np.float32)
    for octave in range(octaves - 1, 0, -1):
        h, w = _grid_shape(size_hw, octave)
        finer = rng.random((h, w), dtype=np.float32)
        strength = 2.0 ** (smoothness * (octave - octaves))
        field = cv2.scaleAdd(finer, strength, cv2.pyrUp(field)[:h, :w])
    # The statistics of the last grid serve for its refinement too, and cost a quarter.
    mean, deviation = cv2.meanStdDev(field)
    field = (field - mean.item()) * (1 / max(deviation.item(), 1e-6))
    return cv2.pyrUp(field)[: size_hw[0], : size_hw[1]]


def _grid_shape(size_hw, octave):
    """Return how many points, 2**octave px apart, span an image of this size."""
    h, w = size_hw
    return (h - 1 >> octave) + 1, (w - 1 >> octave) + 1


def _material(rng, size_hw):
    """Return a coloured pattern with light and shade, uint8 (H, W, 3)."""
    patterns = (_noise, _noise, _stripes, _checks, _cells)  # as common as they are listed
    pattern = patterns[rng.integers(len(patterns))](rng, size_hw)
    coloured = cv2.applyColorMap(pattern, _palette(rng))
    coarsest = max(size_hw) * rng.uniform(0.1, 0.5)
    shade = fractal_noise(rng, size_hw, coarsest, smoothness=rng.uniform(0.2, 1.0))
    shade = _to_uint8(shade, contrast=rng.uniform(12, 36))
    return cv2.multiply(coloured, cv2.cvtColor(shade, cv2.COLOR_GRAY2BGR), scale=1 / _HALF)


def _noise(rng, size_hw):
    """Return fractal noise: clouds, stone, bark."""
    coarsest = max(size_hw) * rng.uniform(0.05, 0.5)
    return _to_uint8(fractal_noise(rng, size_hw, coarsest, rng.uniform(0.4, 1.3)), contrast=60)


def _stripes(rng, size_hw):
    """Return the phase of parallel lines, straight or wavy; 256 is a full turn."""
    wavelength = _random_period(rng, size_hw)
    angle = rng.uniform(0, math.pi)
    phase = _ramp(rng, size_hw, math.cos(angle) / wavelength, math.sin(angle) / wavelength)
    if rng.random() < 0.5:
        wobble = fractal_noise(rng, size_hw, max(size_hw) / 4, smoothness=1.3)
        phase = cv2.scaleAdd(wobble, rng.uniform(0.1, 0.8), phase)
    return _to_phase(phase)


def _checks(rng, size_hw):
    """Return a tilted board of two kinds of field, with noise within the fields."""
    wavelength = 2 * _random_period(rng, size_hw)
    angle = rng.uniform(0, math.pi)
    aspect = rng.uniform(0.5, 1.0)
    c, s = math.cos(angle) / wavelength, math.sin(angle) / wavelength
    rows = _to_phase(_ramp(rng, size_hw, c, s))
    cols = _to_phase(_ramp(rng, size_hw, -s * aspect, c * aspect))
    # The top bit, which tells the two kinds apart, picks the half of the palette.
    return ((rows ^ cols) & _HALF) | (_noise(rng, size_hw) >> 1)


def _cells(rng, size_hw):
    """Return Voronoi cells about random points, each of a random value, with some noise."""
    h, w = size_hw
    count = int(max(1, h * w / (1.5 * _random_period(rng, size_hw)) ** 2))
    seeds = np.full(size_hw, 255, np.uint8)
    seeds[rng.integers(0, h, count), rng.integers(0, w, count)] = 0
    _, nearest = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, cv2.DIST_MASK_5, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = rng.integers(0, 192, count + 1, dtype=np.uint8)
    return values[nearest] + (_noise(rng, size_hw) >> 2)


def _random_period(rng, size_hw):
    """Return a length in pixels, from fine to half of the texture, short ones more often."""
    longest = max(12.0, min(size_hw) / 2)
    return math.exp(rng.uniform(math.log(8.0), math.log(longest)))


def _ramp(rng, size_hw, per_x, per_y):
    """Return the plane per_x * x + per_y * y plus a random start, float32 (H, W)."""
    h, w = size_hw
    x = np.arange(w, dtype=np.float32) * np.float32(per_x) + np.float32(rng.random())
    y = np.arange(h, dtype=np.float32) * np.float32(per_y)
    return x[None, :] + y[:, None]


def _to_phase(turns):
    """Return the fractional part of `turns` in 256ths, uint8: the cast drops whole turns."""
    return (turns * np.float32(256)).astype(np.int32).astype(np.uint8)


def _to_uint8(noise, contrast):
    """Return standard noise as uint8 about 128, with a standard deviation of `contrast`."""
    return cv2.add(noise * np.float32(contrast), float(_HALF), dtype=cv2.CV_8U)


def _palette(rng):
    """Return 256 colours, uint8 (256, 1, 3) as BGR, that lead through a few and back again.

    The colours share a mood (a hue, how much it varies, how strong the colours are) and differ in
    brightness. Some palettes blend from colour to colour, others step.
    """
    count = int(rng.integers(2, 6))
    darkest, brightest = rng.uniform(0.05, 0.6), rng.uniform(0.6, 1.0)
    hsv = np.empty((count + 1, 1, 3), np.float32)
    hsv[:-1, 0, 0] = rng.random() + (0.03, 0.1, 0.4)[rng.integers(3)] * rng.uniform(-1, 1, count)
    hsv[:-1, 0, 1] = rng.uniform(0.05, 0.75) * rng.uniform(0.5, 1.0, count)
    steps = rng.permutation(count) / (count - 1)
    hsv[:-1, 0, 2] = darkest + (brightest - darkest) * steps
    hsv[-1] = hsv[0]
    hsv[..., 0] = hsv[..., 0] % 1 * 360
    stops = (cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR) * 255).astype(np.uint8)
    between = cv2.INTER_LINEAR if rng.random() < 0.6 else cv2.INTER_NEAREST
    return cv2.resize(stops, (1, 256), interpolation=between)
