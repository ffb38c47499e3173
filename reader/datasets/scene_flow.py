"""FlyingThings3D, Monkaa and Driving as published.

https://lmb.informatik.uni-freiburg.de/resources/datasets/SceneFlowDatasets.en.html. The page gives
the tree and its list of frames to leave out, `all_unused_files.txt`; which frames a file's flow
connects is also in torchvision's reader (FlyingThings3D in torchvision/datasets/_optical_flow.py).
"""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from maskflownet.config import DatasetConfig, MissingDataError
from maskflownet.reader.datasets.base import (
    FileDataset,
    PairFiles,
    Paths,
    in_split,
    names_in,
    render_passes,
    root_of,
)

UNUSED_FILE = "all_unused_files.txt"
_FLOWS = "optical_flow"
_STEPS = {"into_future": 1, "into_past": -1}
_NAMES = {"into_future": "OpticalFlowIntoFuture", "into_past": "OpticalFlowIntoPast"}


class _Part(NamedTuple):
    """A rendering pass, a camera and a direction of time."""

    render: str
    camera: str
    direction: str


class SceneFlow(FileDataset):
    """Pairs of 960x540 in the layout that the three datasets share; BGR.

    A subclass names its scenes: folders below `optical_flow/` and `frames_cleanpass/` alike. Flow
    into the past pairs a frame with the one before it. The first frame of a scene has flow into the
    past too, and the last one into the future, but the other frame of these is not there. Frames
    may be the published .png or, in `frames_cleanpass_webp/`, .webp.

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

    name: ClassVar[str]
    scene_depth: ClassVar[int] = 1  # folders in a scene's name
    sets: ClassVar = {r: ("all", {"passes": (r,)}) for r in ("clean", "final")}

    def __init__(
        self,
        paths: Paths,
        split: str,
        passes: Sequence[str] = ("clean", "final"),
        cameras: Sequence[Any] = ("left", "right"),
        directions: Sequence[Any] = ("into_future", "into_past"),
    ):
        root = root_of(self.name, paths, _FLOWS)
        self.unused = _unused_frames(root)
        scenes = [s for s in self.scenes(root / _FLOWS) if in_split(self.is_held_out(s), split)]
        pairs = (
            pair
            for scene, *part in product(scenes, passes, cameras, directions)
            for pair in self._pairs(root, scene, _Part(*part))
        )
        parts = {"passes": passes, "cameras": cameras, "directions": directions}
        expected = None if self.unused else self.expected_pairs(split, **parts)
        super().__init__(root, pairs, expected)

    @classmethod
    def options(cls, config: DatasetConfig) -> dict:
        """Return what a dataset config says of passes, cameras and directions."""
        return {
            "passes": render_passes(config),
            "cameras": config.cameras,
            "directions": config.directions,
        }

    def scenes(self, flows: Path) -> list[str]:
        """Return the scenes that have flow, in order."""
        scenes = [""]
        for _ in range(self.scene_depth):
            inside = [(scene, name) for scene in scenes for name in names_in(flows / scene)]
            scenes = [f"{scene}/{name}".lstrip("/") for scene, name in inside]
        return [scene for scene in scenes if self.is_scene(scene)]

    @staticmethod
    def is_scene(scene: str) -> bool:
        """Return whether a folder is a scene of this dataset and not of one unpacked beside it."""
        raise NotImplementedError

    @staticmethod
    def is_held_out(scene: str) -> bool:
        """Return whether a scene is for validation."""
        raise NotImplementedError

    def _pairs(self, root: Path, scene: str, part: _Part) -> Iterator[PairFiles]:
        """Yield the files of the pairs of one scene, but for frames that are listed as unused."""
        frames, suffix = _frames_folder(root, part.render)
        frames = f"{frames}/{scene}/{part.camera}"
        flows = f"{root}/{_FLOWS}/{scene}/{part.direction}/{part.camera}"
        form = f"{_NAMES[part.direction]}_{{}}_{part.camera[0].upper()}.pfm"
        numbers = [int(name[:4]) for name in names_in(frames, rf"\d{{4}}\{suffix}")]
        first, last = min(numbers, default=0), max(numbers, default=0)
        for flow in names_in(flows, form.format(r"\d{4}").replace(".pfm", r"\.pfm")):
            number = int(flow.split("_")[1])
            other = number + _STEPS[part.direction]
            used = {(scene, part.camera, frame) for frame in (number, other)}
            if first <= other <= last and not used & self.unused:
                yield PairFiles(
                    f"{part.render}/{scene}/{part.camera}/{number:04d}-{other:04d}",
                    f"{frames}/{number:04d}{suffix}",
                    f"{frames}/{other:04d}{suffix}",
                    f"{flows}/{flow}",
                )


def _frames_folder(root, render):
    """Return the folder of a pass, and the suffix of its frames."""
    folder = root / f"frames_{render}pass"
    webp = root / f"frames_{render}pass_webp"
    if webp.is_dir() and not folder.is_dir():
        return webp, ".webp"
    if not folder.is_dir():
        raise MissingDataError(
            f"{folder} is missing: unpack that pass of the images, or choose the other with "
            "`sub_type`"
        )
    return folder, ".png"


def _unused_frames(root: Path) -> set[tuple[str, str, int]]:
    """Return the frames (scene, camera, number) that the publishers' list says not to use.

    Its lines are such as `TRAIN/A/0000/left/0006.png`. Without the list all frames are used.
    """
    for folder in (root, root / "frames_cleanpass", root / "frames_finalpass"):
        if (folder / UNUSED_FILE).is_file():
            lines = (folder / UNUSED_FILE).read_text(encoding="utf-8", errors="replace").split()
            parts = [line.replace("\\", "/").removesuffix(".png").split("/") for line in lines]
            return {
                ("/".join(part[:-2]), part[-2], int(part[-1]))
                for part in parts
                if len(part) > 2 and part[-1].isdecimal()
            }
    return set()


class FlyingThings3DFull(SceneFlow):
    """FlyingThings3D, 22,390 training and 4,370 test frames, ten to a scene; BGR.

    TEST is for validation. Where `all_unused_files.txt`, the publishers' list of frames that are
    too difficult, lies in the root folder, pairs with such a frame are left out::

        FlyingThings3D/
            all_unused_files.txt            may be absent
            frames_cleanpass/               and frames_finalpass/
                TRAIN/                      and TEST/
                    A/                      and B/, C/
                        0000/
                            left/           and right/
                                0006.png    to 0015.png
            optical_flow/
                TRAIN/
                    A/
                        0000/
                            into_future/    and into_past/
                                left/
                                    OpticalFlowIntoFuture_0006_L.pfm
    """

    name = "things3d_full"
    scene_depth = 3
    evaluations: ClassVar = {
        f"test.{render}": ("valid", {"passes": (render,)}) for render in ("clean", "final")
    }

    @classmethod
    def expected_pairs(
        cls,
        split: str,
        passes: Sequence[str] = ("clean", "final"),
        cameras: Sequence[Any] = (1, 2),
        directions: Sequence[Any] = (1, 2),
    ) -> int | None:
        """Return how many pairs were published: nine to a scene, in each pass and so on."""
        scenes = {"train": 2239, "valid": 437, "all": 2239 + 437}[split]
        return 9 * scenes * len(passes) * len(cameras) * len(directions)

    @staticmethod
    def is_scene(scene: str) -> bool:
        """Return whether a folder is a scene of this dataset."""
        return scene.startswith(("TRAIN/", "TEST/"))

    @staticmethod
    def is_held_out(scene: str) -> bool:
        """Return whether a scene is for validation."""
        return scene.startswith("TEST/")


class Monkaa(SceneFlow):
    """Monkaa, 24 scenes of an animated film; BGR.

    The publishers name no validation split; here it is family_x2 and top_view_x2::

        Monkaa/
            frames_cleanpass/               and frames_finalpass/
                a_rain_of_stones_x2/
                    left/                   and right/
                        0000.png
            optical_flow/
                a_rain_of_stones_x2/
                    into_future/            and into_past/
                        left/
                            OpticalFlowIntoFuture_0000_L.pfm
    """

    name = "monkaa"

    @staticmethod
    def is_scene(scene: str) -> bool:
        """Return whether a folder is a scene of this dataset."""
        return scene not in ("TRAIN", "TEST") and not scene.endswith("mm_focallength")

    @staticmethod
    def is_held_out(scene: str) -> bool:
        """Return whether a scene is for validation."""
        return scene in ("family_x2", "top_view_x2")


class Driving(SceneFlow):
    """Driving, eight drives through one street; BGR.

    The publishers name no validation split; here it is the fast drive backwards at 15 mm::

        Driving/
            frames_cleanpass/               and frames_finalpass/
                15mm_focallength/           and 35mm_focallength/
                    scene_backwards/        and scene_forwards/
                        fast/               and slow/
                            left/           and right/
                                0001.png
            optical_flow/
                15mm_focallength/
                    scene_backwards/
                        fast/
                            into_future/    and into_past/
                                left/
                                    OpticalFlowIntoFuture_0001_L.pfm
    """

    name = "driving"
    scene_depth = 3

    @staticmethod
    def is_scene(scene: str) -> bool:
        """Return whether a folder is a scene of this dataset."""
        return scene.partition("/")[0].endswith("mm_focallength")

    @staticmethod
    def is_held_out(scene: str) -> bool:
        """Return whether a scene is for validation."""
        return scene == "15mm_focallength/scene_backwards/fast"
