"""The test halves of Sintel and KITTI: pairs without ground truth, whose flow can be submitted."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskflownet.config.registry import DATASETS
from maskflownet.reader.arrays import in_order
from maskflownet.reader.datasets.base import complete_pairs, names_in, open_sets, root_of
from maskflownet.reader.datasets.kitti import YEARS, year_folder
from maskflownet.reader.images import read_pair

Paths = Mapping[str, Path | None]

SINTEL_PASSES = ("clean", "final")
# From the readme of Sintel's own bundler program.
SINTEL_SEQUENCES = (
    *("PERTURBED_market_3", "PERTURBED_shaman_1", "ambush_1", "ambush_3", "bamboo_3", "cave_3"),
    *("market_1", "market_4", "mountain_2", "temple_1", "tiger", "wall"),
)
SINTEL_PAIRS = 552  # in each pass
KITTI_PAIRS = {2012: 195, 2015: 200}  # from the readme of each year's development kit


class UnlabelledPair(NamedTuple):
    """Two images without ground truth.

    Attributes
    ----------
    name : str
        What it is called in its set: "clean/ambush_1/frame_0001", "000000_10".
    image1, image2 : str
        Paths.
    """

    name: str
    image1: str
    image2: str

    def paths(self) -> list[str]:
        """Return the paths of all files of the pair."""
        return [self.image1, self.image2]


class UnlabelledSet:
    """The pairs of a test half that are there.

    Parameters
    ----------
    name : str
        What the set is called, such as "kitti.2015".
    pairs : iterable of UnlabelledPair
        All pairs that ought to be there, in order; those with a file missing are left out.
    expected : int
        How many pairs the published set has.
    color_order : str
        "BGR" or "RGB", as for the training half.

    Attributes
    ----------
    name, expected, color_order
        As above.
    pairs : list of UnlabelledPair
    first_missing : str or None
        The first file that ought to be there and is not.
    """

    def __init__(self, name: str, pairs: Iterable[UnlabelledPair], expected: int, color_order: str):
        self.name = name
        self.pairs, self.first_missing = complete_pairs(pairs)
        self.expected = expected
        self.color_order = color_order

    @property
    def is_complete(self) -> bool:
        """Whether all pairs of the published set are there."""
        return self.first_missing is None and len(self.pairs) == self.expected

    def read(self, pair: UnlabelledPair) -> tuple[np.ndarray, np.ndarray]:
        """Return the two images of a pair, uint8 (H, W, 3) in the set's colour order."""
        image1, image2 = read_pair(pair.image1, pair.image2)
        order = self.color_order.lower()
        return in_order(image1, order), in_order(image2, order)


def sintel_test(paths: Paths) -> UnlabelledSet:
    """Return the test half of MPI Sintel, 552 pairs of 1024x436 in each of two passes; RGB.

    ::

        MPI-Sintel-complete/
            test/
                clean/                      and final/
                    ambush_1/
                        frame_0001.png

    Raises
    ------
    MissingDataError
        The root is not set or holds no `test`.
    """
    root = root_of("sintel", paths, "test")
    return UnlabelledSet("sintel", _sintel_pairs(root / "test"), 2 * SINTEL_PAIRS, "RGB")


def _sintel_pairs(test: Path) -> Iterator[UnlabelledPair]:
    """Yield the pairs of both passes, also those that one pass alone has."""
    frames = {
        sequence: {
            int(name[6:10])
            for render in SINTEL_PASSES
            for name in names_in(test / render / sequence, r"frame_\d{4}\.png")
        }
        for sequence in SINTEL_SEQUENCES
    }
    for render in SINTEL_PASSES:
        for sequence, numbers in frames.items():
            for number in range(1, max(numbers, default=2)):
                name = f"{render}/{sequence}/frame_{number:04d}"
                second = f"{test}/{render}/{sequence}/frame_{number + 1:04d}.png"
                yield UnlabelledPair(name, f"{test}/{name}.png", second)


def kitti_test(paths: Paths, year: int) -> UnlabelledSet:
    """Return the test half of KITTI 2012 or 2015, 195 or 200 pairs of differing sizes; BGR.

    ::

        KITTI/
            2012/
                testing/
                    colored_0/
                        000000_10.png
                        000000_11.png
            2015/
                testing/
                    image_2/                as colored_0/ above

    Or as for the training half (`reader.datasets.kitti.Kitti`): one year's folder, or one of its
    own.

    Raises
    ------
    MissingDataError
        The root is not set or lacks that folder.
    """
    inside = f"testing/{YEARS[year].images}"
    folder = year_folder(paths, year, "testing")
    if folder is None:
        folder = root_of("kitti", paths, f"{year}/{inside}") / str(year)
    images = folder / inside
    pairs = (
        UnlabelledPair(
            f"{number:06d}_10", f"{images}/{number:06d}_10.png", f"{images}/{number:06d}_11.png"
        )
        for number in range(KITTI_PAIRS[year])
    )
    return UnlabelledSet(f"kitti.{year}", pairs, KITTI_PAIRS[year], "BGR")


# By name: the roots under which a set may lie, and what opens it.
TEST_SETS = {
    "sintel": (DATASETS["sintel"].roots, sintel_test),
    "kitti.2012": (DATASETS["kitti"].roots, lambda paths: kitti_test(paths, 2012)),
    "kitti.2015": (DATASETS["kitti"].roots, lambda paths: kitti_test(paths, 2015)),
}


def open_test_sets(paths: Paths) -> tuple[list[UnlabelledSet], list[tuple[str, str]]]:
    """Return the test halves that are there, and those that are left out.

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders or None, as `config.load_paths` gives them.

    Returns
    -------
    sets : list of UnlabelledSet
        Of "sintel", "kitti.2012" and "kitti.2015".
    skipped : list of (str, str)
        Name and reason, which says how to set the root.

    Raises
    ------
    MissingDataError
        A root that is set is no folder, or there is no test half at all.
    """
    sets, skipped = open_sets(TEST_SETS, paths, "test set to predict")
    return list(sets.values()), skipped
