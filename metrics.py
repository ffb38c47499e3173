"""How far an estimated flow is from the truth. NumPy only.

Flow is float (H, W, 2), (u, v) = (x, y) in pixels; valid is bool (H, W).
"""

from dataclasses import dataclass, field

import numpy as np

# Parity: the reference adds this under the root, as its training loss does.
EPSILON = 1e-8
OUTLIER_PX = 3.0  # KITTI's Fl: an error over 3 px ...
OUTLIER_SHARE = 0.05  # ... that is also over 5 % of the true flow's length
ERROR_LIMITS_PX = (1, 3, 5)


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


def epe(flow, truth, valid):
    """Return one image's mean endpoint error over its valid pixels; NaN where there are none."""
    return _mean(endpoint_error(flow, truth)[valid])


def fl(flow, truth, valid):
    """Return one image's share (0..1) of outliers among its valid pixels; NaN without any."""
    return _mean(is_outlier(endpoint_error(flow, truth), truth)[valid])


def mean_of_images(values):
    """Return a set's score: the mean of its images' scores, images without valid pixels left out.

    KITTI's server and RAFT pool all pixels instead, so that an image with more of them counts more.
    """
    values = np.asarray(list(values), np.float64)
    return _mean(values[~np.isnan(values)])


def _mean(values):
    return float(np.mean(values)) if len(values) else float("nan")


@dataclass
class FlowScores:
    """The scores of a set of images, gathered one by one; holds a few numbers per image."""

    _images: list[dict] = field(default_factory=list)
    _outliers: int = 0
    _pixels: int = 0

    def add(self, flow, truth, valid):
        """Count one image in; an image without a valid pixel changes nothing but `left_out`."""
        error = endpoint_error(flow, truth)[valid]
        outlier = is_outlier(error, truth[valid])
        shares = {f"over_{px}px": _mean(error > px) for px in ERROR_LIMITS_PX}
        self._images.append({"epe": _mean(error), **shares, "fl": _mean(outlier)})
        self._outliers += int(outlier.sum())
        self._pixels += error.size

    @property
    def left_out(self):
        """Return how many images had no valid pixel."""
        return sum(np.isnan(image["epe"]) for image in self._images)

    def summary(self):
        """Return the set's figures.

        Returns
        -------
        dict
            `images` (int, those that count), `epe` (px), `over_1px`, `over_3px`, `over_5px`, `fl`
            (shares 0..1, means of the images' shares) and `fl_pooled` (over all pixels).
        """
        count = len(self._images) - self.left_out
        names = ["epe", *(f"over_{px}px" for px in ERROR_LIMITS_PX), "fl"]
        means = {name: mean_of_images(image[name] for image in self._images) for name in names}
        pooled = self._outliers / self._pixels if self._pixels else float("nan")
        return {"images": int(count), **means, "fl_pooled": pooled}
