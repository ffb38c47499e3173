"""The published sets by name: those that are evaluated on, and those that there can be."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from maskflownet.config import load_paths
from maskflownet.reader.datasets import chairs, sintel
from maskflownet.reader.datasets.base import FlowDataset, open_sets
from maskflownet.reader.datasets.chairs import FlyingChairs
from maskflownet.reader.datasets.hd1k import HD1K
from maskflownet.reader.datasets.kitti import YEARS, Kitti
from maskflownet.reader.datasets.sintel import Sintel
from maskflownet.reader.datasets.things3d import FlyingThings3D

Paths = Mapping[str, Path | None]


class PublishedSet(NamedTuple):
    """A published set.

    Attributes
    ----------
    dataset : str
        The dataset under whose root it lies.
    open : callable
        From the roots to the FlowDataset; MissingDataError where it is not there.
    expected : int or None
        How many pairs there are, where that is known.
    """

    dataset: str
    open: Callable[[Paths], FlowDataset]
    expected: int | None = None


def _chairs(split):
    return PublishedSet(
        "chairs", lambda paths: FlyingChairs(paths, split), chairs.SPLIT_PAIRS[split]
    )


def _things3d(render):
    cameras, directions = ("left", "right"), ("into_future", "into_past")
    return PublishedSet(
        "things3d", lambda paths: FlyingThings3D(paths, "train", (render,), cameras, directions)
    )


def _sintel(split, render):
    pairs = sintel.SPLIT_PAIRS[split]
    return PublishedSet("sintel", lambda paths: Sintel(paths, split, (render,)), pairs)


def _kitti(year):
    return PublishedSet("kitti", lambda paths: Kitti(paths, "all", (year,)), YEARS[year].pairs)


# Everything with ground truth, once.
PUBLISHED = {
    "chairs": _chairs("all"),
    "things3d.clean": _things3d("clean"),
    "things3d.final": _things3d("final"),
    "sintel.clean": _sintel("all", "clean"),
    "sintel.final": _sintel("all", "final"),
    "kitti.2012": _kitti(2012),
    "kitti.2015": _kitti(2015),
    "hd1k": PublishedSet("hd1k", lambda paths: HD1K(paths, "all")),
}

# What results are published on, under the names of the original's logs.
EVALUATION = {
    "chairs.validation": _chairs("valid"),
    "sintel.training.clean": _sintel("all", "clean"),
    "sintel.training.final": _sintel("all", "final"),
    "sintel.training2.clean": _sintel("valid", "clean"),
    "sintel.training2.final": _sintel("valid", "final"),
    "kitti.2012": _kitti(2012),
    "kitti.2015": _kitti(2015),
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
        Name and dataset, such as "sintel.training2.clean": whatever is there of FlyingChairs
        (validation split), Sintel (all of it, and the validation sequences; both passes), KITTI
        2012 and 2015.
    skipped : list of (str, str)
        Name and reason, which says how to set the root.

    Raises
    ------
    MissingDataError
        Where a root that is set is no folder, or where there is nothing to evaluate on.
    """
    paths = load_paths() if paths is None else paths
    openers = {name: (published.dataset, published.open) for name, published in EVALUATION.items()}
    sets, skipped = open_sets(openers, paths, "dataset to evaluate on")
    return list(sets.items()), skipped
