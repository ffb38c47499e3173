"""Outlines of shapes: polygons, ellipses, blobs and thin bars, some of them hollow."""

import math

import cv2
import numpy as np

_ROUND = np.linspace(0, 2 * math.pi, 96, endpoint=False)  # angles of a round outline's points
_BARS_SHARE = 0.2
_HOLLOW_SHARE = 0.2
_SUBPIXEL_BITS = 4  # fillPoly's fixed-point coordinates: 1/16 px


def random_shape(rng: np.random.Generator, radius_px: float) -> list[np.ndarray]:
    """Return the outline of a random shape about the origin.

    Parameters
    ----------
    rng : numpy.random.Generator
    radius_px : float
        The outline reaches about this far from the origin.

    Returns
    -------
    list of numpy.ndarray
        Closed contours, float64 (N, 2) as (x, y) in pixels. What lies within an odd number of them
        is the shape: a second contour within the first is a hole.
    """
    if rng.random() < _BARS_SHARE:
        contours = _bars(rng, radius_px)
    else:
        outlines = (_polygon, _polygon, _ellipse, _blob)  # as common as they are listed
        contours = [radius_px * outlines[rng.integers(len(outlines))](rng)]
        if rng.random() < _HOLLOW_SHARE:
            contours.append(rng.uniform(0.5, 0.8) * contours[0])
    turn = rng.uniform(0, 2 * math.pi)
    c, s = math.cos(turn), math.sin(turn)
    return [contour @ np.array([[c, s], [-s, c]]) for contour in contours]


def draw(contours: list[np.ndarray], size_hw: tuple[int, int]) -> np.ndarray:
    """Return the cover of a shape: 255 within, 0 outside, between them along its edge.

    Parameters
    ----------
    contours : list of numpy.ndarray
        As `random_shape` gives them, in the coordinates of the array drawn to.
    size_hw : (int, int)

    Returns
    -------
    numpy.ndarray
        uint8 (H, W).
    """
    cover = np.zeros(size_hw, np.uint8)
    points = [np.round(contour * (1 << _SUBPIXEL_BITS)).astype(np.int32) for contour in contours]
    cv2.fillPoly(cover, points, 255, lineType=cv2.LINE_AA, shift=_SUBPIXEL_BITS)
    # OpenCV's anti-aliasing is about a pixel wide; a little wider, and it survives resampling.
    return cv2.GaussianBlur(cover, (3, 3), 0.5)


def _polygon(rng):
    """Return 3 to 9 corners in order of angle; stars and other non-convex ones among them."""
    corners = rng.integers(3, 10)
    angles = (np.arange(corners) + rng.uniform(-0.35, 0.35, corners)) * (2 * math.pi / corners)
    return _polar(angles, rng.uniform(rng.uniform(0.3, 1.0), 1.0, corners))


def _ellipse(rng):
    """Return an ellipse, from slender to round."""
    return _polar(_ROUND, np.ones_like(_ROUND)) * (1.0, rng.uniform(0.3, 1.0))


def _blob(rng):
    """Return a closed curve whose radius is a sum of a few waves."""
    radii = np.ones_like(_ROUND)
    for waves in range(2, 7):
        strength = rng.uniform(0, 0.5 / waves)
        radii += strength * np.cos(waves * _ROUND + rng.uniform(0, 2 * math.pi))
    return _polar(_ROUND, radii / radii.max())


def _bars(rng, radius_px):
    """Return one to four thin parallel bars, such as the legs of a chair; at least 3 px thick."""
    half_width = max(radius_px * rng.uniform(0.02, 0.07), 1.5)
    half_length = radius_px * rng.uniform(0.6, 0.95)
    spacing = half_width * rng.uniform(4, 8)
    # Bars that would leave the circle are left out.
    room = math.sqrt(radius_px**2 - half_length**2)
    count = min(rng.integers(1, 5), 1 + int(2 * room / spacing))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (half_length, half_width)
    offsets = spacing * (np.arange(count) - (count - 1) / 2)
    return [corners + np.array([0.0, offset]) for offset in offsets]


def _polar(angles, radii):
    """Return points (N, 2) from angles in radians and radii."""
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)
