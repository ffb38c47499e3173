"""FlyingThings3D subset: https://lmb.informatik.uni-freiburg.de/resources/datasets/SceneFlowDatasets.en.html."""

from collections.abc import Sequence
from itertools import product
from typing import ClassVar

from maskflownet.config import DatasetConfig
from maskflownet.reader.datasets.base import (
    FileDataset,
    PairFiles,
    Paths,
    names_in,
    render_passes,
    root_of,
)

_FOLDERS = {"train": ("train",), "valid": ("val",), "all": ("train", "val")}
_STEPS = {"into_future": 1, "into_past": -1}


class FlyingThings3D(FileDataset):
    """FlyingThings3D subset, pairs of 960x540; BGR.

    Flow into the past pairs a frame with the one before it. Every flow file is a pair. A copy
    without `val/` serves for training, without validation::

        FlyingThings3D_subset/
            train/                          and val/, for validation
                image_clean/                and image_final/
                    left/                   and right/
                        0000000.png
                flow/
                    left/                   and right/
                        into_future/        and into_past/
                            0000000.flo

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders, as `config.load_paths` gives them.
    split : str
        "train", "valid" or "all".
    passes : sequence of str
        Of "clean", "final".
    cameras : sequence of str
        Of "left", "right".
    directions : sequence of str
        Of "into_future", "into_past".
    """

    # Without val/, which may be absent.
    sets: ClassVar = {r: ("train", {"passes": (r,)}) for r in ("clean", "final")}

    def __init__(
        self,
        paths: Paths,
        split: str,
        passes: Sequence[str],
        cameras: Sequence[str] = ("left", "right"),
        directions: Sequence[str] = ("into_future", "into_past"),
    ):
        pairs = []
        for part, camera, direction, render in product(
            _FOLDERS[split], cameras, directions, passes
        ):
            flows = f"{part}/flow/{camera}/{direction}"
            images = f"{part}/image_{render}/{camera}"
            root = root_of("things3d", paths, flows, images)
            pairs += _pairs(root, images, flows, _STEPS[direction])
        super().__init__(root, pairs)

    @classmethod
    def options(cls, config: DatasetConfig) -> dict:
        """Return what a dataset config says of passes, cameras and directions."""
        return {
            "passes": render_passes(config),
            "cameras": config.cameras,
            "directions": config.directions,
        }


def _pairs(root, images, flows, step):
    """Yield the files of the pairs of one folder of images and one of flow."""
    for name in names_in(root / flows, r"\d{7}\.flo"):
        stem = name.removesuffix(".flo")
        other = f"{int(stem) + step:07d}"
        yield PairFiles(
            f"{images}/{stem}-{other}",
            f"{root}/{images}/{stem}.png",
            f"{root}/{images}/{other}.png",
            f"{root}/{flows}/{name}",
        )
