"""How far a network's flow and mask are from the truth: the one way in which pairs are scored."""

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import numpy as np

from maskflownet.metrics import (
    ImageScore,
    mask_histogram,
    score_regions,
    summarize_mask,
    summarize_regions,
)
from maskflownet.reader.sample import FlowSample
from maskflownet.tasks.pipe import Pipe


class PairScore(NamedTuple):
    """What a pair contributes: its scores by region, and its mask's histogram where known."""

    regions: dict[str, ImageScore]
    mask: np.ndarray | None


def score(
    pipe: Pipe,
    samples: Iterable[FlowSample],
    batch_size: int = 1,
    resize: tuple[int, int] | None = None,
    wanted: Collection[str] = ("flow", "mask"),
) -> Iterator[PairScore]:
    """Predict pairs and compare with their truth, in order; they are taken lazily.

    Parameters
    ----------
    pipe : network.Pipeline
    samples : iterable of FlowSample
    batch_size : int
        Pairs per step.
    resize : tuple of int, optional
        (height, width) that the network sees; by default each image's own size.
    wanted : collection of str
        "flow", and "mask" if the mask is to be scored too, where the truth is known.

    Yields
    ------
    PairScore
    """
    truths: deque = deque()  # of the pairs that the pipeline has taken and not answered yet

    def images():
        for sample in samples:
            truths.append((sample.flow, sample.valid[..., 0] > 0, sample.occluded))
            yield sample.image1, sample.image2

    for prediction in pipe.predict_pairs(images(), batch_size, resize, wanted=wanted):
        flow, valid, occluded = truths.popleft()
        regions = score_regions(prediction.flow, flow, valid, occluded)
        histogram = None
        if prediction.mask is not None and occluded is not None:
            histogram = mask_histogram(prediction.mask[..., 0], occluded, valid)
        yield PairScore(regions, histogram)


def summarize(scores: Iterable[PairScore]) -> dict:
    """Return a set's figures from its pairs' scores.

    Returns
    -------
    dict
        What `metrics.summarize_regions` gives and, where a mask was scored, as `mask` what
        `metrics.summarize_mask` gives.
    """
    scores = list(scores)
    figures = summarize_regions([score.regions for score in scores])
    histograms = [score.mask for score in scores if score.mask is not None]
    if histograms:
        figures["mask"] = summarize_mask(sum(histograms, np.zeros(histograms[0].shape, np.int64)))
    return figures
