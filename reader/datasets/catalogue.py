"""From a dataset's name to its class, and to the parts of it that are listed and evaluated.

The names are those of `config.registry`; what a name stands for is in the class that it names.
"""

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from maskflownet.config import DatasetConfig, load_paths
from maskflownet.config.registry import DATASETS, DatasetEntry
from maskflownet.reader.datasets.base import FlowDataset, open_sets
from maskflownet.reader.datasets.hd1k import HD1K
from maskflownet.reader.datasets.kitti import Kitti
from maskflownet.reader.datasets.mixture import Mixture

Paths = Mapping[str, Path | None]


class PublishedSet(NamedTuple):
    """A part of a published dataset.

    Attributes
    ----------
    roots : tuple of str
        The names of the roots under which it may lie.
    open : callable
        From the roots to the FlowDataset; MissingDataError where it is not there.
    expected : int or None
        How many pairs there are, where that is known.
    absent : callable
        From the roots to words for it where it need not be there, else to None.
    """

    roots: tuple[str, ...]
    open: Callable[[Paths], FlowDataset]
    expected: int | None
    absent: Callable[[Paths], str | None]


def dataset_class(name: str) -> type[FlowDataset]:
    """Return the class of a dataset of `config.registry`."""
    module, _, reader = DATASETS[name].reader.partition(".")
    return getattr(import_module(f"{__package__}.{module}"), reader)


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
    dataset = dataset_class(config.dataset).from_config(config, split, paths)
    mixed_in = 0 if validating else config.kitti + config.hd1k
    parts = [(dataset, config.batch - mixed_in)]
    if mixed_in and config.kitti:
        parts.append((Kitti(paths, split, (2015,), "occ", config.resize_shape), config.kitti))
    if mixed_in and config.hd1k:
        # Nothing is validated on HD1K here, so nothing of it need be held out.
        parts.append((HD1K(paths, "all", config.resize_shape), config.hd1k))
    for part, _ in parts:
        part.color_order = config.color_order or part.color_order
    return Mixture(parts) if mixed_in else dataset


def published_sets() -> dict[str, PublishedSet]:
    """Return everything with ground truth, once, by name, such as "sintel.clean"."""
    return {
        name: one
        for entry in DATASETS.values()
        if entry.roots
        for name, one in _sets(entry, dataset_class(entry.name).sets)
    }


def evaluation_sets(
    paths: Paths | None = None,
) -> tuple[list[tuple[str, FlowDataset]], list[tuple[str, str]]]:
    """Return the sets to evaluate on, and those that are left out.

    Parameters
    ----------
    paths : mapping, optional
        Dataset names to root folders; by default what `config.load_paths` gives.

    Returns
    -------
    sets : list of (str, FlowDataset)
        Name and dataset, such as "sintel.training2.clean", of what is there: what results are
        published on, under the names of the original's logs, and of the other datasets the part
        for validation.
    skipped : list of (str, str)
        Name and reason, which says how to set the root.

    Raises
    ------
    MissingDataError
        Where a root that is set is no folder, or where there is nothing to evaluate on.
    """
    paths = load_paths() if paths is None else paths
    openers = {
        name: (one.roots, one.open)
        for entry in DATASETS.values()
        if entry.roots
        for name, one in _sets(entry, dataset_class(entry.name).evaluations)
    }
    remedy = "or add --dataset_cfg synthetic, whose generated scenes need no folder"
    sets, skipped = open_sets(openers, paths, "dataset to evaluate on", remedy)
    return list(sets.items()), skipped


def dataset_table() -> str:
    """Return the table of docs/datasets.md, in Markdown: what there is, and where it lies."""
    rows = [
        ("Name", "Dataset", "Its folder holds", "Pairs with ground truth", "Colour order"),
        ("---",) * 5,
    ]
    for entry in DATASETS.values():
        if entry.roots:
            order = dataset_class(entry.name).color_order
            rows.append((f"`{entry.name}`", entry.title, entry.holds, entry.pairs, order))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _sets(entry: DatasetEntry, parts: Mapping[str, tuple[str, Mapping]]):
    """Yield name and PublishedSet of each part of a dataset."""
    reader: Any = dataset_class(entry.name)
    for suffix, (split, options) in parts.items():
        yield (
            f"{entry.name}.{suffix}" if suffix else entry.name,
            PublishedSet(
                entry.roots,
                partial(reader, split=split, **options),
                reader.expected_pairs(split, **options),
                partial(reader.absent, **options),
            ),
        )
