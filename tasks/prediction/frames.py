"""Where frames come from: image files, or a video."""

from collections.abc import Callable, Collection, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.reader.images import read_image
from maskflownet.reader.read_ahead import read_ahead
from maskflownet.reader.videos import Video


class Frame(NamedTuple):
    """A frame as it comes from its source.

    Attributes
    ----------
    image : numpy.ndarray or None
        uint8 (H, W, 3), BGR; None if it was not wanted or cannot be read.
    error : InputError or None
        What could not be read, up to this frame.
    apart : bool
        Whether something is missing before it, so that it makes no pair with earlier ones.
    time : Fraction or None
        Seconds since the first frame of a video.
    """

    image: np.ndarray | None
    error: InputError | None = None
    apart: bool = False
    time: Fraction | None = None


class ImageFiles:
    """Frames that are image files.

    Parameters
    ----------
    paths : sequence of pathlib.Path
    apart : collection of int, optional
        The frames before which others are missing.
    places : sequence of str, optional
        Where each was named, such as "pairs.txt:3", for messages.

    Attributes
    ----------
    paths : sequence of pathlib.Path
        The files that are read.
    timed : bool
        False: they have no times.
    rate : None
        Nor frames per second.
    pixel_aspect : Fraction
        Width over height of a pixel: 1.
    exact : bool
        True: how many frames there are is known.
    """

    timed = False
    rate: Fraction | None = None
    pixel_aspect = Fraction(1)
    exact = True

    def __init__(
        self, paths: Sequence[Path], apart: Collection[int] = (), places: Sequence[str] = ()
    ):
        self.paths = paths
        self._apart = apart
        self._places = places

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index: int) -> str:
        """Return what to call a frame."""
        return str(self.paths[index])

    def stamp(self, index: int) -> list:
        """Return what tells whether a frame is still the same file."""
        return stamp(self.paths[index])

    def identity(self) -> dict:
        """Return what all frames together stand for: nothing, since each stands for itself."""
        return {}

    def read(self, wanted: Callable[[int], bool], ahead: int) -> Iterator[Frame]:
        """Yield every frame in order; those that are not wanted are not read."""

        def read(index):
            image = error = None
            try:
                image = read_image(self.paths[index]) if wanted(index) else None
            except InputError as unreadable:
                where = f"{self._places[index]}: " if self._places else ""
                error = InputError(f"{where}{unreadable}")
            return Frame(image, error, index in self._apart)

        return read_ahead(read, range(len(self)), ahead, self.__getitem__)


class VideoFrames:
    """Frames that are those of a video.

    Parameters
    ----------
    video : Video

    Attributes
    ----------
    paths : sequence of pathlib.Path
        The files that are read.
    timed : bool
        True: frames have times.
    rate : Fraction or None
        Frames per second, if all are shown equally long.
    pixel_aspect : Fraction
        Width over height of a pixel.
    exact : bool
        Whether all frames have been read, so that their number is known for certain.
    """

    timed = True

    def __init__(self, video: Video):
        self._video = video
        self.paths = [video.path]
        self.rate = video.rate
        self.pixel_aspect = video.pixel_aspect
        self._length = video.expected
        self.exact = False

    def __len__(self):
        """Return how many frames there are, as far as is known until all have been read."""
        return self._length

    def __getitem__(self, index: int) -> str:
        """Return what to call a frame."""
        return f"{self._video.path}, frame {index}"

    def identity(self) -> dict:
        """Return what tells whether the video is still the same file, and the section."""
        section = {"section": self._video.section} if any(self._video.section) else {}
        return {"video": stamp(self._video.path), **section}

    def read(self, wanted: Callable[[int], bool], ahead: int) -> Iterator[Frame]:
        """Yield every frame in order, and behind the last what is wrong with the whole.

        They come from a process that decodes the next one meanwhile; `ahead` changes nothing.
        """
        length, first_bad = 0, None
        for length, frame in enumerate(self._video.frames(wanted), start=1):
            if frame.damaged:
                first_bad = length - 1 if first_bad is None else first_bad
                yield Frame(None, time=frame.time)
                continue
            error = frame.gap if first_bad is None else self._damage(first_bad, length - 2)
            yield Frame(frame.image, error, error is not None, frame.time)
            first_bad = None
        if first_bad is not None:
            yield Frame(None, self._damage(first_bad, length - 1))
        if self._video.complaint:
            yield Frame(None, self._video.complaint)
        self._length, self.exact = length, True

    def _damage(self, first, last):
        numbers = f"frame {first}" if first == last else f"frames {first} to {last}"
        return InputError(
            f"{self._video.path}, {numbers}: expected what was filmed, got damage or what builds "
            "on it"
        )


def stamp(path: Path) -> list:
    """Return what changes when a file does: its name, size and time of change."""
    try:
        status = path.stat()
    except OSError:
        return [path.name, None, None]
    return [path.name, status.st_size, status.st_mtime_ns]
