"""Which pixels flow forth and back agree on."""

import cv2
import numpy as np

# The tolerance of the check: a share of the flow's length, and half a squared pixel.
RELATIVE = 0.01
ABSOLUTE = 0.5


def consistency_mask(flow, backward):
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
    back = cv2.remap(
        np.asarray(backward, np.float32), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    gap = _squared(flow + back)
    tolerance = RELATIVE * (_squared(flow) + _squared(back)) + ABSOLUTE
    # A flow back that is not finite makes a gap of NaN or infinity, which is not below anything.
    with np.errstate(invalid="ignore"):
        return known & inside & (gap < tolerance)


def _squared(flow):
    with np.errstate(over="ignore", invalid="ignore"):
        return flow[..., 0] ** 2 + flow[..., 1] ** 2
