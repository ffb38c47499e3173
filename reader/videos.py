"""Video files, frame by frame; `reader.decoder` says how and why in a process of its own."""

import contextlib
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from multiprocessing import Pipe
from pathlib import Path
from typing import NamedTuple

import numpy as np

import maskflownet
from maskflownet.config.errors import InputError
from maskflownet.reader.formats.common import (
    COPY_AGAIN,
    MAX_PIXELS,
    bad_file,
    describe_start,
    open_input,
)

logger = logging.getLogger(__name__)

PATIENCE_S = 60  # how long a decoder may be at one packet
_LOOK_S = 1.0
_LONG = 3  # signs of life, which come once a second
_ROOT = str(Path(maskflownet.__file__).resolve().parents[1])
# By its file: `-m` would look for modules in the working folder first.
_COMMAND = (str(Path(__file__).with_name("decoder") / "__main__.py"),)


class VideoFrame(NamedTuple):
    """A frame of a video.

    Attributes
    ----------
    time : Fraction
        Seconds since the first frame of all; never falls from frame to frame.
    image : numpy.ndarray or None
        uint8 (H, W, 3), BGR, upright; None if it was not wanted or is damaged.
    damaged : bool
        Whether damage may have reached it.
    gap : InputError or None
        What is missing before it, if something is: then it is not the next of the frame before.
    """

    time: Fraction
    image: np.ndarray | None
    damaged: bool = False
    gap: InputError | None = None


class Video:
    """A video file, or a section of it.

    Parameters
    ----------
    path : str or os.PathLike
        A file of any format that FFmpeg reads. Of several tracks the first that is more than one
        picture is taken: that one may be a cover.
    start : float
        Seconds after the first frame at which the section begins.
    duration : float, optional
        Its length in seconds; by default up to the end.

    Attributes
    ----------
    path : pathlib.Path
    rate : Fraction or None
        Frames per second, if all frames are shown equally long.
    section : tuple
        `start` and `duration`.
    expected : int
        How many frames the section has, as far as one can tell without decoding them.
    size_hw : tuple of int
        Of the first frame, upright.
    pixel_aspect : Fraction
        Width over height of a pixel, 1 if they are square. Frames are not made square.

    Raises
    ------
    MissingDataError
        Nothing is at `path`.
    InputError
        It is no video, or was cut short so that it cannot be opened; it ends before `start`.
    """

    def __init__(self, path: str | os.PathLike, start: float = 0, duration: float | None = None):
        self.path = Path(path)
        with open_input(path) as (file, _):
            head = file.read(8)
        with _Process(self.path, {"task": "survey"}) as process:
            answer = process.next(long=f"{self.path}: looking through it, a few seconds a gigabyte")
        if answer["kind"] != "survey":
            expected = "a video that FFmpeg can open"
            remedy = f"if it is a video, it was damaged or cut short: {COPY_AGAIN}"
            got = f"{describe_start(head)} ({answer['reason']})"
            raise bad_file(path, expected, got, remedy)
        self._survey = answer
        height, width = answer["size_hw"]
        if height * width > MAX_PIXELS:
            got = f"{width}x{height}"
            raise bad_file(path, f"{MAX_PIXELS // 2**20} megapixels at most", got, "scale it down")
        self._tick = Fraction(*answer["time_base"])
        self.rate = Fraction(*answer["rate"]) if answer["rate"] else None
        self.size_hw = tuple(answer["size_hw"])
        self.pixel_aspect = Fraction(*answer["pixel_aspect"])
        self.section = (float(start), None if duration is None else float(duration))
        self._choose(*(x and Fraction(x).limit_denominator(10**6) for x in (start, duration)))

    def _choose(self, start, duration):
        """Set the section, in seconds."""
        ticks = np.array(self._survey.pop("times"), np.int64)
        self._first = int(ticks[0])
        self._start = self._first + float(start / self._tick) if start else None
        self._end = None
        if duration is not None:
            self._end = self._first + float((start + duration) / self._tick)
        chosen = (ticks >= (self._start or self._first)) & (ticks < (self._end or np.inf))
        if not chosen.any():
            length = float((ticks[-1] - self._first) * self._tick)
            raise InputError(
                f"{self.path}: no frame in the section that begins at {float(start):g} s; the last "
                f"frame is shown at {length:g} s"
            )
        self._ticks = ticks[chosen]
        if self._survey["in_order"]:  # the decoder counts
            first, last = np.flatnonzero(chosen)[[0, -1]]
            self._start, self._end = int(first), int(last) + 1 if duration is not None else None
        self.expected = len(self._ticks)

    @property
    def complaint(self) -> InputError | None:
        """What is wrong with the file as a whole: None, or that its end is missing."""
        reason = self._survey["complaint"]
        if not reason or self._end is not None:
            return None
        got = f'"{reason}" from FFmpeg, and {self.expected} frames before that'
        return bad_file(self.path, "a video to its end", got, f"it was cut short: {COPY_AGAIN}")

    def frames(self, wanted: Callable[[int], bool] = lambda index: True) -> Iterator[VideoFrame]:
        """Yield the section's frames in order, without holding more than one.

        Parameters
        ----------
        wanted : callable
            Told a frame's index in the section, from 0, returns whether its image is wanted. It is
            asked beforehand.

        Yields
        ------
        VideoFrame
            Frames that are known to be missing because they cannot be decoded have their place.

        Raises
        ------
        InputError
            The decoder died, or stood still for `PATIENCE_S` seconds.
        """
        request = {
            "task": "decode",
            "stream": self._survey["stream"],
            "skipped": self._survey["skipped"],
            "gaps": self._survey["gaps"],
            "in_order": self._survey["in_order"],
            "start": self._start,
            "end": self._end,
            "wanted": "".join("01"[bool(wanted(index))] for index in range(self.expected)),
        }
        clock = _Clock(self._ticks, self._tick, self._first, self._survey)
        with _Process(self.path, request) as process:
            index, damaged = 0, False
            while (answer := process.next(f"frame {index}"))["kind"] != "end":
                if answer["kind"] == "bad":
                    raise InputError(f"{self.path}, frame {index}: {answer['reason']}; {_DAMAGED}")
                time, missing = clock.next(answer["pts"])
                image = process.picture(answer["shape"]) if "shape" in answer else None
                # Near damage times are not in order, and there are no pairs anyway.
                unsure, damaged = damaged, answer["kind"] == "damaged"
                gap = self._gap(index, missing) if missing and not (damaged or unsure) else None
                yield VideoFrame(time, image, damaged, gap)
                index += 1

    def _gap(self, index, seconds):
        return InputError(
            f"{self.path}, between frames {index - 1} and {index}: expected neighbours, got a gap "
            f"of {float(seconds):.3g} s in their times; they make no pair"
        )


class _Clock:
    """Tells when each frame is shown, and after which of them something is missing.

    Parameters
    ----------
    ticks : numpy.ndarray
        int64 (n,), when the section's frames are shown, by the survey.
    tick : Fraction
        In seconds.
    first : int
        When the file's first frame is shown, in ticks.
    survey : dict
    """

    def __init__(self, ticks, tick, first, survey):
        self._ticks, self._tick, self._first = ticks, tick, first
        self._in_order = survey["in_order"]
        self._gaps = survey["gaps"]
        self._usual = int(np.median(np.diff(ticks))) if len(ticks) > 1 else 1
        self._count = 0
        self._last = self._shown = None  # by the file, and never falling

    def next(self, pts: int) -> tuple[Fraction, Fraction]:
        """Return the time of the next frame, and the length of the gap before it: 0 for none."""
        count, self._count = self._count, self._count + 1
        if self._in_order:
            over = count - len(self._ticks) + 1
            pts = int(self._ticks[min(count, len(self._ticks) - 1)]) + max(0, over) * self._usual
        missing = 0
        if self._last is not None:
            if pts < self._last:
                missing = self._last - pts
            elif any(self._last < after <= pts for _, after in self._gaps):
                missing = pts - self._last
        self._last = pts
        self._shown = pts if self._shown is None else max(pts, self._shown)
        return (self._shown - self._first) * self._tick, missing * self._tick


class _Process:
    """A running `reader.decoder`, which ends with this object or with this process."""

    def __init__(self, path: Path, request: dict):
        self._path = path
        self._pipe, far_end = Pipe(duplex=False)
        with far_end:
            self._process = subprocess.Popen(
                [sys.executable, *_COMMAND, str(far_end.fileno())],
                stdin=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=[far_end.fileno()],
                env=_environment(),
                # In a session of its own Ctrl-C does not reach it, which would look like damage.
                start_new_session=True,
            )
        line = json.dumps({**request, "path": os.fspath(path)}) + "\n"
        with contextlib.suppress(BrokenPipeError):  # it has died, as the first answer will tell
            self._process.stdin.write(line.encode())
            self._process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._pipe.close()

    def next(self, where: str = "the beginning", long: str = "") -> dict:
        """Return the next answer, and say `long` if it takes seconds.

        Raises
        ------
        InputError
            The decoder died or stands still.
        """
        signs_of_life = 0
        while True:
            if long and signs_of_life == _LONG:
                logger.info(long)
            signs_of_life += 1
            try:
                answer = json.loads(self._receive(where))
            except EOFError:
                code = self._process.wait()
                raise InputError(
                    f"{self._path}, {where}: the decoder ended with exit code {code}; {_DAMAGED}"
                ) from None
            if answer["kind"] == "failed":
                raise InputError(f"{self._path}: {answer['reason']}")
            if answer["kind"] == "crashed":
                raise RuntimeError(f"{self._path}, {where}:\n{answer['reason']}")
            if answer["kind"] != "alive":
                return answer

    def picture(self, shape) -> np.ndarray:
        """Return the picture that an answer announced."""
        return np.frombuffer(bytearray(self._pipe.recv_bytes()), np.uint8).reshape(shape)

    def _receive(self, where):
        # In short steps, so that what stopped this process (Ctrl-Z) is not counted as waiting.
        for _ in range(round(PATIENCE_S / _LOOK_S)):
            if self._pipe.poll(_LOOK_S):
                return self._pipe.recv_bytes()
        raise InputError(
            f"{self._path}, {where}: the decoder has stood still for {PATIENCE_S} s; {_DAMAGED}"
        )


def _environment():
    """Return an environment in which the same modules are found as here, and no others."""
    folders = [*(folder or os.getcwd() for folder in sys.path), _ROOT]  # noqa: PTH109
    return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}


_DAMAGED = "the file is probably damaged: convert it with another program"
