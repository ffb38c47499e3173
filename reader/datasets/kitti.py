"""KITTI 2012 and 2015: https://www.cvlibs.net/datasets/kitti/eval_scene_flow.php?benchmark=flow."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np

from maskflownet.config import DatasetConfig, InputError, MissingDataError
from maskflownet.reader.datasets.base import (
    FileDataset,
    PairFiles,
    Paths,
    check_size,
    in_split,
    names_in,
    root_of,
)
from maskflownet.reader.flow_files import read_kitti_png


class _Year(NamedTuple):
    images: str
    pairs: int
    valid: frozenset[int]  # the pairs held out for validation


def _indices(text):
    return frozenset(map(int, text.split()))


YEARS = {
    2012: _Year(
        "colored_0",
        194,
        _indices(
            "0 12 15 16 17 18 24 30 38 39 42 50 54 59 60 61 77 78 81 89 97 101 107 121 124 142 145 "
            "146 152 154 155 158 159 160 164 182 183 184 190"
        ),
    ),
    2015: _Year(
        "image_2",
        200,
        _indices(
            "10 11 12 25 26 30 31 40 41 42 46 52 53 72 73 74 75 76 80 81 85 86 95 96 97 98 104 116 "
            "117 120 121 126 127 153 172 175 183 184 190 199"
        ),
    ),
}


class Kitti(FileDataset):
    """The training halves of KITTI 2012 and 2015, 194 and 200 pairs of differing sizes; BGR.

    The flow is sparse. `flow_noc` holds it for the pixels alone that are seen in both images; it
    may be absent, and then nothing is known about occlusion. One year alone serves too::

        KITTI/
            2012/                           as data_stereo_flow.zip unpacks
                training/                   and testing/
                    colored_0/
                        000000_10.png
                        000000_11.png
                    flow_occ/               and flow_noc/
                        000000_10.png
            2015/                           as data_scene_flow.zip unpacks
                training/                   and testing/
                    image_2/                as colored_0/ above
                    flow_occ/               and flow_noc/

    Or the folder is itself what stands for 2012/ or 2015/ above. The root `kitti_2012` or
    `kitti_2015` gives the place of a year that lies elsewhere, as its archive unpacked.

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders, as `config.load_paths` gives them.
    split : str
        "train", "valid" or "all".
    years : sequence of int
        Of 2012, 2015; if empty, those that are there.
    ground_truth : str
        "occ" for all pixels with ground truth, "noc" for those seen in both images.
    resize_hw : tuple of int or None
        (height, width) to which every sample is resized.
    """

    sets: ClassVar = {str(year): ("all", {"years": (year,)}) for year in YEARS}
    evaluations = sets

    def __init__(
        self,
        paths: Paths,
        split: str,
        years: Sequence[int] = (),
        ground_truth: str = "occ",
        resize_hw: tuple[int, int] | None = None,
    ):
        pairs = []
        years = years or years_there(paths, "training") or tuple(YEARS)
        for year in years:
            training = _training(paths, year, years, ground_truth)
            numbers = [n for n in range(YEARS[year].pairs) if _in_split(n, year, split)]
            pairs += _pairs(training, year, numbers, ground_truth)
        parts = {"train": ", its part for training", "valid": ", its part for validation"}
        where = f"{training}{parts.get(split, '')}"
        super().__init__(where, pairs, self.expected_pairs(split, years), resize_hw)

    @classmethod
    def options(cls, config: DatasetConfig) -> dict:
        """Return what a dataset config says of years, ground truth and size."""
        return {
            "years": config.years,
            "ground_truth": config.ground_truth,
            "resize_hw": config.resize_shape,
        }

    @classmethod
    def expected_pairs(cls, split: str, years: Sequence[int] = tuple(YEARS)) -> int | None:
        """Return how many pairs were published."""
        return sum(_in_split(n, year, split) for year in years for n in range(YEARS[year].pairs))

    @classmethod
    def absent(cls, paths: Paths, years: Sequence[int] = tuple(YEARS)) -> str | None:
        """Return words for it where another year is there and these are not."""
        there = years_there(paths, "training")
        if there and not set(years) & set(there):
            return f"not there; {' and '.join(map(str, there))} is, which serves alone"
        return None

    def read_occluded(self, files: PairFiles, valid: np.ndarray) -> np.ndarray:
        """Return bool (H, W): where the flow is known with, but not without, occluded pixels."""
        _, visible = read_kitti_png(files.occlusion)
        check_size(files.occlusion, visible, files.flow, valid)
        return ((valid > 0) & (visible == 0))[..., 0]


def year_folder(paths: Mapping[str, Path | None], year: int, half: str) -> Path | None:
    """Return the folder that holds `half` ("training" or "testing") of a year, None if none does.

    Raises
    ------
    InputError
        Both years were unpacked into one folder: flow of one took the place of the other's.
    """
    root, own = paths.get("kitti"), paths.get(f"kitti_{year}")
    images = f"{half}/{YEARS[year].images}"
    for folder in (own, root and root / str(year), root):
        if folder is not None and (folder / images).is_dir():
            both = [one.images for one in YEARS.values() if (folder / half / one.images).is_dir()]
            if len(both) > 1:
                raise InputError(
                    f"{folder / half}: expected one year of KITTI, got {' and '.join(both)}: files "
                    "of the two years have the same names and replaced each other; unpack each "
                    f"year's archives into a folder of its own, {' and '.join(map(str, YEARS))}"
                )
            return folder
    return None


def years_there(paths: Mapping[str, Path | None], half: str) -> tuple[int, ...]:
    """Return the years whose training or testing half is there."""
    return tuple(year for year in YEARS if year_folder(paths, year, half))


def _training(paths, year, years, ground_truth):
    """Return the training folder of a year; else say which years there are."""
    folder = year_folder(paths, year, "training")
    if folder is not None and (folder / "training" / f"flow_{ground_truth}").is_dir():
        return folder / "training"
    inside = [f"training/{part}" for part in (YEARS[year].images, f"flow_{ground_truth}")]
    if folder is not None:
        raise MissingDataError(f"kitti: {folder / inside[1]} is missing; unpack it beside the rest")
    there = [y for y in years if year_folder(paths, y, "training")]
    try:
        return root_of("kitti", paths, *(f"{year}/{part}" for part in inside))
    except MissingDataError as error:
        if not there:
            raise
        raise MissingDataError(
            f"{error}; or write `years: {there}` into the dataset config to do without {year}"
        ) from None


def _in_split(number, year, split):
    """Return whether a pair belongs to a split."""
    return in_split(number in YEARS[year].valid, split)


def _pairs(training, year, numbers, ground_truth):
    """Yield the files of the pairs of one year."""
    # Flow that is itself of what is visible alone tells of nothing that is occluded.
    tells = set(names_in(f"{training}/flow_noc")) if ground_truth == "occ" else ()
    for number in numbers:
        first = f"{number:06d}_10.png"
        yield PairFiles(
            f"{year}/{number:06d}_10",
            f"{training}/{YEARS[year].images}/{first}",
            f"{training}/{YEARS[year].images}/{number:06d}_11.png",
            f"{training}/flow_{ground_truth}/{first}",
            occlusion=f"{training}/flow_noc/{first}" if first in tells else None,
        )
