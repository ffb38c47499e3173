"""FlyingChairs: https://lmb.informatik.uni-freiburg.de/resources/datasets/FlyingChairs.en.html."""

from pathlib import Path
from typing import ClassVar

from maskflownet.config import InputError
from maskflownet.reader.datasets.base import FileDataset, PairFiles, Paths, root_of

SPLIT_FILE = "FlyingChairs_train_val.txt"
SPLIT_PAIRS = {"train": 22232, "valid": 640, "all": 22872}
_MARKS = {"train": "1", "valid": "2"}


class FlyingChairs(FileDataset):
    """FlyingChairs, 22,872 pairs of 512x384, 640 of them for validation; RGB.

    A copy of some of the pairs serves too: line k of the split file belongs to pair k, and pairs
    that are not there are left out::

        FlyingChairs_release/
            FlyingChairs_train_val.txt      a line per pair: 1 for training, 2 for validation
            data/
                00001_img1.ppm
                00001_img2.ppm
                00001_flow.flo

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders, as `config.load_paths` gives them.
    split : str
        "train", "valid" or "all".
    """

    color_order = "RGB"
    evaluations: ClassVar = {"validation": ("valid", {})}

    def __init__(self, paths: Paths, split: str):
        root = root_of("chairs", paths, "data", SPLIT_FILE)
        numbers = _numbers(root / SPLIT_FILE, split)
        pairs = (_files(root / "data", number) for number in numbers)
        super().__init__(root, pairs, self.expected_pairs(split))

    @classmethod
    def expected_pairs(cls, split: str) -> int | None:
        """Return how many pairs were published."""
        return SPLIT_PAIRS[split]


def _files(folder, number):
    """Return the files of pair `number`, from 1."""
    start = f"{folder}/{number:05d}"
    name = f"{number:05d}"
    return PairFiles(name, f"{start}_img1.ppm", f"{start}_img2.ppm", f"{start}_flow.flo")


def _numbers(split_file: Path, split: str):
    """Return the numbers, from 1, of the pairs of a split."""
    marks = split_file.read_text(encoding="utf-8", errors="replace").split()
    for line, mark in enumerate(marks, 1):
        if mark not in _MARKS.values():
            raise InputError(
                f"{split_file}: line {line}: expected 1 (training) or 2 (validation), got {mark!r}"
            )
    if split == "all":
        return range(1, SPLIT_PAIRS["all"] + 1)
    return [number for number, mark in enumerate(marks, 1) if mark == _MARKS[split]]
