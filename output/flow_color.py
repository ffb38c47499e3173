"""Flow as colour: the Middlebury colour wheel.

Hue is the direction, saturation the length, as in Baker et al., "A Database and Evaluation
Methodology for Optical Flow" (IJCV 2011), whose coding is written down in the benchmark's
`colorcode.cpp`: 55 hues, unevenly spaced so that the steps between them look alike.
"""

import numpy as np

# Hues between one pure colour and the next: red, yellow, green, cyan, blue, magenta, (red).
STEPS = (15, 6, 4, 11, 13, 6)
_PURE = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1], [1, 0, 0]])
BEYOND = 0.75  # brightness of flow longer than the scale


def color_wheel():
    """Return the wheel's 55 hues, float64 (55, 3), RGB in [0, 1]."""
    parts = [
        start + (end - start) * (np.arange(count) / count)[:, None]
        for start, end, count in zip(_PURE[:-1], _PURE[1:], STEPS, strict=True)
    ]
    return np.concatenate(parts)


def largest_length(flow):
    """Return the length in pixels of the longest finite flow vector of (H, W, 2), 0 without any."""
    length = np.linalg.norm(flow.astype(np.float64), axis=-1)
    return float(length[np.isfinite(length)].max(initial=0))


def flow_to_color(flow, max_flow=None):
    """Paint flow with the Middlebury colour wheel.

    Parameters
    ----------
    flow : numpy.ndarray
        float (H, W, 2), (u, v) = (x, y) in pixels. What is not finite is painted black.
    max_flow : float, optional
        The length in pixels at which a colour is full; longer flow is darker. By default the
        longest vector in `flow`.

    Returns
    -------
    numpy.ndarray
        uint8 (H, W, 3), BGR as OpenCV writes it. No motion is white.
    """
    flow = flow.astype(np.float64)
    known = np.isfinite(flow).all(axis=-1)
    flow = np.where(known[..., None], flow, 0)
    # Never below a tiny length: still scenes are white, not noise blown up to full colours.
    scale = max(largest_length(flow) if max_flow is None else max_flow, 1e-3)
    length = np.linalg.norm(flow, axis=-1) / scale
    color = _hues(flow)
    inside = (length <= 1)[..., None]
    color = np.where(inside, 1 - length[..., None] * (1 - color), color * BEYOND)
    color[~known] = 0
    return np.floor(255 * color[..., ::-1]).astype(np.uint8)


def _hues(flow):
    """Return each vector's full colour, (H, W, 3) RGB, between the wheel's two nearest hues."""
    wheel = color_wheel()
    turn = np.arctan2(-flow[..., 1], -flow[..., 0]) / np.pi  # -1..1
    position = (turn + 1) / 2 * (len(wheel) - 1)
    low = np.floor(position).astype(int)
    share = (position - low)[..., None]
    return (1 - share) * wheel[low] + share * wheel[(low + 1) % len(wheel)]
