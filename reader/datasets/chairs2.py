"""FlyingChairs2: https://lmb.informatik.uni-freiburg.de/resources/datasets/FlyingChairs.en.html."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from maskflownet.config import DatasetConfig
from maskflownet.reader.datasets.base import FileDataset, PairFiles, Paths, names_in, root_of

_PARTS = {"train": ("train",), "valid": ("val",), "all": ("train", "val")}
_PAIRS = {"train": 22232, "valid": 640, "all": 22872}  # of each direction
_ENDS = {"into_future": ("0", "1"), "into_past": ("1", "0")}


class FlyingChairs2(FileDataset):
    """FlyingChairs2, 22,872 pairs of 512x384 with flow both ways and occlusions, 640 in val/; BGR.

    An occlusion map may be absent; it is white where a pixel is not seen in the other image::

        FlyingChairs2/
            train/                          and val/, for validation
                0000000-img_0.png
                0000000-img_1.png
                0000000-flow_01.flo         from image 0 to image 1; and flow_10
                0000000-occ_01.png          of image 0; and occ_10, of image 1

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders, as `config.load_paths` gives them.
    split : str
        "train", "valid" or "all".
    directions : sequence of str
        Of "into_future" (from image 0 to 1) and "into_past".
    """

    evaluations: ClassVar = {"validation": ("valid", {"directions": ("into_future",)})}

    def __init__(
        self, paths: Paths, split: str, directions: Sequence[Any] = ("into_future", "into_past")
    ):
        root = root_of("chairs2", paths, *_PARTS[split])
        pairs = (
            pair
            for part in _PARTS[split]
            for direction in directions
            for pair in _pairs(root / part, *_ENDS[direction])
        )
        super().__init__(root, pairs, self.expected_pairs(split, directions))

    @classmethod
    def options(cls, config: DatasetConfig) -> dict:
        """Return what a dataset config says of directions."""
        return {"directions": config.directions}

    @classmethod
    def expected_pairs(cls, split: str, directions: Sequence[Any] = (1, 2)) -> int | None:
        """Return how many pairs were published."""
        return _PAIRS[split] * len(directions)


def _pairs(folder: Path, first: str, second: str) -> Iterator[PairFiles]:
    """Yield the files of the pairs of one folder and direction."""
    ends = f"{first}{second}"
    occlusions = set(names_in(folder, rf".*-occ_{ends}\.png"))
    for name in names_in(folder, rf"\d+-flow_{ends}\.flo"):
        stem = name.partition("-")[0]
        occlusion = f"{stem}-occ_{ends}.png"
        yield PairFiles(
            f"{folder.name}/{stem}-{ends}",
            f"{folder}/{stem}-img_{first}.png",
            f"{folder}/{stem}-img_{second}.png",
            f"{folder}/{name}",
            occlusion=f"{folder}/{occlusion}" if occlusion in occlusions else None,
        )
