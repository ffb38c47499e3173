"""How far an estimated flow is from the truth. NumPy only.

Flow is float (H, W, 2), (u, v) = (x, y) in pixels; valid is bool (H, W).
"""

from typing import NamedTuple

import numpy as np

# Parity: the reference adds this under the root, as its training loss does.
EPSILON = 1e-8
OUTLIER_PX = 3.0  # KITTI's Fl: an error over 3 px ...
OUTLIER_SHARE = 0.05  # ... that is also over 5 % of the true flow's length
MEANS = ("epe", "over_1px", "over_3px", "over_5px", "fl")  # of an image, averaged over a set


def endpoint_error(flow, truth):
    """Return the Euclidean distance per pixel, float64 (H, W), in pixels."""
    difference = flow.astype(np.float64) - truth
    return np.sqrt(np.sum(difference**2, axis=-1) + EPSILON)


def is_outlier(error, truth):
    """Return where an error counts for KITTI's Fl (Menze and Geiger, CVPR 2015), bool (H, W).

    Parameters
    ----------
    error : numpy.ndarray
        (H, W), from `endpoint_error`.
    truth : numpy.ndarray
        (H, W, 2).
    """
    length = np.linalg.norm(truth, axis=-1)
    return (error > OUTLIER_PX) & (error > OUTLIER_SHARE * length)


def _mean(values):
    return float(np.mean(values)) if len(values) else float("nan")


class ImageScore(NamedTuple):
    """One image's scores over its valid pixels; the means are NaN where there are none.

    Attributes
    ----------
    epe : float
        Mean endpoint error in pixels.
    over_1px, over_3px, over_5px : float
        Shares (0..1) of errors over that many pixels.
    fl : float
        Share of KITTI's outliers.
    outliers, pixels : int
        How many outliers, among how many valid pixels.
    """

    epe: float
    over_1px: float
    over_3px: float
    over_5px: float
    fl: float
    outliers: int
    pixels: int


def score_image(flow, truth, valid):
    """Return the `ImageScore` of one image."""
    error = endpoint_error(flow, truth)[valid]
    outlier = is_outlier(error, truth[valid])
    shares = (_mean(error > limit) for limit in (1, 3, 5))
    return ImageScore(_mean(error), *shares, _mean(outlier), int(outlier.sum()), error.size)


def summarize(scores):
    """Return a set's figures from its images' scores: means of the images' means.

    KITTI's server and RAFT pool all pixels instead, so that an image with more of them counts more.

    Parameters
    ----------
    scores : sequence of ImageScore

    Returns
    -------
    dict
        `images`: how many have a valid pixel and so count; `epe`, `over_1px`, `over_3px`,
        `over_5px`, `fl`: means of the images' figures; `fl_pooled`: the share of outliers among
        all pixels.
    """
    counted = [score for score in scores if score.pixels]
    figures = {name: _mean([getattr(score, name) for score in counted]) for name in MEANS}
    pixels = sum(score.pixels for score in counted)
    pooled = sum(score.outliers for score in counted) / pixels if pixels else float("nan")
    return {"images": len(counted), **figures, "fl_pooled": pooled}
