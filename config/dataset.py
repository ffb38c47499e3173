"""The config of a dataset: what is read, how it is cropped and augmented, when it is validated."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from maskflownet.config.augmentation import (
    AffineConfig,
    ColorConfig,
    GeometryConfig,
    JitterConfig,
)
from maskflownet.config.checks import (
    LARGEST_SEED,
    MOST_PAIRS,
    Where,
    anything,
    boolean,
    from_mapping,
    integer,
    key,
    number,
    one_of,
    path_beside,
    plain_mapping,
    schedule,
    section,
    sequence,
    size_hw,
)
from maskflownet.config.errors import InputError
from maskflownet.config.files import CONFIG_DIR, read_config, read_mapping
from maskflownet.config.registry import DATASETS

KINDS = tuple(DATASETS)
STARTS = ("reference", "scaled", "uniform", "lifted", "copied")
COLOR_ORDERS = ("BGR", "RGB")

# Keys that choose among data of one's own, with what reads them; and those that choose parts of a
# published dataset.
OWN_DATA = {
    "train_list": "list",
    "valid_list": "list",
    "train_folder": "folder",
    "valid_folder": "folder",
}
PUBLISHED = ("resize_shape", "sub_type", "cameras", "directions", "years", "ground_truth")

MOST_SCENES = 10**7  # whose order alone takes 80 MB


@dataclass(frozen=True)
class SyntheticConfig:
    """Which scenes are generated.

    Attributes
    ----------
    seed : int
        Scene i of a seed is always the same.
    size : tuple of int
        (height, width) of the images.
    pairs, valid_pairs : int
        How many scenes are for training, and how many others for validation.
    scene : dict
        Settings of reader.synthetic.SceneConfig, which checks them.
    valid_size : tuple of int or None
        (height, width) of the scenes for validation, where it differs.
    valid_scene : dict
        Settings that differ in the scenes for validation.
    """

    seed: int = field(default=0, metadata=key(integer(0, high=LARGEST_SEED)))
    size: tuple[int, int] = field(default=(384, 512), metadata=key(size_hw()))
    pairs: int = field(default=20000, metadata=key(integer(1, high=MOST_SCENES)))
    valid_pairs: int = field(default=200, metadata=key(integer(1, high=MOST_SCENES)))
    scene: dict = field(default_factory=dict, metadata=key(plain_mapping))
    valid_size: tuple[int, int] | None = field(default=None, metadata=key(size_hw()))
    valid_scene: dict = field(default_factory=dict, metadata=key(plain_mapping))


@dataclass(frozen=True)
class TrainingOverride:
    """What a dataset config may change about how a network is trained.

    Attributes
    ----------
    learning_rate : tuple of (int, float), optional
        Takes the place of the network config's.
    start : str
        How a network without a checkpoint begins: "reference", with the original's random weights;
        "scaled", with them scaled by what they make of a few pairs (network.scaled_start); or
        "uniform", with MMFlow's (network.uniform_start). With "lifted" a run begins with a
        checkpoint whose coarse levels become copies of a finer one (network.lifted_start); with
        "copied" a cascade's second stage begins as a copy of its first (network.copied_start).
    q, clip_norm, finest_level, mask_weight : optional
        Take the place of the network config's.
    mw : tuple of float, optional
        Weights of the loss at levels 6, 5, 4, 3, 2, in place of the network config's.
    early_stopping : int, optional
        Training ends after so many validations without a lower error.
    """

    learning_rate: tuple[tuple[int, float], ...] | None = field(
        default=None, metadata=key(schedule)
    )
    start: str = field(default="reference", metadata=key(one_of(*STARTS)))
    q: float | None = field(default=None, metadata=key(number(above=0, high=10)))
    clip_norm: float | None = field(default=None, metadata=key(number(above=0, high=1e6)))
    finest_level: int | None = field(default=None, metadata=key(integer(2, high=6)))
    mask_weight: float | None = field(default=None, metadata=key(number(low=0, high=1000)))
    mw: tuple[float, ...] | None = field(
        default=None, metadata=key(sequence(number(low=0, high=1000), 5))
    )
    early_stopping: int | None = field(default=None, metadata=key(integer(1)))


@dataclass(frozen=True)
class DatasetConfig:
    """A dataset config file.

    Attributes
    ----------
    name : str
        The file's name without ".yaml".
    path : pathlib.Path
        The file itself, for messages.
    dataset : str
        One of KINDS: which files there are and how they are read.
    orig_shape, target_shape : tuple of int
        (height, width): larger images are cropped to orig_shape, and the geometric augmentation
        makes target_shape of that.
    resize_shape : tuple of int or None
        (height, width) to which KITTI and HD1K images are resized first.
    batch : int
        Pairs per step.
    kitti, hd1k : int
        How many pairs of each batch come from KITTI 2015 and from HD1K instead.
    sub_type : str
        "clean", "final" or "mixed" (both): the rendering pass of Sintel and FlyingThings3D.
    train_all : bool
        Train on the validation split too.
    validation_steps, checkpoint_steps : int
        How many steps lie between validations, and between checkpoints.
    kept_checkpoints : int
        How many of a run's checkpoints stay: the newest ones.
    cameras, directions : tuple of str
        Which parts of FlyingThings3D: "left", "right"; "into_future", "into_past".
    years : tuple of int
        Which parts of KITTI: 2012, 2015; by default those that are there.
    ground_truth : str
        KITTI: "occ" for all pixels with ground truth, "noc" for the visible ones alone.
    train_list, valid_list : pathlib.Path or None
        Own data, `dataset: list`: text files with a pair per line.
    train_folder, valid_folder : pathlib.Path or None
        Own data, `dataset: folder`: folders of frames with flow beside.
    valid_share : float or None
        Own data: this share of the training pairs is for validation, in place of a list or folder.
    validation_pairs : int or None
        Validate on so many pairs during training, spread over the validation set; None for all.
    synthetic : SyntheticConfig
        Which scenes are generated, `dataset: synthetic`.
    color_order : str or None
        "BGR" or "RGB", the order of the images' channels; None for the dataset's own.
    geometry : GeometryConfig
    color : ColorConfig
    affine : AffineConfig or None
        Takes the place of `geometry`.
    jitter : JitterConfig or None
        Takes the place of `color`, and is made before the geometric changes.
    optimizer : TrainingOverride
    kitti_15 : object
        In the original's files, and never read.
    """

    name: str
    path: Path
    dataset: str = field(metadata=key(one_of(*KINDS)))
    orig_shape: tuple[int, int] = field(metadata=key(size_hw()))
    target_shape: tuple[int, int] = field(metadata=key(size_hw(multiple_of=64)))
    resize_shape: tuple[int, int] | None = field(default=None, metadata=key(size_hw()))
    batch: int = field(default=4, metadata=key(integer(1, high=MOST_PAIRS)))
    kitti: int = field(default=0, metadata=key(integer(0, high=MOST_PAIRS)))
    hd1k: int = field(default=0, metadata=key(integer(0, high=MOST_PAIRS)))
    sub_type: str = field(default="mixed", metadata=key(one_of("clean", "final", "mixed")))
    train_all: bool = field(default=False, metadata=key(boolean))
    validation_steps: int = field(default=2500, metadata=key(integer(1)))
    checkpoint_steps: int = field(default=5000, metadata=key(integer(1)))
    kept_checkpoints: int = field(default=3, metadata=key(integer(1)))
    cameras: tuple[str, ...] = field(
        default=("left", "right"), metadata=key(sequence(one_of("left", "right")))
    )
    directions: tuple[str, ...] = field(
        default=("into_future", "into_past"),
        metadata=key(sequence(one_of("into_future", "into_past"))),
    )
    years: tuple[int, ...] = field(default=(), metadata=key(sequence(one_of(2012, 2015))))
    ground_truth: str = field(default="occ", metadata=key(one_of("occ", "noc")))
    train_list: Path | None = field(default=None, metadata=key(path_beside))
    valid_list: Path | None = field(default=None, metadata=key(path_beside))
    train_folder: Path | None = field(default=None, metadata=key(path_beside))
    valid_folder: Path | None = field(default=None, metadata=key(path_beside))
    valid_share: float | None = field(default=None, metadata=key(number(above=0, high=0.9)))
    validation_pairs: int | None = field(default=None, metadata=key(integer(1)))
    synthetic: SyntheticConfig = field(
        default=SyntheticConfig(), metadata=key(section(SyntheticConfig))
    )
    color_order: str | None = field(default=None, metadata=key(one_of(*COLOR_ORDERS)))
    geometry: GeometryConfig = field(
        default=GeometryConfig(), metadata=key(section(GeometryConfig))
    )
    color: ColorConfig = field(default=ColorConfig(), metadata=key(section(ColorConfig)))
    affine: AffineConfig | None = field(default=None, metadata=key(section(AffineConfig)))
    jitter: JitterConfig | None = field(default=None, metadata=key(section(JitterConfig)))
    optimizer: TrainingOverride = field(
        default=TrainingOverride(), metadata=key(section(TrainingOverride))
    )
    kitti_15: object = field(default=None, metadata=key(anything))


def load_dataset_config(name_or_path: str | os.PathLike) -> DatasetConfig:
    """Read and check a dataset config.

    What the file leaves out comes from the file that its `base` names or, without that, from the
    one in config/ that is named like its `dataset`; so the original's files, which have no batch
    size or augmentation in them, get the original's.

    Parameters
    ----------
    name_or_path : str or os.PathLike
        A name in config/, with or without ".yaml", or a path.

    Raises
    ------
    InputError
        For anything wrong in the file: one line with the file, the key and what was expected.
    MissingDataError
        Where there is no such file; the message lists the names in config/.
    """
    path, mapping = read_config(name_or_path, "dataset")
    where = Where(path)
    completed = _completed(path, mapping, (path,))
    config = from_mapping(DatasetConfig, completed, where, name=path.stem, path=path)
    _check_all_read(config, mapping, where)
    return _checked_whole(config)


def _completed(path, mapping, seen):
    """Return a file's mapping completed by what it builds on; `seen` are the files on the way."""
    mapping = dict(mapping)
    base = mapping.pop("base", None)
    if base is None or mapping.get("dataset") is not None:
        one_of(*KINDS)(mapping.get("dataset"), Where(path).below("dataset"))
    if base is None:
        base_path = CONFIG_DIR / f"{mapping['dataset']}.yaml"
        if path == base_path:
            return mapping
        base_mapping = read_mapping(base_path)
    else:
        if not isinstance(base, str):
            raise Where(path).below("base").wrong("the name of a dataset config", base)
        # "./other.yaml" lies beside this file, wherever the command is run from.
        beside = path.resolve().parent / base if base.startswith(".") else base
        base_path, base_mapping = read_config(beside, "dataset")
    if base_path in seen:
        raise Where(path).below("base").wrong("a file that does not build on this one", base)
    base_mapping = _completed(base_path, base_mapping, (*seen, base_path))
    # Checked on its own, so that its mistakes are not blamed on the file that builds on it.
    base_config = from_mapping(
        DatasetConfig, base_mapping, Where(base_path), name=base_path.stem, path=base_path
    )
    # What lies beside that file may not lie beside this one.
    for name in OWN_DATA:
        if own := getattr(base_config, name):
            base_mapping[name] = str(own)
    return _merged(base_mapping, mapping)


def _merged(base, mapping):
    """Return `mapping` completed by `base`, sections key by key."""
    merged = dict(base)
    for name, value in mapping.items():
        if isinstance(value, dict) and isinstance(base.get(name), dict):
            merged[name] = _merged(base[name], value)
        elif value is not None:
            merged[name] = value
    return merged


def _check_all_read(config, mapping, where):
    """Raise InputError for a key of the file itself that its kind of dataset does not read.

    What it inherits may be more. Files for published datasets may have what is for others of them,
    as some of the original's do.
    """
    for name, value in mapping.items():
        if value is None:
            continue
        if OWN_DATA.get(name, config.dataset) != config.dataset:
            kind = f"`dataset: {OWN_DATA[name]}`"
        elif name in PUBLISHED and config.dataset in ("list", "folder", "synthetic"):
            if name == "resize_shape" and config.kitti + config.hd1k:
                continue
            kind = "published datasets"
        else:
            continue
        raise InputError(
            f"{where.file}: {name} is for {kind}, and this is `dataset: {config.dataset}`; "
            "leave it out"
        )


def _checked_whole(config):
    """Check what no single key can tell; return the config."""
    where = Where(config.path)
    if config.valid_share is not None:
        _check_share(config, where)
    if config.kitti + config.hd1k >= config.batch:
        raise where.wrong(
            f"kitti + hd1k of less than batch ({config.batch})", config.kitti + config.hd1k
        )
    if config.resize_shape and not _covers(config.resize_shape, config.orig_shape):
        # Files exist that give the width first, unlike the other sizes: one order alone can hold
        # the crop.
        if not _covers(config.resize_shape[::-1], config.orig_shape):
            raise where.below("resize_shape").wrong(
                f"[height, width] of at least orig_shape {list(config.orig_shape)}",
                list(config.resize_shape),
            )
        config = replace(config, resize_shape=config.resize_shape[::-1])
    if config.affine and not _covers(config.orig_shape, config.target_shape):
        raise where.below("target_shape").wrong(
            f"with `affine` [height, width] of at most orig_shape {list(config.orig_shape)}",
            list(config.target_shape),
        )
    if config.dataset == "synthetic" and not _covers(config.synthetic.size, config.orig_shape):
        raise where.below("synthetic.size").wrong(
            f"[height, width] of at least orig_shape {list(config.orig_shape)}, a key to set too",
            list(config.synthetic.size),
        )
    return config


def _check_share(config, where):
    """Raise InputError unless a share of own data can be for validation."""
    if config.dataset not in ("list", "folder"):
        raise InputError(
            f"{where.file}: valid_share is for own data (`dataset: list` or `folder`); leave it out"
        )
    for name in ("valid_list", "valid_folder"):
        if getattr(config, name) is not None:
            raise InputError(
                f"{where.file}: expected {name} or valid_share, got both; leave one out"
            )


def _covers(size, inner):
    """Return whether an image of one size holds a crop of the other."""
    return size[0] >= inner[0] and size[1] >= inner[1]
