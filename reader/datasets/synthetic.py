"""Generated scenes as a dataset."""

from collections.abc import Sequence

from maskflownet.config import DatasetConfig, InputError
from maskflownet.config.checks import Where, from_mapping
from maskflownet.reader.arrays import in_order
from maskflownet.reader.datasets.base import FlowDataset, Paths
from maskflownet.reader.synthetic import SceneConfig, check_size, generate


class Synthetic(FlowDataset):
    """Scenes first, first + 1, ... of a seed, made when they are asked for.

    Parameters
    ----------
    seed : int
        Scene i of a seed is always the same.
    scenes : range
        Which scenes.
    size_hw : tuple of int
        (height, width) of the images.
    scene_config : reader.synthetic.SceneConfig
        What they look like.
    """

    def __init__(
        self, seed: int, scenes: Sequence[int], size_hw: tuple[int, int], scene_config: SceneConfig
    ):
        self.seed = seed
        self.scenes = scenes
        self.size_hw = size_hw
        self.scene_config = scene_config

    @classmethod
    def from_config(cls, config: DatasetConfig, split: str, paths: Paths) -> FlowDataset:
        """Make the scenes of a split that a config describes; they need no folder."""
        del paths
        settings = config.synthetic
        total = settings.pairs + settings.valid_pairs
        scenes = {
            "train": range(settings.pairs),
            "valid": range(settings.pairs, total),
            "all": range(total),
        }[split]
        return cls(settings.seed, scenes, *appearance(config, validation=split == "valid"))

    def __len__(self):
        return len(self.scenes)

    @property
    def names(self) -> list[str]:
        """What each scene is called; made anew, for it is needed rarely."""
        return [f"synthetic/{self.seed}/{scene}" for scene in self.scenes]

    def __getitem__(self, index):
        scene = self.scenes[index]
        sample = generate(self.seed, scene, self.size_hw, self.scene_config)
        order = self.color_order.lower()
        return sample._replace(
            image1=in_order(sample.image1, order),
            image2=in_order(sample.image2, order),
            name=f"synthetic/{self.seed}/{scene}",
        )


def appearance(config: DatasetConfig, validation: bool) -> tuple[tuple[int, int], SceneConfig]:
    """Return size (height, width) and settings of the scenes that a dataset config gives.

    Parameters
    ----------
    config : DatasetConfig
    validation : bool
        Whether of the scenes for validation, which may look different.

    Raises
    ------
    InputError
        For a size that no scene can have, an unknown setting or a value that does not fit.
    """
    settings, where = config.synthetic, Where(config.path)
    size, size_key = settings.size, "size"
    scene = from_mapping(SceneConfig, settings.scene, where.below("synthetic.scene"))
    if validation:
        if settings.valid_size is not None:
            size, size_key = settings.valid_size, "valid_size"
        merged = settings.scene | settings.valid_scene
        scene = from_mapping(SceneConfig, merged, where.below("synthetic.valid_scene"))
    try:
        check_size(size, size_key)
    except InputError as error:
        raise InputError(f"{config.path}: {error}") from error
    return size, scene
