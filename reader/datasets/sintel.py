"""MPI Sintel: http://sintel.is.tue.mpg.de."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from maskflownet.config import DatasetConfig
from maskflownet.reader.datasets.base import (
    FileDataset,
    PairFiles,
    Paths,
    in_split,
    mask_of,
    names_in,
    render_passes,
    root_of,
)

VALID_SEQUENCES = ("ambush_2", "ambush_6", "bamboo_2", "cave_4", "market_6", "temple_2")
SPLIT_PAIRS = {"train": 816, "valid": 225, "all": 1041}  # in each pass


class Sintel(FileDataset):
    """The training half of MPI Sintel, 1041 pairs of 1024x436 in each pass; RGB.

    Validation is on six sequences with 225 pairs ("training2"), training on the other 816
    ("training1"). The occlusion maps may be absent::

        MPI-Sintel-complete/
            training/
                clean/                      and final/
                    alley_1/
                        frame_0001.png
                flow/
                    alley_1/
                        frame_0001.flo      from frame 1 to frame 2; none for the last frame
                invalid/
                    alley_1/
                        frame_0001.png      not black where the flow is not valid
                occlusions/
                    alley_1/
                        frame_0001.png      not black where the pixel is not seen in frame 2

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders, as `config.load_paths` gives them.
    split : str
        "train", "valid" or "all".
    passes : sequence of str
        Of "clean", "final".
    """

    color_order = "RGB"
    sets: ClassVar = {r: ("all", {"passes": (r,)}) for r in ("clean", "final")}
    evaluations: ClassVar = {
        f"{name}.{render}": (split, {"passes": (render,)})
        for name, split in (("training", "all"), ("training2", "valid"))
        for render in ("clean", "final")
    }

    def __init__(self, paths: Paths, split: str, passes: Sequence[str]):
        folders = (f"training/{inside}" for inside in ("flow", "invalid", *passes))
        root = root_of("sintel", paths, *folders)
        sequences = names_in(root / "training/flow")
        sequences = [name for name in sequences if in_split(name in VALID_SEQUENCES, split)]
        pairs = (
            files
            for render in passes
            for sequence in sequences
            for files in _sequence(root / "training", render, sequence)
        )
        super().__init__(root, pairs, self.expected_pairs(split, passes))

    @classmethod
    def options(cls, config: DatasetConfig) -> dict:
        """Return what a dataset config says of passes."""
        return {"passes": render_passes(config)}

    @classmethod
    def expected_pairs(cls, split: str, passes: Sequence[str]) -> int | None:
        """Return how many pairs were published."""
        return SPLIT_PAIRS[split] * len(passes)

    def mask_valid(self, valid: np.ndarray, files: PairFiles) -> np.ndarray:
        """Return `valid` where the pair's mask, which shows what is invalid, is black."""
        invalid = mask_of(files.mask, files.flow, valid)
        return np.where(invalid[..., None], np.uint8(0), valid)


def _sequence(training: Path, render, sequence):
    """Yield the files of the pairs of one sequence."""
    occlusions = set(names_in(training / "occlusions" / sequence))
    for name in names_in(training / "flow" / sequence, r"frame_\d{4}\.flo"):
        frame = name.removesuffix(".flo")
        after = f"frame_{int(frame.removeprefix('frame_')) + 1:04d}"
        picture = f"{sequence}/{frame}.png"
        yield PairFiles(
            f"training/{render}/{sequence}/{frame}",
            f"{training}/{render}/{picture}",
            f"{training}/{render}/{sequence}/{after}.png",
            f"{training}/flow/{sequence}/{name}",
            f"{training}/invalid/{picture}",
            f"{training}/occlusions/{picture}" if f"{frame}.png" in occlusions else None,
        )
