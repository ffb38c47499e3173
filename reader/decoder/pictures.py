"""From a decoded frame to an upright picture in BGR."""

import math
import struct
from fractions import Fraction
from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, VideoReformatter

# FFmpeg's SWS_BICUBIC | SWS_ACCURATE_RND | SWS_FULL_CHR_H_INT, which PyAV 17 has no names for:
# without the second and third all colours come out up to 5 levels too dark.
_EXACTLY = 0x4 | 0x40000 | 0x2000


class Converter:
    """Makes pictures of frames, which may differ in size and format."""

    def __init__(self):
        self._reformatter = VideoReformatter()

    def picture(self, frame: VideoFrame) -> np.ndarray:
        """Return a frame as uint8 (H, W, 3), BGR, upright.

        Its colours are taken for what the frame is tagged with: matrix (BT.601, 709, 2020; without
        a tag BT.601, as ffmpeg does) and range. Pixels that are not square stay as they are.
        """
        converted = self._reformatter.reformat(
            frame,
            format="bgr24",
            src_color_range=frame.color_range,
            dst_color_range=ColorRange.JPEG,
            interpolation=_EXACTLY,
            threads=1,
        )
        turn, mirror = orientation(frame)
        picture = converted.to_ndarray()
        picture = picture[:, ::-1] if mirror else picture
        return np.ascontiguousarray(np.rot90(picture, turn))


def orientation(frame: VideoFrame) -> tuple[int, bool]:
    """Return how a frame is to be brought upright.

    Parameters
    ----------
    frame : av.VideoFrame

    Returns
    -------
    turn : int
        Quarter turns counter-clockwise, 0 to 3, after mirroring. Other angles count as the nearest.
    mirror : bool
        Whether left and right are to be exchanged first.
    """
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return 0, False
    # As in the MP4 file format: (x, y, 1) times this matrix is where a pixel is shown.
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data))
    mirror = a * d - b * c < 0
    if mirror:
        a, b = -a, -b
    return round(-math.atan2(b, a) / (math.pi / 2)) % 4, mirror


def pixel_aspect(frame: VideoFrame, aspect: Fraction | None) -> Fraction:
    """Return width over height of a pixel of the upright picture.

    Parameters
    ----------
    frame : av.VideoFrame
    aspect : Fraction or None
        Of the frame as it is stored; None or 0 if the file does not say.
    """
    aspect = aspect or Fraction(1)
    return 1 / aspect if orientation(frame)[0] % 2 else aspect
