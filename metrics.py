"""How far an estimated flow is from the truth. NumPy only.

Flow is float (H, W, 2), (u, v) = (x, y) in pixels; valid is bool (H, W).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# Parity: the reference adds this under the root of the errors whose mean is its EPE, as its
# training loss does: an error of 0 counts as 1e-4 px. No threshold has to do with it.
EPSILON = 1e-8
OUTLIER_PX = 3  # KITTI's Fl: an error over 3 px ...
OUTLIER_PARTS = 20  # ... that is also over a 20th, 5 %, of the true flow's length
MEANS = ("epe", "over_1px", "over_3px", "over_5px", "fl")  # of an image, averaged over a set

ALL = "all"
# Sintel's classes of speed: the true flow's length in pixels, from the first to below the second.
SPEEDS = {"s0-10": (0, 10), "s10-40": (10, 40), "s40+": (40, np.inf)}
# Sintel's words for pixels of image 1 that are seen in image 2, and for those that are not; KITTI
# calls the first noc, not occluded.
MATCHED, UNMATCHED = "matched", "unmatched"
# An occlusion mask's values, 0..1, are told apart to 1 / 4096: pixels of one bin rank alike.
MASK_BINS = 4096


def squared_length(vectors: np.ndarray) -> np.ndarray:
    """Return the squared length per pixel, float64 (H, W), of (H, W, 2).

    Lengths are compared by their squares: those of multiples of 1/64 px, as KITTI stores, are
    exact, and so an error of exactly 3 px is not over 3 px.
    """
    return np.sum(np.asarray(vectors, np.float64) ** 2, axis=-1)


def squared_error(flow: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the squared Euclidean distance per pixel, float64 (H, W), in squared pixels."""
    return squared_length(np.asarray(flow, np.float64) - truth)


def is_outlier(squared: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return where an error counts for KITTI's Fl (Menze and Geiger, CVPR 2015), bool (H, W).

    Parameters
    ----------
    squared : numpy.ndarray
        (H, W), from `squared_error`.
    truth : numpy.ndarray
        (H, W, 2).
    """
    # "Not within" rather than "over": an error that is NaN is no right answer.
    within_share = squared * OUTLIER_PARTS**2 <= squared_length(truth)
    return ~(squared <= OUTLIER_PX**2) & ~within_share


def _mean(values):
    return float(np.mean(values)) if len(values) else float("nan")


class ImageScore(NamedTuple):
    """One image's scores over some of its valid pixels; the means are NaN where there are none.

    Attributes
    ----------
    epe : float
        Mean endpoint error in pixels.
    over_1px, over_3px, over_5px : float
        Shares (0..1) of errors over that many pixels.
    fl : float
        Share of KITTI's outliers.
    outliers, pixels : int
        How many outliers, among how many pixels.
    """

    epe: float
    over_1px: float
    over_3px: float
    over_5px: float
    fl: float
    outliers: int
    pixels: int


def score_image(flow: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> ImageScore:
    """Return the `ImageScore` of one image over all of its valid pixels."""
    return score_regions(flow, truth, valid)[ALL]


def score_regions(
    flow: np.ndarray, truth: np.ndarray, valid: np.ndarray, occluded: np.ndarray | None = None
) -> dict[str, ImageScore]:
    """Return one image's scores over all of its valid pixels and over the benchmarks' parts.

    Parameters
    ----------
    flow, truth : numpy.ndarray
        float (H, W, 2), estimated and true.
    valid : numpy.ndarray
        bool (H, W), where the truth is known.
    occluded : numpy.ndarray, optional
        bool (H, W), True for pixels of image 1 that are covered or out of the frame in image 2.

    Returns
    -------
    dict
        From "all", each of `SPEEDS` and, if `occluded` is given, "matched" (seen in both images)
        and "unmatched" to an `ImageScore`.
    """
    squared, truth = squared_error(flow, truth)[valid], truth[valid]
    outlier = is_outlier(squared, truth)
    speed = squared_length(truth)
    inside = {ALL: np.ones(squared.shape, bool)}
    inside |= {name: (low**2 <= speed) & (speed < high**2) for name, (low, high) in SPEEDS.items()}
    if occluded is not None:
        inside |= {MATCHED: ~occluded[valid], UNMATCHED: occluded[valid]}
    return {name: _score(squared[part], outlier[part]) for name, part in inside.items()}


def _score(squared, outlier):
    """Return the ImageScore of pixels with these squared errors, (n,), some of them outliers."""
    shares = (_mean(~(squared <= limit**2)) for limit in (1, 3, 5))
    epe = _mean(np.sqrt(squared + EPSILON))
    return ImageScore(epe, *shares, _mean(outlier), int(outlier.sum()), squared.size)


def summarize(scores: Sequence[ImageScore]) -> dict[str, float]:
    """Return a set's figures from its images' scores: means of the images' means, and pooled.

    Pooled means over all pixels of the set together, so that an image with more of them counts
    more. docs/benchmarks.md says which benchmark takes which.

    Parameters
    ----------
    scores : sequence of ImageScore

    Returns
    -------
    dict
        `images`: how many have a valid pixel and so count; `pixels`: how many pixels they have;
        `epe`, `over_1px`, `over_3px`, `over_5px`, `fl`: means of the images' figures;
        `epe_pooled`, `fl_pooled`: the mean error of all pixels, and the share of outliers among
        them.
    """
    counted = [score for score in scores if score.pixels]
    pixels = sum(score.pixels for score in counted)
    figures = {name: _mean([getattr(score, name) for score in counted]) for name in MEANS}
    figures["epe_pooled"] = sum(score.epe * score.pixels for score in counted) / (pixels or np.nan)
    figures["fl_pooled"] = sum(score.outliers for score in counted) / (pixels or np.nan)
    return {"images": len(counted), "pixels": pixels, **figures}


def summarize_regions(scores: Sequence[dict[str, ImageScore]]) -> dict:
    """Return a set's figures from what `score_regions` gives for each of its images.

    Returns
    -------
    dict
        What `summarize` gives for all pixels and, as `regions`, for each part: "s0-10", "s10-40",
        "s40+" and, if occlusion is known in at least one image, "matched" and "unmatched". An
        image without pixels of a part contributes nothing to it.
    """
    names = dict.fromkeys(name for score in scores for name in score if name != ALL)
    regions = {
        name: summarize([score[name] for score in scores if name in score]) for name in names
    }
    return {**summarize([score[ALL] for score in scores]), "regions": regions}


def mask_histogram(mask: np.ndarray, occluded: np.ndarray | None, valid: np.ndarray) -> np.ndarray:
    """Return how often each value of an image's mask stands on visible and on occluded pixels.

    Histograms add up over images, so that a set's figures need no more memory than an image's.

    Parameters
    ----------
    mask : numpy.ndarray
        float (H, W) in 0..1: near 1 where image 1 is visible in image 2, near 0 where occluded.
        What is no number counts as wrong.
    occluded : numpy.ndarray
        bool (H, W), the truth: True for pixels of image 1 that are covered or out of the frame in
        image 2.
    valid : numpy.ndarray
        bool (H, W), which pixels count.

    Returns
    -------
    numpy.ndarray
        uint32 (2, MASK_BINS), of visible and of occluded pixels, the lowest values first.
    """
    mask, occluded = mask[valid], occluded[valid]
    mask = np.where(np.isnan(mask), occluded, mask)
    bins = np.clip(mask * MASK_BINS, 0, MASK_BINS - 1).astype(np.intp)
    counts = [np.bincount(bins[part], minlength=MASK_BINS) for part in (~occluded, occluded)]
    return np.array(counts, np.uint32)


def summarize_mask(histogram: np.ndarray) -> dict[str, float]:
    """Return how well 1 - mask tells occluded pixels from visible ones, over all pixels together.

    Parameters
    ----------
    histogram : numpy.ndarray
        Integers (2, MASK_BINS): the sum of the images' `mask_histogram`.

    Returns
    -------
    dict
        `average_precision`: the mean of the precision at each threshold, weighted by what the
        recall grows by there, without interpolation (as scikit-learn's average_precision_score);
        a mask without knowledge has `occluded_share`. `best_f1`: the largest harmonic mean of
        precision and recall at any threshold; calling every pixel occluded has 2 s / (1 + s),
        where s is `occluded_share`. `occluded_share`: how many of the pixels are occluded (0..1).
        `pixels`: how many there are. Without an occluded pixel the first two are NaN.
    """
    # At threshold k what lies in the lowest k + 1 bins is called occluded.
    false, true = np.cumsum(histogram, axis=1, dtype=np.int64)
    pixels = int(false[-1] + true[-1])
    figures = {"average_precision": float("nan"), "best_f1": float("nan")}
    if true[-1]:
        precision = true / np.maximum(true + false, 1)
        recall_gain = histogram[1] / true[-1]
        figures["average_precision"] = float(np.sum(precision * recall_gain))
        figures["best_f1"] = float(np.max(2 * true / (true + false + true[-1])))
    share = float(true[-1] / pixels) if pixels else float("nan")
    return {**figures, "occluded_share": share, "pixels": pixels}
