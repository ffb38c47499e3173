"""Writing videos that play anywhere, with PyAV: H.264, VP9 for .webm, and GIF."""

import itertools
import logging
import os
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from maskflownet.config.errors import InputError
from maskflownet.whole_file import whole_file

logger = logging.getLogger(__name__)

# 18 is said to be visually lossless. Frames are stored in the order in which they are shown: AVI
# wants it, and only so the last one's duration ends the file.
_X264 = {"crf": "16", "bf": "0"}
_VP9 = {"crf": "20", "b": "0", "deadline": "good", "cpu-used": "5", "row-mt": "1"}
_INDEX_FIRST = {"movflags": "+faststart"}  # so that browsers begin at once
_TICK = Fraction(1, 90_000)  # s; of times without a rate
_SQUARE = Fraction(1)
_EXACTLY = 0x4 | 0x40000  # FFmpeg's SWS_BICUBIC | SWS_ACCURATE_RND, else colours are too dark
_SMPTE170M = 6  # as files number matrices; PyAV's Colorspace has the numbers of its scaler


class _Container(NamedTuple):
    """How a kind of file is written; names and options are FFmpeg's.

    Attributes
    ----------
    name, encoder : str
    options, file_options : dict
        Of the encoder, and of the container.
    pixels : str
        The format of pixels.
    tick : Fraction, optional
        In seconds, where the container does not leave the choice.
    least : int
        Ticks from a frame to the next one; in GIF browsers show fewer than two for ten.
    knows_aspect : bool
        Whether pixels need not be square.
    """

    name: str
    encoder: str
    options: dict
    file_options: dict | None = None
    pixels: str = "yuv420p"
    tick: Fraction | None = None
    least: int = 1
    knows_aspect: bool = True


CONTAINERS = {
    ".mp4": _Container("mp4", "libx264", _X264, _INDEX_FIRST),
    ".mov": _Container("mov", "libx264", _X264, _INDEX_FIRST),
    ".mkv": _Container("matroska", "libx264", _X264),
    ".avi": _Container("avi", "libx264", _X264),
    ".webm": _Container("webm", "libvpx-vp9", _VP9, knows_aspect=False),
    ".gif": _Container(
        "gif", "gif", {}, None, "pal8", Fraction(1, 100), least=2, knows_aspect=False
    ),
}
# Frames have no times of their own there, so that they must all be shown equally long.
STEADY = frozenset({".avi"})


class Shown(NamedTuple):
    """A picture of a video.

    Attributes
    ----------
    image : numpy.ndarray
        uint8 (H, W, 3), BGR.
    time : Fraction
        When it is shown, in seconds; more than that of the one before.
    duration : Fraction
        For how long, if it is the last; others are shown until the next one.
    """

    image: np.ndarray
    time: Fraction
    duration: Fraction


def write_video(
    path: str | os.PathLike,
    frames: Iterable[np.ndarray | Shown],
    rate: Fraction | float | None = None,
    pixel_aspect: Fraction = _SQUARE,
) -> int:
    """Write a video, whole or not at all; frames are taken one by one.

    Parameters
    ----------
    path : str or os.PathLike
        The file to make or replace; its suffix, one of `CONTAINERS`, says what it becomes.
    frames : iterable of numpy.ndarray or of Shown
        Images, uint8 (H, W, 3), BGR, to be shown at `rate`; or with times of their own. An odd
        height or width is made even by repeating the last row or column: 4:2:0 has one colour
        sample for two by two pixels. What has another size than the first is scaled into it, with
        black beside it. GIF shows no more than 50 frames per second and leaves others out.
    rate : Fraction or float, optional
        Frames per second; of frames with times of their own, if all are shown equally long: the
        file then keeps their times exactly.
    pixel_aspect : Fraction
        Width over height of a pixel. Players stretch pictures by it; for WebM and GIF, which do
        not tell them, pictures are scaled to square pixels.

    Returns
    -------
    int
        How many frames were written.

    Raises
    ------
    InputError
        Another suffix; no frames; times in a format that has none (`STEADY`); the encoder or the
        disk failed.
    """
    container = CONTAINERS.get(Path(path).suffix.lower())
    if container is None:
        raise InputError(
            f"{os.fspath(path)}: expected a video's name, which ends in {', '.join(CONTAINERS)}"
        )
    if rate is not None:
        rate = Fraction(rate).limit_denominator(1001)
    elif Path(path).suffix.lower() in STEADY:
        raise InputError(
            f"{os.fspath(path)}: expected frames that are shown equally long, since such a file "
            "has no times of frames; name another suffix, such as .mp4"
        )
    timed = _with_times(frames, rate)
    first = next(timed, None)
    if first is None:
        raise InputError(f"{os.fspath(path)}: expected frames for a video, got none")
    timed = itertools.chain([first], timed)
    with whole_file(path) as part:
        try:
            return _write(part, timed, first, container, rate, pixel_aspect)
        except av.FFmpegError as error:
            raise InputError(
                f"{os.fspath(path)}: FFmpeg could not write this video: {error.strerror}"
            ) from error


def _with_times(frames, rate):
    for number, frame in enumerate(frames):
        yield frame if isinstance(frame, Shown) else Shown(frame, number / rate, 1 / rate)


def _write(part, frames, first, container, rate, pixel_aspect):
    """Write `part`; return how many frames."""
    stretch = _SQUARE if container.knows_aspect else pixel_aspect
    fitted = _Fitted(first.image.shape[:2], stretch)
    tick = container.tick or (1 / rate if rate else _TICK)
    # After "file:" a name is one, whatever it looks like: a URL, a time of day, an option.
    name = f"file:{os.path.abspath(part)}"  # noqa: PTH100 (PyAV wants text)
    durations = {}
    with av.open(name, "w", container.name, options=container.file_options) as file:
        stream = file.add_stream(container.encoder, rate or 25, options=container.options)
        stream.height, stream.width = fitted.even_hw
        stream.pix_fmt = container.pixels
        context = stream.codec_context
        context.time_base = tick
        context.sample_aspect_ratio = pixel_aspect if container.knows_aspect else _SQUARE
        if container.pixels == "yuv420p":
            # The file says which matrix was used: players that read the tag show the right
            # colours, and so do programs that ignore it, such as OpenCV, which assume BT.601.
            context.colorspace, context.color_range = _SMPTE170M, ColorRange.MPEG

        def mux(packets):
            for packet in packets:
                packet.duration = durations.pop(packet.pts, packet.duration)
                file.mux(packet)

        count = 0
        converter = _Palette(stream, tick) if container.pixels == "pal8" else _to_yuv
        for pts, frame in _at_ticks(frames, tick, container.least):
            picture = converter(fitted.fit(frame.image))
            picture.pts, picture.time_base = pts, tick
            durations[pts] = max(1, round(frame.duration / tick))
            mux(stream.encode(picture))
            count += 1
        mux(stream.encode(None))
    return count


def _at_ticks(frames, tick, least):
    """Yield frames with their times in ticks, rising by `least` or more."""
    start = last = None
    for frame in frames:
        start = frame.time if start is None else start
        pts = round((frame.time - start) / tick)
        if last is not None and pts < last + least:
            if least > 1:
                continue
            pts = last + 1
        last = pts
        yield pts, frame


def _to_yuv(image):
    frame = av.VideoFrame.from_ndarray(image, format="bgr24")
    return frame.reformat(
        format="yuv420p",
        dst_colorspace=Colorspace.SMPTE170M,
        src_color_range=ColorRange.JPEG,
        dst_color_range=ColorRange.MPEG,
        interpolation=_EXACTLY,
    )


class _Palette:
    """Finds the 256 colours that suit a picture best, and paints it with them."""

    def __init__(self, stream, tick):
        graph = av.filter.Graph()
        source = graph.add_buffer(
            width=stream.width, height=stream.height, format=av.VideoFormat("bgr24"), time_base=tick
        )
        split = graph.add("split")
        palette = graph.add("palettegen", "stats_mode=single")
        paint = graph.add("paletteuse", "new=1")
        source.link_to(split)
        split.link_to(palette, 0, 0)
        split.link_to(paint, 1, 0)
        palette.link_to(paint, 0, 1)
        paint.link_to(graph.add("buffersink"))
        graph.configure()
        self._graph = graph

    def __call__(self, image):
        self._graph.vpush(av.VideoFrame.from_ndarray(image, format="bgr24"))
        return self._graph.vpull()


class _Fitted:
    """Brings pictures to one even size, and says once if some had another.

    Parameters
    ----------
    first_hw : tuple of int
        Of the first picture.
    stretch : Fraction
        By which to make pictures wider than they are high.
    """

    def __init__(self, first_hw, stretch):
        height, width = first_hw
        self._first_hw = first_hw
        self._size_hw = round(height / min(stretch, 1)), round(width * max(stretch, 1))
        self.even_hw = tuple(size + size % 2 for size in self._size_hw)
        self._said = False

    def fit(self, image):
        """Return an image in the size of all."""
        if image.shape[:2] != self._first_hw:
            self._say(image)
            image = _letterbox(image, self._first_hw)
        if self._size_hw != self._first_hw:
            image = cv2.resize(image, self._size_hw[::-1])
        bottom, right = (size % 2 for size in self._size_hw)
        if bottom or right:
            image = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        return np.ascontiguousarray(image)

    def _say(self, image):
        if not self._said:
            logger.warning(
                "the pictures' size changes from %dx%d to %dx%d: in the video, what has another "
                "size than the first picture is scaled into it",
                *reversed(self._first_hw),
                *reversed(image.shape[:2]),
            )
        self._said = True


def _letterbox(image, size_hw):
    """Return an image scaled into a size as a whole, with black beside it."""
    height, width = size_hw
    scale = min(height / image.shape[0], width / image.shape[1])
    inner_hw = [max(1, round(scale * size)) for size in image.shape[:2]]
    top, left = (height - inner_hw[0]) // 2, (width - inner_hw[1]) // 2
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    picture = np.zeros((height, width, 3), np.uint8)
    picture[top : top + inner_hw[0], left : left + inner_hw[1]] = cv2.resize(
        image, inner_hw[::-1], interpolation=interpolation
    )
    return picture
