"""Virtual KITTI 2: https://europe.naverlabs.com/research/computer-vision/proxy-virtual-worlds-vkitti-2.

Tree and format are described on that page; see `reader.formats.vkitti_png` for the flow.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import ClassVar

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
from maskflownet.reader.formats.vkitti_png import read_vkitti_png

_CAMERAS = {"left": "Camera_0", "right": "Camera_1"}
_FLOWS = {"into_future": ("forwardFlow", 1), "into_past": ("backwardFlow", -1)}
_HELD_OUT = "Scene06"


class VirtualKitti2(FileDataset):
    """Virtual KITTI 2, five drives in ten variations (clone, fog, rain, ...) of 1242x375; BGR.

    The sky has no ground truth. The publishers name no validation split; here it is Scene06. Each
    archive may also have been unpacked into a folder of its name, such as `vkitti_2.0.3_rgb/`::

        VirtualKITTI2/
            Scene01/                        Scene02, Scene06, Scene18, Scene20
                clone/                      fog, rain, 15-deg-left, ...
                    frames/
                        rgb/
                            Camera_0/       and Camera_1/
                                rgb_00000.jpg
                        forwardFlow/        to the next frame
                            Camera_0/
                                flow_00000.png
                        backwardFlow/       to the frame before; may be absent
                            Camera_0/
                                flow_00001.png

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders, as `config.load_paths` gives them.
    split : str
        "train", "valid" or "all".
    cameras : sequence of str
        Of "left", "right".
    directions : sequence of str
        Of "into_future", "into_past"; one that was not unpacked is left out.
    """

    evaluations: ClassVar = {"validation": ("valid", {})}

    def __init__(
        self,
        paths: Paths,
        split: str,
        cameras: Sequence[str] = ("left", "right"),
        directions: Sequence[str] = ("into_future", "into_past"),
    ):
        root = root_of("vkitti2", paths)
        pairs = (
            pair
            for direction, camera in product(directions, cameras)
            for pair in _pairs(root, split, *_FLOWS[direction], _CAMERAS[camera])
        )
        super().__init__(root, pairs)

    @classmethod
    def options(cls, config: DatasetConfig) -> dict:
        """Return what a dataset config says of cameras and directions."""
        return {"cameras": config.cameras, "directions": config.directions}

    def read_truth(self, files: PairFiles) -> tuple[np.ndarray, np.ndarray]:
        """Return flow and mask of a pair, which are not stored as KITTI's are."""
        return read_vkitti_png(files.flow)


def _unpacked(root: Path, kind: str) -> Path:
    """Return the folder that the archive of a kind of files was unpacked into."""
    own = root / f"vkitti_2.0.3_{kind}"
    return own if own.is_dir() else root


def _pairs(root: Path, split: str, kind: str, step: int, camera: str) -> Iterator[PairFiles]:
    """Yield the files of the pairs of one camera, with the flow of one kind."""
    images, flows = _unpacked(root, "rgb"), _unpacked(root, kind)
    scenes = [s for s in names_in(flows, r"Scene\d\d") if in_split(s == _HELD_OUT, split)]
    for drive in (f"{scene}/{name}" for scene in scenes for name in names_in(flows / scene)):
        folder = f"{flows}/{drive}/frames/{kind}/{camera}"
        for name in names_in(folder, r"flow_\d{5}\.png"):
            number = int(name[5:10])
            other = number + step
            rgb = f"{images}/{drive}/frames/rgb/{camera}"
            image1, image2 = (f"{rgb}/rgb_{n:05d}.jpg" for n in (number, other))
            label = f"{drive}/{camera}/{number:05d}-{other:05d}"
            yield PairFiles(label, image1, image2, f"{folder}/{name}")
