"""What is predicted: which frames there are, and which of them make pairs."""

import logging
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.reader.listing import is_image, natural_key, number_step, read_list
from maskflownet.reader.videos import Video
from maskflownet.tasks.prediction.frames import ImageFiles, VideoFrames

logger = logging.getLogger(__name__)

# A folder's names are to count in even steps if all but this share of them, or all but one, do.
_UNEVEN = 0.1


class Faults:
    """What could not be read: each is named as it comes, and counted.

    Parameters
    ----------
    strict : bool
        Whether the first one stops everything.
    """

    def __init__(self, strict: bool):
        self._strict = strict
        self.count = 0

    def add(self, error: InputError) -> None:
        """Raise the error if strict, else log it."""
        if self._strict:
            raise error
        self.count += 1
        logger.warning("left out: %s", error)


@dataclass(frozen=True)
class Inputs:
    """Frames, and the rule by which they make pairs.

    Pair number k is made of frame `k * step` and the one `stride` later: with step 1 neighbours of
    a sequence, with step 2 and stride 1 pairs that have no frame in common.

    Attributes
    ----------
    frames : ImageFiles or VideoFrames
    name : callable
        Returns what the results of a pair are called, from its number.
    stride, step : int
    single : bool
        Whether this is one pair that was named as such; it is predicted again each time.
    """

    frames: ImageFiles | VideoFrames
    name: Callable[[int], str]
    stride: int = 1
    step: int = 1
    single: bool = False

    def __len__(self):
        return max(0, len(self.frames) - self.stride + self.step - 1) // self.step

    def ends(self, number: int) -> tuple[int, int]:
        """Return which two frames make a pair."""
        return number * self.step, number * self.step + self.stride

    def identity(self) -> dict:
        """Return what results depend on beside the frames' own files."""
        whole = self.frames.identity()
        return {**whole, "stride": self.stride} if whole else {}

    def origin(self, number: int) -> list | None:
        """Return what a pair's results are made from, None if `identity` says all there is."""
        if isinstance(self.frames, VideoFrames):
            return None
        return [self.frames.stamp(index) for index in self.ends(number)]

    def pairs(
        self, todo: Callable[[int], bool], faults: Faults, ahead: int
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Read frames and yield the pairs that are still to do, as number, image 1 and image 2.

        Both pairs of a frame that cannot be read are left out; its neighbours are never paired with
        each other, nor are frames between which some are missing. So is a pair whose images differ
        in size.
        """

        def wanted(index):
            return any(todo(number) for number in self._numbers_of(index))

        held = deque(maxlen=self.stride + 1)
        for index, frame in enumerate(self.frames.read(wanted, ahead)):
            if frame.error:
                faults.add(frame.error)
            if frame.apart:
                held.extend([None] * len(held))
            held.append(frame.image)
            number, remainder = divmod(index - self.stride, self.step)
            if number < 0 or remainder or held[0] is None or held[-1] is None or not todo(number):
                continue
            if held[0].shape != held[-1].shape:
                faults.add(self._differ(number, held[0], held[-1]))
                continue
            yield number, held[0], held[-1]

    def _numbers_of(self, index):
        """Yield the pairs that a frame belongs to."""
        for first in (index, index - self.stride):
            number, remainder = divmod(first, self.step)
            there = number < len(self) or not self.frames.exact
            if number >= 0 and there and not remainder:
                yield number

    def _differ(self, number, image1, image2):
        names = " and ".join(self.frames[index] for index in self.ends(number))
        (height1, width1), (height2, width2) = image1.shape[:2], image2.shape[:2]
        return InputError(
            f"{names}: expected two images of one size, got {width1}x{height1} and "
            f"{width2}x{height2}; scale or crop one to the other's size"
        )


def one_pair(image1: Path, image2: Path) -> Inputs:
    """Return one pair of image files, named by the first."""
    return Inputs(ImageFiles([image1, image2]), lambda number: image1.stem, step=2, single=True)


def listed_pairs(list_file: Path) -> Inputs:
    """Return the pairs that a text file lists.

    Each line is `image1 image2`, as `reader.listing.read_list` reads it; paths are taken from the
    folder of the list. Results are named by the first image if that tells the pairs apart, else by
    both, else by the pair's number, from 1.

    Raises
    ------
    MissingDataError
        The list is not there.
    InputError
        It is no text, a line has other than two paths, or there is none.
    """
    lines = read_list(list_file, (2,), "image1 image2")
    paths = [list_file.parent / word for line in lines for word in line.words]
    if not paths:
        raise InputError(f"{list_file}: expected a line `image1 image2` per pair, got none")
    places = [f"{list_file}:{line.number}" for line in lines for _ in line.words]
    frames = ImageFiles(paths, places=places)
    return Inputs(frames, _names_of_pairs(paths).__getitem__, step=2)


def _names_of_pairs(paths):
    stems1, stems2 = ([path.stem for path in paths[start::2]] for start in (0, 1))
    both = [f"{stem1}-{stem2}" for stem1, stem2 in zip(stems1, stems2, strict=True)]
    for names in (stems1, both):
        if len(set(names)) == len(names):
            return names
    return [f"{number:06d}" for number in range(1, len(stems1) + 1)]


def folder_frames(folder: Path, stride: int) -> Inputs:
    """Return the images in a folder in natural order (frame_2 before frame_10), `stride` apart.

    Where nearly all names count in even steps, a larger one means that frames are missing: a
    warning says so, and no pair spans it.

    Raises
    ------
    MissingDataError
        The folder is not there.
    InputError
        It holds too few images for a pair.
    """
    if not folder.is_dir():
        raise MissingDataError(
            f"{folder}: there is no such folder; name the one that holds the images"
        )
    paths = [path for path in folder.iterdir() if is_image(path.name)]
    if len(paths) <= stride:
        raise InputError(f"{folder}: expected {stride + 1} images or more, got {len(paths)}")
    paths.sort(key=lambda path: natural_key(path.name))
    stems = [path.stem for path in paths]
    # Two frames that differ in their suffix alone would write to one file.
    names = stems if len(set(stems)) == len(stems) else [path.name for path in paths]
    return Inputs(ImageFiles(paths, _gaps(folder, stems)), names.__getitem__, stride)


def _gaps(folder, stems):
    """Return the places in a sequence of names before which others are missing."""
    steps = [number_step(*pair) for pair in pairwise(stems)]
    usual = max(set(steps), key=steps.count, default=None)
    if usual is None:
        return set()
    uneven = len(steps) - steps.count(usual)
    if uneven > max(1, _UNEVEN * len(steps)) or uneven >= steps.count(usual):
        return set()
    gaps = {place for place, step in enumerate(steps, start=1) if step is None or step > usual}
    for place in sorted(gaps)[:1]:
        logger.warning(
            "%s: frames are missing between %s and %s%s; no pair spans a gap",
            *(folder, stems[place - 1], stems[place]),
            f" and in {len(gaps) - 1} other places" if len(gaps) > 1 else "",
        )
    return gaps


def video_frames(
    path: Path, stride: int, start: float = 0, duration: float | None = None
) -> Inputs:
    """Return the frames of a video, `stride` apart; results are named 000000, 000001, ...

    Parameters
    ----------
    path : pathlib.Path
    stride : int
    start, duration : float, optional
        The section in seconds; the first frame in it is number 0.

    Raises
    ------
    MissingDataError
        The file is not there.
    InputError
        It is no video, or too short for a pair; or no file but a stream.
    """
    if not path.exists() and re.match(r"\d+$|[A-Za-z][\w+.-]+:/", str(path)):
        name = re.sub(":/+", "://", str(path), count=1)
        raise InputError(
            f"{name}: expected a video file, got what looks like a camera or an address; record it "
            "first (ffmpeg -i ADDRESS -t SECONDS film.mp4) and name the file"
        )
    video = Video(path, start, duration)
    if video.expected <= stride:
        raise InputError(f"{path}: expected {stride + 1} frames or more, got {video.expected}")
    return Inputs(VideoFrames(video), "{:06d}".format, stride)
