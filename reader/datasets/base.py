"""What every dataset is, and the one place where pairs are read from files."""

import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from maskflownet.config import DatasetConfig, InputError, MissingDataError
from maskflownet.config.paths import PATHS_FILE, ROOT_VARIABLES
from maskflownet.reader.arrays import in_order
from maskflownet.reader.flow_files import read_flow
from maskflownet.reader.images import read_mask, read_pair
from maskflownet.reader.resizing import resize_sample
from maskflownet.reader.sample import FlowSample

Paths = Mapping[str, Path | None]
Parts = Mapping[str, tuple[str, Mapping]]


class FlowDataset(ABC):
    """Pairs of images with ground truth: `len(dataset)`, `dataset[i]` and iteration.

    Attributes
    ----------
    color_order : str
        "BGR" or "RGB", the order of the images' channels; "mixed" where the parts differ. The
        released weights were trained with it.
    sets : mapping
        What `--check` lists: what follows the dataset's name, such as "clean", to the split and
        the options (keywords of the class) of that part.
    evaluations : mapping
        What `--valid` evaluates on, in the same form.
    names : sequence of str
        What each pair is called, in the order of the pairs.
    expected : int or None
        How many pairs the published dataset has, where that is known.
    first_missing : str or None
        The first file that the published dataset has and that is not there.
    """

    color_order: str = "BGR"
    sets: ClassVar[Parts] = {"": ("all", {})}
    evaluations: ClassVar[Parts] = {}
    names: Sequence[str]
    expected: int | None = None
    first_missing: str | None = None

    @classmethod
    def from_config(cls, config: DatasetConfig, split: str, paths: Paths) -> "FlowDataset":
        """Make the dataset that a config describes, of the split "train", "valid" or "all"."""
        made: Any = cls  # each class says which options it takes
        return made(paths, split, **cls.options(config))

    @classmethod
    def options(cls, config: DatasetConfig) -> dict:
        """Return the keywords of the class that a config sets, beside paths and split."""
        del config
        return {}

    @classmethod
    def expected_pairs(cls, split: str, **options: Any) -> int | None:
        """Return how many pairs were published, None where that is not known."""
        del split, options
        return None

    @classmethod
    def absent(cls, paths: Paths, **options: Any) -> str | None:
        """Return words for a part that need not be there, None where it ought to be."""
        del paths, options
        return None

    def __len__(self):
        return len(self.names)

    @abstractmethod
    def __getitem__(self, index: int) -> FlowSample:
        """Return pair `index`."""

    def __iter__(self) -> Iterator[FlowSample]:
        return (self[index] for index in range(len(self)))

    @property
    def found(self) -> str:
        """How many pairs are there, such as "6 of 22,872"."""
        return f"{len(self):,} of {self.expected:,}" if self.expected else f"{len(self):,}"

    def index_ranges(self, batch: int) -> list[range]:
        """Return, for each pair of a batch, the indices from which it is to be drawn."""
        return [range(len(self))] * batch


class PairFiles(NamedTuple):
    """The files of one pair; text rather than Path, which takes five times the memory.

    Attributes
    ----------
    name : str
        What messages and logs call the pair.
    image1, image2, flow : str
        Paths.
    mask : str or None
        A picture that says more about where the flow is valid.
    occlusion : str or None
        A file that says where image 1 is occluded.
    """

    name: str
    image1: str
    image2: str
    flow: str
    mask: str | None = None
    occlusion: str | None = None

    def paths(self) -> list[str]:
        """Return the paths of all files of the pair."""
        return [path for path in self[1:] if path]


class FileDataset(FlowDataset):
    """A dataset that lies in files. A subclass lists them and names its colour order.

    The suffix of the flow file tells its codec (reader.flow_files). A subclass may read flow in
    another way (`read_truth`), know more about where it counts (`mask_valid`) and of occlusion
    (`read_occluded`), or change the sample (`adjust`).

    Parameters
    ----------
    where : str
        Where they lie, for messages.
    pairs : iterable of PairFiles
        All pairs that ought to be there, in order; those with a file missing are left out.
    expected : int or None
        How many pairs the published dataset has.
    resize_hw : tuple of int or None
        (height, width) to which every sample is resized.

    Raises
    ------
    MissingDataError
        Where not one pair is complete.
    """

    def __init__(
        self,
        where: str | os.PathLike,
        pairs: Iterable[PairFiles],
        expected: int | None = None,
        resize_hw: tuple[int, int] | None = None,
    ):
        self.pairs, self.first_missing = complete_pairs(pairs)
        self.expected = expected
        self.resize_hw = resize_hw
        self.names = [pair.name for pair in self.pairs]
        if not self.pairs:
            reason = f": {self.first_missing} is missing" if self.first_missing else ""
            raise MissingDataError(f"{where}: no complete pair of images with flow{reason}")

    def __getitem__(self, index):
        files = self.pairs[index]
        image1, image2 = read_pair(files.image1, files.image2)
        flow, valid = self.read_truth(files)
        check_size(files.flow, flow, files.image1, image1)
        valid = self.mask_valid(valid, files)
        occluded = self.read_occluded(files, valid) if files.occlusion else None
        images = (in_order(image, self.color_order.lower()) for image in (image1, image2))
        sample = self.adjust(FlowSample(*images, flow, valid, occluded, files.name))
        return resize_sample(sample, self.resize_hw) if self.resize_hw else sample

    def read_truth(self, files: PairFiles) -> tuple[np.ndarray, np.ndarray]:
        """Return flow and valid mask as `reader.flow_files.read_flow` does, of the images' size."""
        return read_flow(files.flow)

    def mask_valid(self, valid: np.ndarray, files: PairFiles) -> np.ndarray:
        """Return `valid` where the pair's mask is not black."""
        if not files.mask:
            return valid
        return np.where(mask_of(files.mask, files.flow, valid)[..., None], valid, np.uint8(0))

    def read_occluded(self, files: PairFiles, valid: np.ndarray) -> np.ndarray:
        """Return bool (H, W): where the pair's occlusion picture is not black."""
        return mask_of(files.occlusion, files.flow, valid)

    def adjust(self, sample: FlowSample) -> FlowSample:
        """Return the sample as the dataset wants it: unchanged, unless a subclass says more."""
        return sample


def mask_of(path: str, flow_path: str, flow: np.ndarray) -> np.ndarray:
    """Read a picture as bool (H, W), True where it is not black; it must have the flow's size."""
    mask = read_mask(path)
    check_size(path, mask, flow_path, flow)
    return mask


def check_size(path: str, array: np.ndarray, other_path: str, other: np.ndarray) -> None:
    """Raise InputError, naming the files, where two arrays differ in height or width."""
    if array.shape[:2] != other.shape[:2]:
        (height, width), (other_height, other_width) = array.shape[:2], other.shape[:2]
        raise InputError(
            f"{path}: expected {other_width}x{other_height} pixels as in {other_path}, "
            f"got {width}x{height}"
        )


def complete_pairs(pairs: Iterable[Any]) -> tuple[list[PairFiles], str | None]:
    """Return the pairs all of whose files are there, and the first file that is not."""
    folders = FolderListing()
    complete, first_missing = [], None
    for pair in pairs:
        missing = next((path for path in pair.paths() if path not in folders), None)
        if missing is None:
            complete.append(pair)
        first_missing = first_missing or missing
    return complete, first_missing


class FolderListing:
    """Tells `path in listing` by reading each folder once, which is faster than asking per file."""

    def __init__(self):
        self._names = {}

    def __contains__(self, path: str) -> bool:
        folder, name = os.path.split(path)
        if folder not in self._names:
            self._names[folder] = set(names_in(folder))
        return name in self._names[folder]


def names_in(folder: str | os.PathLike[str], pattern: str = ".*") -> list[str]:
    """Return the sorted names in a folder that match `pattern`; none where there is no folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if re.fullmatch(pattern, entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return []


def in_split(held_out: bool, split: str) -> bool:
    """Return whether what is, or is not, held out for validation belongs to a split."""
    return split == "all" or held_out == (split == "valid")


def render_passes(config: DatasetConfig) -> tuple[str, ...]:
    """Return the rendering passes that a config's `sub_type` stands for."""
    return ("clean", "final") if config.sub_type == "mixed" else (config.sub_type,)


def root_of(dataset: str, paths: Paths, *inside: str) -> Path:
    """Return the root folder of a dataset, made sure that it holds the files and folders `inside`.

    Raises
    ------
    MissingDataError
        Where the root is not set or lacks one of them; the message says how to set it.
    """
    root = paths.get(dataset)
    remedy = f"set {ROOT_VARIABLES[dataset]}, or {dataset} in config/{PATHS_FILE.name}"
    if root is None:
        raise MissingDataError(f"{dataset}: its folder is not set; {remedy}")
    for part in inside:
        if not (root / part).exists():
            raise MissingDataError(
                f"{dataset}: {root / part} is missing; {remedy}, to the folder that holds {part}"
            )
    return root


def set_root(roots: Sequence[str], paths: Paths) -> Path | None:
    """Return the first of these roots that is set, None if none is."""
    return next((paths[root] for root in roots if paths.get(root) is not None), None)


def open_sets(
    openers: Mapping[str, tuple[Sequence[str], Callable]],
    paths: Paths,
    purpose: str,
    remedy: str = "",
) -> tuple[dict, list[tuple[str, str]]]:
    """Return the sets that are there, and those that are left out.

    Parameters
    ----------
    openers : mapping
        Name to the names of the roots under which the set may lie, and what opens it from the
        roots.
    paths : mapping
        Dataset names to root folders or None, as `config.load_paths` gives them.
    purpose : str
        What there is nothing for if no set is there, such as "test set to predict".
    remedy : str
        What else to do then, such as "or ...".

    Returns
    -------
    sets : dict
        Name to what was opened.
    skipped : list of (str, str)
        Name and reason, which says how to set the root.

    Raises
    ------
    MissingDataError
        A root that is set is no folder, or no set is there.
    """
    sets, skipped, unset = {}, [], {}
    for name, (roots, open_set) in openers.items():
        if set_root(roots, paths) is None:
            unset[name] = ROOT_VARIABLES[roots[0]]
        for root in roots:
            if paths.get(root) is not None and not paths[root].is_dir():
                raise MissingDataError(
                    f"{root}: its folder {paths[root]} is missing; correct "
                    f"{ROOT_VARIABLES[root]} or config/{PATHS_FILE.name}"
                )
        try:
            if name not in unset:
                sets[name] = open_set(paths)
        except MissingDataError as error:
            skipped.append((name, str(error)))
    if unset:
        variables = ", ".join(dict.fromkeys(unset.values()))
        reason = f"no folder is set: set {variables}, or write it into config/{PATHS_FILE.name}"
        skipped += [(name, reason) for name in unset]
    if not sets:
        reasons = "; ".join(dict.fromkeys(reason for _, reason in skipped))
        raise MissingDataError(
            "; ".join(filter(None, [f"there is no {purpose}: {reasons}", remedy]))
        )
    return sets, skipped
