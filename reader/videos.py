"""Video files, frame by frame, decoded by imageio-ffmpeg's ffmpeg.

OpenCV's own decoding would serve, but it takes the colours of nearly all high-definition videos
(BT.709) for those of standard definition (BT.601) and skips or patches up damaged frames without a
word.
"""

import functools
import os
import queue
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import cv2
import imageio_ffmpeg
import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.reader.formats.common import COPY_AGAIN, bad_file, describe_start, open_input

_HIGHEST_RATE = 1000  # frames per second; containers without a rate state nonsense above it


class Video:
    """A video file.

    Parameters
    ----------
    path : str or os.PathLike
        A file of any format that ffmpeg reads.

    Attributes
    ----------
    path : pathlib.Path
    rate : Fraction or None
        Frames per second; None where the file does not say.
    expected : int
        How many frames there should be, by the file's duration and rate; 0 if it does not say.

    Raises
    ------
    MissingDataError
        Nothing is at `path`.
    InputError
        It is no video, or was cut short so that it cannot be opened.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.rate = None
        with open_input(path) as (file, _):
            start = file.read(8)
        with _Decoder(self.path) as decoder:
            if next(decoder.frames(), None) is None:
                expected = "a video that ffmpeg can open"
                remedy = f"if it is a video, it was damaged or cut short: {COPY_AGAIN}"
                raise bad_file(path, expected, describe_start(start), remedy)
            self.rate = decoder.log.rate
            self.expected = round(decoder.log.duration * (self.rate or 0))

    def frames(
        self, wanted: Callable[[int], bool] = lambda index: True
    ) -> Iterator[np.ndarray | InputError | None]:
        """Yield the frames in order, upright, without holding more than one.

        Parameters
        ----------
        wanted : callable
            Told a frame's index, from 0, returns whether it is wanted; others come as None.

        Yields
        ------
        numpy.ndarray, InputError or None
            uint8 (H, W, 3), BGR. In place of a frame that cannot be decoded, the error that says
            so: it is known from the gap in the frames' times that a decoder's error leaves.

        Raises
        ------
        InputError
            After the last frame, if there was damage that no frame in between stands for: the
            file was cut short, or its decoder mended what it found.
        """
        with _Decoder(self.path) as decoder:
            index, lost, last_time = 0, 0, None if self.rate is None else -1 / self.rate
            for image, time in decoder.frames():
                for _ in range(self._gap(last_time, time) if decoder.log.complaint else 0):
                    yield InputError(f"{self.path}, frame {index}: expected a frame, got damage")
                    index, lost = index + 1, lost + 1
                last_time = time
                yield image() if wanted(index) else None
                index += 1
            if decoder.log.complaint and (not lost or index < self.expected):
                got = f'"{decoder.log.complaint}" from ffmpeg, and {index} frames'
                remedy = f"frames may be mended or missing: {COPY_AGAIN}"
                raise bad_file(self.path, "an undamaged video", got, remedy)

    def _gap(self, last_time: float | None, time: float | None) -> int:
        """Return how many frames are missing between two times in seconds, None if unknown."""
        if last_time is None or time is None:
            return 0
        return max(0, round((time - last_time) * self.rate) - 1)


class _Decoder:
    """A running ffmpeg that decodes a video into PPM images on a pipe."""

    def __init__(self, path: Path):
        # In the log, `showinfo` tells each frame's time, and errors are marked as such. Damaged
        # frames are dropped, not mended. Every frame comes once, however long it is shown.
        command = [ffmpeg_program(), "-hide_banner", "-nostdin", "-nostats"]
        command += ["-loglevel", "level+info", "-err_detect", "explode", "-i", os.fspath(path)]
        command += ["-map", "0:v:0", "-vf", "showinfo=checksum=0", "-fps_mode", "passthrough"]
        command += ["-f", "image2pipe", "-c:v", "ppm", "-pix_fmt", "rgb24", "-"]
        pipe = subprocess.PIPE
        # In a session of its own Ctrl-C does not reach it, which would look like a damaged video.
        self._process = subprocess.Popen(command, stdout=pipe, stderr=pipe, start_new_session=True)
        self.log = _Log(self._process.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()
        self.log.join()

    def frames(self) -> Iterator[tuple[Callable[[], np.ndarray], float | None]]:
        """Yield for each frame what makes it an image, and its time in seconds, None if unknown."""
        stream = self._process.stdout
        while (size_hw := _read_header(stream)) is not None:
            pixels = stream.read(3 * size_hw[0] * size_hw[1])
            if len(pixels) < 3 * size_hw[0] * size_hw[1]:
                break
            yield functools.partial(_to_image, pixels, size_hw), self.log.times.get()
        self.log.join()
        if self._process.wait() != 0 and not self.log.complaint:
            self.log.complaint = f"exit code {self._process.returncode}"  # ended from outside


class _Log(threading.Thread):
    """Reads ffmpeg's log, so that it never waits for a reader.

    Attributes
    ----------
    duration : float
        In seconds; 0 if it is not known. Like `rate`, this is known once a frame has come.
    rate : Fraction or None
        Frames per second.
    times : queue.SimpleQueue
        Each frame's time in seconds, or None, put here before the frame's pixels come.
    complaint : str
        The first error; empty without any.
    """

    def __init__(self, stream: BinaryIO):
        super().__init__(daemon=True)
        self.duration = 0.0
        self.rate = None
        self.times = queue.SimpleQueue()
        self.complaint = ""
        self._stream = stream
        self.start()

    def run(self):
        """Read until ffmpeg ends."""
        with self._stream:
            for line in self._stream:
                self._take(line.decode(errors="replace").strip())

    def _take(self, line):
        if match := re.search(r"\] n: *\d+ pts:.* pts_time:(\S+)", line):
            self.times.put(None if match[1] == "NOPTS" else float(match[1]))
        elif match := re.search(r"\[(?:error|fatal)\] (.*)", line):
            self.complaint = self.complaint or match[1]
        elif match := re.search(r" config in .* frame_rate: (\d+)/(\d+)", line):
            rate = Fraction(int(match[1]), int(match[2])) if int(match[2]) else 0
            self.rate = rate if 0 < rate <= _HIGHEST_RATE else None
        elif match := re.search(r" Duration: (\d+):(\d+):(\d+\.\d+),", line):
            self.duration = 3600 * int(match[1]) + 60 * int(match[2]) + float(match[3])


def ffmpeg_program() -> str:
    """Return the path of the ffmpeg that imageio-ffmpeg brings; raise InputError without one."""
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise InputError(f"videos need ffmpeg: {str(error).splitlines()[0]}") from error


def _read_header(stream: BinaryIO) -> tuple[int, int] | None:
    r"""Read a PPM's header as ffmpeg writes it, "P6\nWIDTH HEIGHT\n255\n"; None at the end."""
    header = [stream.readline() for _ in range(3)]
    if not header[2]:
        return None
    width, height = header[1].split()
    return int(height), int(width)


def _to_image(pixels: bytes, size_hw: tuple[int, int]) -> np.ndarray:
    rgb = np.frombuffer(pixels, np.uint8).reshape(*size_hw, 3)
    return cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
