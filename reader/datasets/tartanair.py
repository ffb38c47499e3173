"""TartanAir: https://theairlab.org/tartanair-dataset.

What the files hold is in data_type.md of https://github.com/castacks/tartanair_tools; the mask's
values are the constants of processing/flow_generate/flow_and_warping_error.py there.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np

from maskflownet.reader.datasets.base import (
    FileDataset,
    PairFiles,
    Paths,
    check_size,
    in_split,
    names_in,
    root_of,
)
from maskflownet.reader.formats.npy import read_mask_npy

_HELD_OUT = ("carwelding", "office2")


class TartanAir(FileDataset):
    """TartanAir's left camera, pairs of 640x480 from 18 environments; BGR.

    The flow is that of the camera's motion past things that stand still. Its mask is 0 where that
    is all there is, 1 where something else is in front in the second image (an occlusion, or a
    thing that moves), 10 where the scene covers itself and 100 outside of the view; pixels with
    another value than 0 do not count. Validation is on the environments carwelding and office2, for
    the publishers name no split. Folders may be nested twice, as the archives unpack::

        TartanAir/
            abandonedfactory/               perhaps abandonedfactory/abandonedfactory/
                Easy/                       and Hard/
                    P000/
                        image_left/
                            000000_left.png
                        flow/
                            000000_000001_flow.npy
                            000000_000001_mask.npy

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders, as `config.load_paths` gives them.
    split : str
        "train", "valid" or "all".
    """

    evaluations: ClassVar = {"validation": ("valid", {})}

    def __init__(self, paths: Paths, split: str):
        root = root_of("tartanair", paths)
        walks = (
            walk
            for environment in names_in(root, r"[^.].*")
            if in_split(environment in _HELD_OUT, split)
            for walk in _walks(root, environment)
        )
        super().__init__(root, (pair for walk in walks for pair in _pairs(root, walk)))

    def mask_valid(self, valid: np.ndarray, files: PairFiles) -> np.ndarray:
        """Return `valid` where the pair's mask is 0."""
        mask = read_mask_npy(files.mask)
        check_size(files.mask, mask, files.flow, valid)
        return np.where(mask[..., None] == 0, valid, np.uint8(0))


def _walks(root: Path, environment: str) -> Iterator[str]:
    """Yield the folders of one environment that hold flow, such as "office/Easy/P000"."""
    for outer in (environment, f"{environment}/{environment}"):
        for level in ("Easy", "Hard"):
            for walk in names_in(root / outer / level, r"P\d+"):
                yield f"{outer}/{level}/{walk}"


def _pairs(root: Path, walk: str) -> Iterator[PairFiles]:
    """Yield the files of the pairs of one walk."""
    for name in names_in(root / walk / "flow", r"\d{6}_\d{6}_flow\.npy"):
        first, second, _ = name.split("_")
        image1, image2 = (f"{root}/{walk}/image_left/{frame}_left.png" for frame in (first, second))
        stem = f"{root}/{walk}/flow/{first}_{second}"
        yield PairFiles(
            f"{walk}/{first}-{second}", image1, image2, f"{stem}_flow.npy", f"{stem}_mask.npy"
        )
