"""Datasets of image pairs with ground truth; `make_dataset` is the front door."""

from collections.abc import Mapping
from pathlib import Path

from maskflownet.config import DatasetConfig, InputError, load_paths
from maskflownet.reader.datasets.base import FlowDataset
from maskflownet.reader.datasets.catalogue import PUBLISHED, evaluation_sets
from maskflownet.reader.datasets.chairs import FlyingChairs
from maskflownet.reader.datasets.hd1k import HD1K
from maskflownet.reader.datasets.kitti import Kitti
from maskflownet.reader.datasets.lists import FolderDataset, ListDataset
from maskflownet.reader.datasets.mixture import Mixture
from maskflownet.reader.datasets.sintel import Sintel
from maskflownet.reader.datasets.synthetic import Synthetic, appearance
from maskflownet.reader.datasets.things3d import FlyingThings3D

__all__ = ["PUBLISHED", "FlowDataset", "evaluation_sets", "make_dataset"]

Paths = Mapping[str, Path | None]
PASSES = {"clean": ("clean",), "final": ("final",), "mixed": ("clean", "final")}


def make_dataset(config: DatasetConfig, split: str, paths: Paths | None = None) -> FlowDataset:
    """Make the dataset that a config describes.

    Parameters
    ----------
    config : DatasetConfig
        As `config.load_dataset_config` gives it.
    split : str
        "train", "valid" or "all"; "train" is "all" where the config has train_all. Validation is
        on the config's `dataset` alone, also where KITTI and HD1K are mixed in for training.
    paths : mapping, optional
        Dataset names to root folders; by default what `config.load_paths` gives.

    Returns
    -------
    FlowDataset
        A Mixture where the config has pairs of KITTI or HD1K in each batch and `split` is not
        "valid".

    Raises
    ------
    InputError
        Where the config names no data for this split.
    MissingDataError
        Where the data is not there; the message says how to set its place.
    """
    paths = load_paths() if paths is None else paths
    validating = split == "valid"
    if split == "train" and config.train_all:
        split = "all"
    dataset = _MAKERS[config.dataset](config, split, paths)
    mixed_in = config.kitti + config.hd1k
    if validating or not mixed_in:
        return dataset
    parts = [(dataset, config.batch - mixed_in)]
    if config.kitti:
        parts.append((Kitti(paths, split, (2015,), "occ", config.resize_shape), config.kitti))
    if config.hd1k:
        # Nothing is validated on HD1K here, so nothing of it need be held out.
        parts.append((HD1K(paths, "all", config.resize_shape), config.hd1k))
    return Mixture(parts)


def _things3d(config, split, paths):
    passes = PASSES[config.sub_type]
    return FlyingThings3D(paths, split, passes, config.cameras, config.directions)


def _kitti(config, split, paths):
    return Kitti(paths, split, config.years, config.ground_truth, config.resize_shape)


def _list(config, split, paths):
    del paths
    return ListDataset(_own(config, split, "list"))


def _folder(config, split, paths):
    del paths
    return FolderDataset(_own(config, split, "folder"))


def _own(config, split, kind):
    """Return the lists or folders of a person's own data for a split."""
    given = {part: getattr(config, f"{part}_{kind}") for part in ("train", "valid")}
    wanted = {"all": [part for part, path in given.items() if path]}.get(split, [split])
    for part in wanted or ["train"]:
        if given[part] is None:
            raise InputError(
                f"{config.path}: expected {part}_{kind}, which names the data for this; got none"
            )
    return [given[part] for part in wanted]


def _synthetic(config, split, paths):
    del paths
    settings = config.synthetic
    total = settings.pairs + settings.valid_pairs
    scenes = {
        "train": range(settings.pairs),
        "valid": range(settings.pairs, total),
        "all": range(total),
    }[split]
    return Synthetic(settings.seed, scenes, *appearance(config, validation=split == "valid"))


_MAKERS = {
    "chairs": lambda config, split, paths: FlyingChairs(paths, split),
    "things3d": _things3d,
    "sintel": lambda config, split, paths: Sintel(paths, split, PASSES[config.sub_type]),
    "kitti": _kitti,
    "hd1k": lambda config, split, paths: HD1K(paths, split, config.resize_shape),
    "list": _list,
    "folder": _folder,
    "synthetic": _synthetic,
}
