"""Middlebury's two-frame sequences with public ground truth: https://vision.middlebury.edu/flow/data.

Values above 1e9 mark unknown flow: README.txt of https://vision.middlebury.edu/flow/code/flow-code/.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from maskflownet.reader.datasets.base import (
    FileDataset,
    PairFiles,
    Paths,
    in_split,
    names_in,
    root_of,
)

_FLOWS = "other-gt-flow"
_IMAGES = ("other-data", "other-data-gray")
_PAIRS = {"train": 6, "valid": 2, "all": 8}
_HELD_OUT = ("RubberWhale", "Urban3")


class Middlebury(FileDataset):
    """The eight public pairs of Middlebury, from 420x380 to 640x480; BGR.

    They serve for evaluation above all. Validation is on RubberWhale and Urban3::

        Middlebury/
            other-data/                     or other-data-gray/
                Dimetrodon/
                    frame10.png
                    frame11.png
            other-gt-flow/
                Dimetrodon/
                    flow10.flo

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders, as `config.load_paths` gives them.
    split : str
        "train", "valid" or "all".
    """

    evaluations: ClassVar = {"": ("all", {})}

    def __init__(self, paths: Paths, split: str):
        root = root_of("middlebury", paths, _FLOWS)
        images = next((name for name in _IMAGES if (root / name).is_dir()), _IMAGES[0])
        scenes = [
            scene
            for scene in names_in(root / _FLOWS, r"[^.].*")
            if in_split(scene in _HELD_OUT, split)
        ]
        super().__init__(root, _pairs(root, images, scenes), self.expected_pairs(split))

    @classmethod
    def expected_pairs(cls, split: str) -> int | None:
        """Return how many pairs were published."""
        return _PAIRS[split]


def _pairs(root: Path, images: str, scenes: list[str]) -> Iterator[PairFiles]:
    """Yield the files of each scene's pair."""
    for scene in scenes:
        image1, image2 = (f"{root}/{images}/{scene}/frame{number}.png" for number in (10, 11))
        yield PairFiles(scene, image1, image2, f"{root}/{_FLOWS}/{scene}/flow10.flo")
