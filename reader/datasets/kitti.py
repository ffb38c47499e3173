"""KITTI 2012 and 2015: https://www.cvlibs.net/datasets/kitti/eval_scene_flow.php?benchmark=flow."""

from typing import NamedTuple

from maskflownet.config import MissingDataError
from maskflownet.reader.datasets.base import FileDataset, PairFiles, check_size, names_in, root_of
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
    may be absent, and then nothing is known about occlusion::

        KITTI/
            2012/
                training/
                    colored_0/
                        000000_10.png
                        000000_11.png
                    flow_occ/               and flow_noc/
                        000000_10.png
            2015/
                training/
                    image_2/                as colored_0/ above
                    flow_occ/               and flow_noc/

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders, as `config.load_paths` gives them.
    split : str
        "train", "valid" or "all".
    years : sequence of int
        Of 2012, 2015.
    ground_truth : str
        "occ" for all pixels with ground truth, "noc" for those seen in both images.
    resize_hw : tuple of int or None
        (height, width) to which every sample is resized.
    """

    def __init__(self, paths, split, years, ground_truth="occ", resize_hw=None):
        pairs, expected = [], 0
        for year in years:
            root = _root(paths, year, years, ground_truth)
            numbers = [n for n in range(YEARS[year].pairs) if _in_split(n, year, split)]
            pairs += _pairs(root, year, numbers, ground_truth)
            expected += len(numbers)
        super().__init__(root, pairs, expected, resize_hw)

    def read_occluded(self, files, valid):
        """Return bool (H, W): where the flow is known with, but not without, occluded pixels."""
        _, visible = read_kitti_png(files.occlusion)
        check_size(files.occlusion, visible, files.flow, valid)
        return ((valid > 0) & (visible == 0))[..., 0]


def _root(paths, year, years, ground_truth):
    """Return KITTI's root, made sure that it holds a year; else say which years it does hold."""
    inside = {
        y: [f"{y}/training/{f}" for f in (YEARS[y].images, f"flow_{ground_truth}")] for y in years
    }
    try:
        return root_of("kitti", paths, *inside[year])
    except MissingDataError as error:
        root = paths.get("kitti")
        there = [y for y in years if root and all((root / part).is_dir() for part in inside[y])]
        if not there:
            raise
        raise MissingDataError(
            f"{error}; or write `years: {there}` into the dataset config to do without {year}"
        ) from None


def _in_split(number, year, split):
    """Return whether a pair belongs to a split."""
    return split == "all" or (number in YEARS[year].valid) == (split == "valid")


def _pairs(root, year, numbers, ground_truth):
    """Yield the files of the pairs of one year."""
    training = f"{root}/{year}/training"
    visible = set(names_in(f"{training}/flow_noc"))
    for number in numbers:
        first = f"{number:06d}_10.png"
        yield PairFiles(
            f"{year}/{number:06d}_10",
            f"{training}/{YEARS[year].images}/{first}",
            f"{training}/{YEARS[year].images}/{number:06d}_11.png",
            f"{training}/flow_{ground_truth}/{first}",
            occlusion=f"{training}/flow_noc/{first}" if first in visible else None,
        )
