"""Which pixels flow forth and back agree on."""

import itertools
from collections.abc import Iterator

import cv2
import numpy as np

# The tolerance of the check: a share of the flow's length, and half a squared pixel.
RELATIVE = 0.01
ABSOLUTE = 0.5
# Pixels along a side that are looked up at once: OpenCV's remap takes no more than 32766.
TILE = 16_384


def consistency_mask(flow: np.ndarray, backward: np.ndarray) -> np.ndarray:
    """Return where going to image 2 and back leads to where one began.

    A pixel is consistent if |w(x) + b(x + w(x))|^2 < 0.01 (|w(x)|^2 + |b(x + w(x))|^2) + 0.5, with
    w the flow forth and b the flow back: the occlusion check of Sundaram, Brox and Keutzer, "Dense
    Point Trajectories by GPU-Accelerated Large Displacement Optical Flow" (ECCV 2010). Occluded
    pixels fail it, and so do wrongly matched ones.

    Parameters
    ----------
    flow : numpy.ndarray
        float (H, W, 2), from image 1 to image 2, (u, v) = (x, y) in pixels.
    backward : numpy.ndarray
        float (H, W, 2), from image 2 to image 1.

    Returns
    -------
    numpy.ndarray
        bool (H, W): True where consistent; False also where the pixel leaves the picture, and
        where a flow is not finite.
    """
    flow = np.asarray(flow, np.float32)
    height, width = flow.shape[:2]
    known = np.isfinite(flow).all(axis=-1)
    flow = np.where(known[..., None], flow, np.float32(0))
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    back = _between_pixels(np.asarray(backward, np.float32), x, y)
    gap = _squared(flow + back)
    tolerance = RELATIVE * (_squared(flow) + _squared(back)) + ABSOLUTE
    # A flow back that is not finite makes a gap of NaN or infinity, which is not below anything.
    with np.errstate(invalid="ignore"):
        return known & inside & (gap < tolerance)


def _between_pixels(field, x, y):
    """Return a field (H, W, 2) at places x and y, each (H, W), inside it; elsewhere zeros."""
    taken = np.zeros_like(field)
    for wanted, source in itertools.product(_tiles(x.shape), repeat=2):
        rows, columns = source
        own_x, own_y = x[wanted] - np.float32(columns.start), y[wanted] - np.float32(rows.start)
        here = (own_x >= 0) & (own_x < columns.stop - columns.start)
        here &= (own_y >= 0) & (own_y < rows.stop - rows.start)
        if here.any():
            # With the row and the column beyond, which are needed in between.
            part = field[rows.start : rows.stop + 1, columns.start : columns.stop + 1]
            border = cv2.BORDER_REPLICATE
            looked_up = cv2.remap(part, own_x, own_y, cv2.INTER_LINEAR, borderMode=border)
            taken[wanted][here] = looked_up[here]
    return taken


def _tiles(size_hw: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Yield the rows and columns of parts that make up a picture."""
    for top, left in itertools.product(*(range(0, length, TILE) for length in size_hw)):
        yield (
            slice(top, min(top + TILE, size_hw[0])),
            slice(left, min(left + TILE, size_hw[1])),
        )


def _squared(flow):
    with np.errstate(over="ignore", invalid="ignore"):
        return flow[..., 0] ** 2 + flow[..., 1] ** 2
