"""Spring: https://spring-benchmark.org.

The tree, the neighbours of a frame and the ground truth at the images' size are those of the
authors' own loader: SpringFlowDataset in dataloader.py of
https://github.com/cv-stuttgart/spring_utils.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, ClassVar

import numpy as np

from maskflownet.config import DatasetConfig
from maskflownet.reader.datasets.base import (
    FileDataset,
    PairFiles,
    Paths,
    in_split,
    names_in,
    root_of,
)
from maskflownet.reader.flow_files import read_flow

_PAIRS = 4963  # of each camera and direction in the training half: 19,852 of all four
_NAMES = {"into_future": ("FW", 1), "into_past": ("BW", -1)}
_HELD_OUT_EVERY = 10


class Spring(FileDataset):
    """The training half of Spring, pairs of 1920x1080; BGR.

    The flow is stored at twice the images' height and width, in pixels of the images. As in the
    authors' loader the value at every second row and column counts, for training and for figures;
    their server, which alone knows the test half's truth, compares in its own way. The sky has no
    ground truth. The authors name no validation split; here it is every tenth scene::

        spring/
            train/
                0001/
                    frame_left/             and frame_right/
                        frame_left_0001.png
                    flow_FW_left/           to the next frame; and flow_FW_right/
                        flow_FW_left_0001.flo5
                    flow_BW_left/           to the frame before; and flow_BW_right/
                        flow_BW_left_0002.flo5

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders, as `config.load_paths` gives them.
    split : str
        "train", "valid" or "all".
    cameras : sequence of str
        Of "left", "right".
    directions : sequence of str
        Of "into_future", "into_past".
    """

    evaluations: ClassVar = {"validation": ("valid", {})}

    def __init__(
        self,
        paths: Paths,
        split: str,
        cameras: Sequence[Any] = ("left", "right"),
        directions: Sequence[Any] = ("into_future", "into_past"),
    ):
        root = root_of("spring", paths, "train")
        scenes = names_in(root / "train", r"\d{4}")
        scenes = [s for s in scenes if in_split(int(s) % _HELD_OUT_EVERY == 0, split)]
        pairs = (
            pair
            for camera, direction, scene in product(cameras, directions, scenes)
            for pair in _pairs(f"{root}/train/{scene}", camera, direction)
        )
        super().__init__(root, pairs, self.expected_pairs(split, cameras, directions))

    @classmethod
    def options(cls, config: DatasetConfig) -> dict:
        """Return what a dataset config says of cameras and directions."""
        return {"cameras": config.cameras, "directions": config.directions}

    @classmethod
    def expected_pairs(
        cls, split: str, cameras: Sequence[Any] = (1, 2), directions: Sequence[Any] = (1, 2)
    ) -> int | None:
        """Return how many pairs the whole training half has."""
        return _PAIRS * len(cameras) * len(directions) if split == "all" else None

    def read_truth(self, files: PairFiles) -> tuple[np.ndarray, np.ndarray]:
        """Return flow and mask at the images' size: every second value of what is stored."""
        flow, valid = read_flow(files.flow)
        return np.ascontiguousarray(flow[::2, ::2]), np.ascontiguousarray(valid[::2, ::2])


def _pairs(scene: str, camera: str, direction: str) -> Iterator[PairFiles]:
    """Yield the files of the pairs of one camera of a scene, forward or backward in time."""
    short, step = _NAMES[direction]
    stem = f"flow_{short}_{camera}"
    for name in names_in(f"{scene}/{stem}", rf"{stem}_\d{{4}}\.flo5"):
        number = int(name.removesuffix(".flo5").rsplit("_", 1)[1])
        other = number + step
        image1, image2 = (
            f"{scene}/frame_{camera}/frame_{camera}_{n:04d}.png" for n in (number, other)
        )
        label = f"{'/'.join(scene.split('/')[-2:])}/{camera}/{number:04d}-{other:04d}"
        yield PairFiles(label, image1, image2, f"{scene}/{stem}/{name}")
