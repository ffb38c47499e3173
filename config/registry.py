"""Every dataset by name: all that is said of one outside of its class, said once.

An entry here and the class that it names are a dataset: `dataset:` in configs, paths.yaml and the
environment variables, `--check` and `--valid`, and the table in docs/datasets.md follow from them.
"""

from typing import NamedTuple

VARIABLE_PREFIX = "MASKFLOWNET_"


class DatasetEntry(NamedTuple):
    """A dataset.

    Attributes
    ----------
    name : str
        What `dataset:` in a config calls it; config/NAME.yaml is what configs build on.
    reader : str
        The module in reader/datasets and the class in it: "sintel.Sintel".
    title : str
        What people call it.
    holds : str
        What its folder holds, in Markdown; empty for data that lie in no folder of their own.
    pairs : str
        How many pairs with ground truth it has.
    more_roots : tuple of str
        Names of folders beside `name` where parts of it may lie.
    """

    name: str
    reader: str
    title: str
    holds: str = ""
    pairs: str = ""
    more_roots: tuple[str, ...] = ()

    @property
    def roots(self) -> tuple[str, ...]:
        """The names under which paths.yaml and the environment give its folders."""
        return (self.name, *self.more_roots) if self.holds else ()


_ENTRIES = (
    DatasetEntry(
        "chairs",
        "chairs.FlyingChairs",
        "FlyingChairs",
        "`data/`, `FlyingChairs_train_val.txt`",
        "22,872 (640 for validation)",
    ),
    DatasetEntry(
        "things3d",
        "things3d.FlyingThings3D",
        "FlyingThings3D subset",
        "`train/` and, for validation, `val/`",
        "as many as there are flow files",
    ),
    DatasetEntry(
        "sintel",
        "sintel.Sintel",
        "MPI Sintel",
        "`training/`",
        "1,041 per pass (225 for validation)",
    ),
    DatasetEntry(
        "kitti",
        "kitti.Kitti",
        "KITTI 2012, 2015",
        "`2012/`, `2015/`; or one year's `training/`",
        "194 and 200 (39 and 40 for validation)",
        more_roots=("kitti_2012", "kitti_2015"),
    ),
    DatasetEntry(
        "hd1k",
        "hd1k.HD1K",
        "HD1K",
        "`hd1k_input/`, `hd1k_flow_gt/`",
        "as many as there are",
    ),
    DatasetEntry(
        "things3d_full",
        "scene_flow.FlyingThings3DFull",
        "FlyingThings3D as published",
        "`optical_flow/`, `frames_cleanpass/`, `frames_finalpass/`",
        "20,151 (and 3,933 in TEST) per pass, camera and direction",
    ),
    DatasetEntry(
        "monkaa",
        "scene_flow.Monkaa",
        "Monkaa",
        "`optical_flow/`, `frames_cleanpass/`, `frames_finalpass/`",
        "as many as there are flow files",
    ),
    DatasetEntry(
        "driving",
        "scene_flow.Driving",
        "Driving",
        "`optical_flow/`, `frames_cleanpass/`, `frames_finalpass/`",
        "as many as there are flow files",
    ),
    DatasetEntry(
        "spring",
        "spring.Spring",
        "Spring",
        "`train/`",
        "4,963 per camera and direction",
    ),
    DatasetEntry(
        "chairs2",
        "chairs2.FlyingChairs2",
        "FlyingChairs2",
        "`train/`, `val/`",
        "22,872 per direction (640 for validation)",
    ),
    DatasetEntry(
        "chairs_sdhom",
        "chairs_sdhom.ChairsSDHom",
        "ChairsSDHom",
        "`data/`",
        "as many as there are flow files",
    ),
    DatasetEntry(
        "vkitti2",
        "vkitti2.VirtualKitti2",
        "Virtual KITTI 2",
        "`Scene01/` ... `Scene20/`",
        "as many as there are flow files",
    ),
    DatasetEntry(
        "tartanair",
        "tartanair.TartanAir",
        "TartanAir",
        "a folder per environment",
        "as many as there are flow files",
    ),
    DatasetEntry(
        "middlebury",
        "middlebury.Middlebury",
        "Middlebury",
        "`other-data/`, `other-gt-flow/`",
        "8",
    ),
    DatasetEntry("synthetic", "synthetic.Synthetic", "generated scenes"),
    DatasetEntry("list", "lists.ListDataset", "your own data, from lists"),
    DatasetEntry("folder", "lists.FolderDataset", "your own data, from folders"),
)

DATASETS = {entry.name: entry for entry in _ENTRIES}


def root_variable(root: str) -> str:
    """Return the environment variable that gives a root, such as MASKFLOWNET_KITTI_2015."""
    return f"{VARIABLE_PREFIX}{root.upper()}"


ROOT_VARIABLES = {root: root_variable(root) for entry in _ENTRIES for root in entry.roots}
