"""A person's own data: pairs named in a list file, or folders of frames with flow beside."""

import logging
import os
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

from maskflownet.config import DatasetConfig, InputError, MissingDataError
from maskflownet.reader.datasets import FlowDataset
from maskflownet.reader.datasets.base import (
    FileDataset,
    PairFiles,
    Paths,
    complete_pairs,
    names_in,
)
from maskflownet.reader.flow_files import FLOW_SUFFIXES
from maskflownet.reader.listing import is_image, natural_key, number_step, read_list

logger = logging.getLogger(__name__)

# Not .png: those are the frames.
_FLOW_SUFFIXES = tuple(suffix for suffix in FLOW_SUFFIXES if suffix != ".png")


class OwnDataset(FileDataset):
    """What lists and folders have in common: a config names them per split, or a share of one.

    Attributes
    ----------
    kind : str
        "list" or "folder", as it ends the config's keys.
    """

    kind: ClassVar[str]

    @classmethod
    def from_config(cls, config: DatasetConfig, split: str, paths: Paths) -> FlowDataset:
        """Make the dataset of a split: what is named for it, or its share of the training data.

        Raises
        ------
        InputError
            The config names no data for the split, or there is one pair and nothing to share.
        """
        del paths
        given = {part: getattr(config, f"{part}_{cls.kind}") for part in ("train", "valid")}
        shared = config.valid_share is not None
        if split == "all":
            wanted = [part for part, path in given.items() if path] or ["train"]
        else:
            wanted = ["train"] if shared else [split]
        for part in wanted:
            if given[part] is None:
                raise InputError(
                    f"{config.path}: expected {part}_{cls.kind}, which names the data for this; "
                    "got none"
                )
        made: Any = cls
        dataset = made([given[part] for part in wanted])
        if shared and split != "all":
            dataset.keep(split, config.valid_share)
        return dataset

    def keep(self, split: str, valid_share: float) -> None:
        """Keep the pairs of one split: the last ones are for validation.

        The last, not every so many-th: neighbours in a video are too alike to be a test.
        """
        if len(self.pairs) < 2:
            raise InputError(
                f"{self.names[0]}: expected two pairs or more to keep some for validation "
                "(valid_share), got one"
            )
        held_out = min(max(round(valid_share * len(self.pairs)), 1), len(self.pairs) - 1)
        self.pairs = self.pairs[-held_out:] if split == "valid" else self.pairs[:-held_out]
        self.names = [pair.name for pair in self.pairs]


class ListDataset(OwnDataset):
    """The pairs that text files list; BGR.

    Each line is `image1 image2 flow [valid]`, as `reader.listing.read_list` reads it; paths are
    taken from the folder of the list. Flow may be of any format of reader.flow_files; `valid` is a
    picture, not black where the flow is known.

    Parameters
    ----------
    list_files : sequence of pathlib.Path
        The text files.

    Raises
    ------
    InputError
        For a line that is no such thing.
    MissingDataError
        For a list, or a file in it, that is not there.
    """

    kind = "list"

    def __init__(self, list_files: Sequence[Path]):
        where = " and ".join(map(str, list_files))
        top = _common_folder(path.parent for path in list_files)
        listed = [pair for path in list_files for pair in _listed(path, top)]
        _, missing = complete_pairs(files for _, files in listed)
        if missing:
            line = next(place for place, files in listed if missing in files.paths())
            raise MissingDataError(f"{line}: {missing} is listed and missing")
        super().__init__(where, (files for _, files in listed))


def _common_folder(folders):
    """Return the folder that holds all of these, so that paths from there are short and unique."""
    return os.path.commonpath([folder.absolute() for folder in folders])


def _listed(list_file, top):
    """Yield place ("pairs.txt:3") and files of the pairs that a list file names.

    Pairs are named by file and line.
    """
    list_name = os.path.relpath(list_file, top)
    for number, words in read_list(list_file, (3, 4), "image1 image2 flow [valid]"):
        paths = (os.fspath(list_file.parent / word) for word in words)
        pair = PairFiles(f"{list_name}:{number} {words[0]}", *paths)
        yield f"{list_file}:{number}", pair


class FolderDataset(OwnDataset):
    """Folders of frames with the flow to the next frame beside them; BGR.

    In each folder the frames are a sequence in the order of their names, numbers by value. A frame
    without flow, as the last one, starts no pair. Nor does one whose next frame is missing, which
    the numbers of the other frames and flow files tell; a warning names it::

        FOLDER/
            walk/                           or in FOLDER itself; symbolic links are followed
                0001.png                    any image format, suffixes in any case
                0001.flo                    or .pfm, .npy, .npz, .flo5: from this frame to the next
                0002.png

    Parameters
    ----------
    folders : sequence of pathlib.Path
        Where to look, folders inside them too.
    """

    kind = "folder"

    def __init__(self, folders: Sequence[Path]):
        for folder in folders:
            if not folder.is_dir():
                raise MissingDataError(f"{folder}: this folder of frames is missing")
        top = _common_folder(folders)
        sequences = [_Sequence(inside) for folder in folders for inside in _folders_in(folder)]
        pairs = (files for sequence in sequences for files in sequence.pairs(top))
        where = " and ".join(map(str, folders))
        super().__init__(where, pairs)
        alone = [path for sequence in sequences for path in sequence.alone]
        if alone:
            logger.warning(
                "%s: %d flow files make no pair, since their own or the next frame is missing; the "
                "first is %s",
                *(where, len(alone), min(alone)),
            )


def _folders_in(folder: Path) -> Iterator[str]:
    """Yield a folder and those inside it, in order, each once however it is linked."""
    seen = set()
    for inside, folders, _ in os.walk(folder, followlinks=True):
        real = os.path.realpath(inside)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        yield inside


class _Sequence:
    """The frames and flow files of one folder.

    Attributes
    ----------
    alone : list of str
        The flow files that make no pair, once all pairs have been taken.
    """

    def __init__(self, folder: str):
        self._folder = folder
        names = [name for name in names_in(folder) if not name.startswith(".")]
        images = [name for name in names if is_image(name)]
        self._images = sorted(images, key=natural_key)
        flows = [name for suffix in _FLOW_SUFFIXES for name in names if _suffix(name) == suffix]
        self._flows = {Path(name).stem: name for name in reversed(flows)}
        self._step = _smallest_step({*map(_stem, images), *self._flows})
        self.alone = []

    def pairs(self, top: str) -> Iterator[PairFiles]:
        """Yield the files of each pair, named by the path from `top`."""
        stems = {*map(_stem, self._images)}
        for one, other in pairwise(sorted(self._images, key=_stem)):
            if self._flows and _stem(one) == _stem(other):
                raise InputError(
                    f"{self._folder}: expected one image of each frame, got {one} and {other}; "
                    "move one of them away"
                )
        self.alone = [f"{self._folder}/{self._flows[stem]}" for stem in self._flows.keys() - stems]
        followers = dict(pairwise(self._images))
        for first in self._images:
            flow = self._flows.get(_stem(first))
            if flow is None:
                continue
            second = followers.get(first)
            if second is None or not self._follows(_stem(first), _stem(second)):
                self.alone.append(f"{self._folder}/{flow}")
                continue
            name = os.path.relpath(f"{self._folder}/{first}", top)
            yield PairFiles(name, *(f"{self._folder}/{file}" for file in (first, second, flow)))

    def _follows(self, first, second):
        """Return whether no frame is missing between two, as far as their names tell."""
        step = number_step(first, second)
        # Times as names vary a little.
        return self._step is None or (step is not None and step < 1.5 * self._step)


def _smallest_step(stems):
    """Return the least by which the one number in which neighbours differ grows, None of none."""
    in_order = sorted(stems, key=natural_key)
    steps = [number_step(*pair) for pair in pairwise(in_order)]
    return min((step for step in steps if step), default=None)


def _stem(name):
    return Path(name).stem


def _suffix(name):
    return Path(name).suffix.lower()
