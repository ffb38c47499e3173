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
        own = flow[rows].astype(np.result_type(flow, np.float32), copy=False)
        known = known_flow(own)
        if not known.all():
            own = own[known]
        squares = np.square(own[..., 0]) + np.square(own[..., 1])  # 2e18 at most
        longest = max(longest, float(np.sqrt(squares.max(initial=0))))
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
    rises = np.roll(wheel, -1, axis=1) - wheel
    color = np.empty((*flow.shape[:2], 3), np.uint8)
    for rows in _strips(flow):
        _paint(color[rows], flow[rows], np.float32(scale), zip(wheel, rises, strict=True))
    return color


def _strips(flow):
    """Return slices of rows, few enough that what is made of them stays in the cache."""
    count = max(1, STRIP // max(1, flow.shape[1]))
    return [slice(start, start + count) for start in range(0, len(flow), count)]


def _paint(color, flow, scale, channels):
    """Paint flow into an array of its size; all in float32, and what holds nowhere is left out.

    For each channel of the picture: the wheel's hues, and how much the next one is above each.
    """
    unknown = ~known_flow(flow)
    some_unknown = unknown.any()
    if some_unknown:
        flow = np.where(unknown[..., None], np.float32(0), flow)
    x, y = (np.ascontiguousarray(flow[..., axis]) for axis in (0, 1))
    length = np.hypot(x, y) / scale
    # Rounding must not make the longest vector itself longer than the scale.
    beyond = length > 1 + 1e-6
    some_beyond = beyond.any()
    full = 255 * np.minimum(length, 1)
    low, share = _places(x, y)
    for channel, (hues, rises) in enumerate(channels):
        hue = hues.take(low) + share * rises.take(low)
        shade = 255 - full * (1 - hue)
        if some_beyond:
            np.copyto(shade, hue * (255 * BEYOND), where=beyond)
        if some_unknown:
            shade[unknown] = 0
        color[..., channel] = shade


def _places(x, y):
    """Return where on the wheel each vector is: the hue below it, and the share of the next."""
    turn = np.arctan2(-y, -x) * np.float32(1 / np.pi)  # -1..1
    place = (turn + 1) * np.float32((sum(STEPS) - 1) / 2)
    low = np.minimum(np.floor(place), np.float32(sum(STEPS) - 1))
    return low.astype(np.intp), place - low
