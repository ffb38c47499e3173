"""HD1K: http://hci-benchmark.iwr.uni-heidelberg.de."""

from itertools import pairwise

import numpy as np

from maskflownet.config import DatasetConfig, InputError
from maskflownet.reader.datasets.base import (
    FileDataset,
    PairFiles,
    Paths,
    in_split,
    names_in,
    root_of,
)
from maskflownet.reader.sample import FlowSample

_IMAGES = "hd1k_input/image_2"
_FLOWS = "hd1k_flow_gt/flow_occ"
# Rows and columns at each side without ground truth of use.
_BORDER_ROWS, _BORDER_COLUMNS = 50, 100
_HELD_OUT_EVERY = 10


class HD1K(FileDataset):
    """The training half of HD1K, pairs of 2560x1080 that come as 2360x980; BGR.

    Without 50 rows and 100 columns at each side, and both images of a pair stretched together to
    the range 0..255. The authors name no validation split; here it is every tenth sequence::

        HD1K/
            hd1k_input/
                image_2/
                    000000_0000.png         sequence and frame
            hd1k_flow_gt/
                flow_occ/
                    000000_0000.png         from frame 0 to frame 1

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders, as `config.load_paths` gives them.
    split : str
        "train", "valid" or "all".
    resize_hw : tuple of int or None
        (height, width) to which every sample is resized.
    """

    def __init__(self, paths: Paths, split: str, resize_hw: tuple[int, int] | None = None):
        root = root_of("hd1k", paths, _IMAGES, _FLOWS)
        pairs = (
            PairFiles(
                first.removesuffix(".png"),
                f"{root}/{_IMAGES}/{first}",
                f"{root}/{_IMAGES}/{second}",
                f"{root}/{_FLOWS}/{first}",
            )
            for first, second in _neighbours(names_in(root / _IMAGES, r"\d{6}_\d{4}\.png"))
            if in_split(_held_out(first), split)
        )
        super().__init__(root, pairs, resize_hw=resize_hw)

    @classmethod
    def options(cls, config: DatasetConfig) -> dict:
        """Return what a dataset config says of the size."""
        return {"resize_hw": config.resize_shape}

    def adjust(self, sample: FlowSample) -> FlowSample:
        """Return the sample without its borders, its images stretched to the range 0..255."""
        height, width = sample.image1.shape[:2]
        if height <= 2 * _BORDER_ROWS or width <= 2 * _BORDER_COLUMNS:
            raise InputError(
                f"hd1k pair {sample.name}: expected images of more than "
                f"{2 * _BORDER_COLUMNS}x{2 * _BORDER_ROWS} pixels, for borders of that size are "
                f"cut off, got {width}x{height}; copy the dataset again, as it was published"
            )
        inner = np.s_[
            _BORDER_ROWS : height - _BORDER_ROWS, _BORDER_COLUMNS : width - _BORDER_COLUMNS
        ]
        image1, image2 = stretched(sample.image1[inner], sample.image2[inner])
        return sample._replace(
            image1=image1, image2=image2, flow=sample.flow[inner], valid=sample.valid[inner]
        )


def stretched(image1: np.ndarray, image2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two images, uint8 (H, W, 3), stretched alike, so that both together fill 0..255."""
    lowest = min(image1.min(), image2.min())
    highest = max(image1.max(), image2.max())
    levels = np.arange(256, dtype=np.float64) - lowest
    table = np.clip(np.rint(levels * 255 / max(int(highest) - int(lowest), 1)), 0, 255)
    return table.astype(np.uint8)[image1], table.astype(np.uint8)[image2]


def _neighbours(names):
    """Return the pairs of names of neighbouring frames of one sequence.

    Frames are neighbours where their numbers differ by the least that occurs, so that a copy with
    frames missing gives fewer pairs, not pairs with the wrong flow.
    """
    pairs = [(first, second) for first, second in pairwise(names) if first[:6] == second[:6]]
    gaps = [int(second[7:11]) - int(first[7:11]) for first, second in pairs]
    return [pair for pair, gap in zip(pairs, gaps, strict=True) if gap == min(gaps)]


def _held_out(name):
    """Return whether a frame's sequence is for validation."""
    return int(name[:6]) % _HELD_OUT_EVERY == 0
