"""ChairsSDHom: https://lmb.informatik.uni-freiburg.de/resources/datasets/FlyingChairs.en.html.

Readers of it disagree about the rows of its PFM files: NVIDIA's flownet2-pytorch (ChairsSDHom in
datasets.py) and MindSpore's FlowNet2 turn what a PFM reader gives upside down, so that the first
row stored is the top one; others read them as PFM is defined, from the bottom up. So the images
decide.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np

from maskflownet.config import InputError
from maskflownet.reader.datasets.base import FileDataset, PairFiles, Paths, names_in, root_of
from maskflownet.reader.flow_files import read_flow
from maskflownet.reader.images import read_pair

logger = logging.getLogger(__name__)

_PARTS = {"train": ("train",), "valid": ("test",), "all": ("train", "test")}
_DECIDING_PAIRS = 4


class ChairsSDHom(FileDataset):
    """ChairsSDHom, pairs of 512x384 with small motions and plain backgrounds; BGR.

    `test` is for validation::

        ChairsSDHom/
            data/
                train/                      and test/
                    t0/
                        00001.png           image 1
                    t1/
                        00001.png           image 2
                    flow/
                        00001.pfm

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders, as `config.load_paths` gives them.
    split : str
        "train", "valid" or "all".

    Attributes
    ----------
    top_row_first : bool
        Whether the flow files hold the top row first, as the first pairs' images tell.
    """

    evaluations: ClassVar = {"test": ("valid", {})}

    def __init__(self, paths: Paths, split: str):
        parts = [f"data/{part}" for part in _PARTS[split]]
        root = root_of("chairs_sdhom", paths, *(f"{part}/flow" for part in parts))
        super().__init__(root, (pair for part in parts for pair in _pairs(root / part)))
        self.top_row_first = _top_row_first(self.pairs[:_DECIDING_PAIRS])
        if self.top_row_first:
            logger.info("%s: the images tell that flow is stored from the top row down", root)

    def read_truth(self, files: PairFiles) -> tuple[np.ndarray, np.ndarray]:
        """Return flow and mask of a pair, the right side up."""
        flow, valid = read_flow(files.flow)
        if self.top_row_first:
            flow, valid = (np.ascontiguousarray(array[::-1]) for array in (flow, valid))
        return flow, valid


def _pairs(folder: Path) -> Iterator[PairFiles]:
    """Yield the files of the pairs of one part."""
    for name in names_in(folder / "flow", r"\d+\.pfm"):
        stem = name.removesuffix(".pfm")
        image1, image2 = (f"{folder}/{time}/{stem}.png" for time in ("t0", "t1"))
        yield PairFiles(f"{folder.name}/{stem}", image1, image2, f"{folder}/flow/{name}")


def _top_row_first(pairs: Sequence[PairFiles]) -> bool:
    """Return whether flow turned upside down brings image 2 nearer to image 1 than as read."""
    as_read, turned = 0.0, 0.0
    for pair in pairs:
        with contextlib.suppress(InputError):  # it is reported when its turn comes
            images = read_pair(pair.image1, pair.image2)
            flow, valid = read_flow(pair.flow)
            if flow.shape[:2] == images[0].shape[:2]:
                as_read += _difference(*images, flow, valid)
                turned += _difference(*images, flow[::-1], valid[::-1])
    return turned < as_read


def _difference(image1, image2, flow, valid):
    """Return the mean difference, in grey levels, of image 1 and image 2 warped to it."""
    y, x = np.indices(flow.shape[:2], np.float32)
    x, y = x + flow[..., 0], y + flow[..., 1]
    warped = cv2.remap(image2, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    difference = np.abs(warped.astype(np.float32) - image1).mean(axis=2)
    return float(difference[valid[..., 0] > 0].mean()) if valid.any() else 0.0
