"""Flow as colour: the Middlebury colour wheel.

Hue is the direction, saturation the length, as in Baker et al., "A Database and Evaluation
Methodology for Optical Flow" (IJCV 2011), whose coding is written down in the benchmark's
`colorcode.cpp`: 55 hues, unevenly spaced so that the steps between them look alike.
"""

import numpy as np

from maskflownet.reader.arrays import check_color_order
from maskflownet.reader.formats.common import known_flow

# Hues between one pure colour and the next: red, yellow, green, cyan, blue, magenta, (red).
STEPS = (15, 6, 4, 11, 13, 6)
_PURE = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]])
BEYOND = 0.75  # brightness of flow longer than the scale
STRIP = 1 << 14  # pixels that are painted at a time
# Still scenes are white, not noise blown up to full colours.
SMALLEST_SCALE = 1e-3  # px


def color_wheel() -> np.ndarray:
    """Return the wheel's 55 hues, float64 (55, 3), RGB in [0, 1]."""
    parts = [
        start + (end - start) * (np.arange(count) / count)[:, None]
        for start, end, count in zip(_PURE[:-1], _PURE[1:], STEPS, strict=True)
    ]
    return np.concatenate(parts)


def largest_length(flow: np.ndarray) -> float:
    """Return the length in pixels of the longest known vector of flow (H, W, 2), 0 without any."""
    longest = 0.0
    for rows in _strips(flow):
        own = flow[rows]
        length = np.hypot(own[..., 0], own[..., 1])
        longest = max(longest, float(length.max(initial=0, where=known_flow(own))))
    return longest


def flow_to_color(
    flow: np.ndarray, max_flow: float | None = None, color_order: str = "bgr"
) -> np.ndarray:
    """Paint flow with the Middlebury colour wheel.

    Parameters
    ----------
    flow : numpy.ndarray
        float (H, W, 2), (u, v) = (x, y) in pixels. Unknown flow, which is NaN,
        infinite or beyond 1e9 as in a .flo file, is painted black.
    max_flow : float, optional
        The length in pixels at which a colour is full; longer flow is darker. By default the
        longest known vector in `flow`.
    color_order : {"bgr", "rgb"}
        Of the picture: BGR as OpenCV writes it, RGB for Pillow, matplotlib and most others.

    Returns
    -------
    numpy.ndarray
        uint8 (H, W, 3). No motion is white.

    Raises
    ------
    InputError
        No such order of colours.
    """
    check_color_order(color_order)
    flow = np.asarray(flow, np.float32)
    scale = max(largest_length(flow) if max_flow is None else max_flow, SMALLEST_SCALE)
    wheel = color_wheel().astype(np.float32).T  # R, G, B
    if color_order == "bgr":
        wheel = wheel[::-1]
    color = np.empty((*flow.shape[:2], 3), np.uint8)
    for rows in _strips(flow):
        _paint(color[rows], flow[rows], np.float32(scale), wheel)
    return color


def _strips(flow):
    """Return slices of rows, few enough that what is made of them stays in the cache."""
    count = max(1, STRIP // max(1, flow.shape[1]))
    return [slice(start, start + count) for start in range(0, len(flow), count)]


def _paint(color, flow, scale, wheel):
    """Paint flow into an array of its size, in the order of the wheel's channels."""
    known = known_flow(flow)
    flow = np.where(known[..., None], flow, np.float32(0))
    length = np.hypot(flow[..., 0], flow[..., 1]) / scale
    # Rounding must not make the longest vector itself longer than the scale.
    inside = length <= 1 + 1e-6
    full = np.minimum(length, 1)
    low, share = _places(flow)
    for channel, hues in enumerate(wheel):
        hue = hues[low] + share * (np.roll(hues, -1) - hues)[low]
        shade = np.where(inside, 1 - full * (1 - hue), hue * BEYOND)
        color[..., channel] = np.where(known, 255 * shade, 0)


def _places(flow):
    """Return where on the wheel each vector is: the hue below it, and the share of the next."""
    turn = np.arctan2(-flow[..., 1], -flow[..., 0]) * np.float32(1 / np.pi)  # -1..1
    place = (turn + 1) * np.float32((sum(STEPS) - 1) / 2)
    low = np.minimum(place.astype(np.intp), sum(STEPS) - 1)
    return low, place - low
