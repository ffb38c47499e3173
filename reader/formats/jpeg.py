"""A look at a JPEG: that its end mark is there, its size believable and all of it decoded.

OpenCV notices most JPEGs that were cut short, but not one whose lost part is filled with zeros, as
a broken download or a crashed disk leaves it, or missing in the middle: that decodes to grey. The
markers are those of https://www.w3.org/Graphics/JPEG/itu-t81.pdf, annex B.
"""

import functools
import logging
import os
import re
import struct
from pathlib import Path

import numpy as np

from maskflownet.reader.formats.common import (
    COPY_AGAIN,
    bad_file,
    check_image_size,
    decode_image,
)
from maskflownet.reader.formats.complaints import caught_complaints

logger = logging.getLogger(__name__)

SIGNATURE = b"\xff\xd8\xff"

_START_OF_SCAN = b"\xff\xda"
_START_OF_FRAME = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_HUFFMAN = (0xC0, 0xC1, 0xC2)  # a block of 8x8 pixels takes a bit at least
_PIXELS_PER_BYTE = 8 * 64
# What libjpeg says (jerror.h) of data that it lacks or cannot read, and of data that it does not
# need: some cameras fill up with these, but they may stand for a part that was lost as well.
_DAMAGE = re.compile(
    r"premature end|bad (Huffman|arithmetic) code|instead of RST|Inconsistent progression",
    re.IGNORECASE,
)
_LEFT_OVER = re.compile(r"extraneous bytes before marker")
_END_OF_IMAGE = b"\xff\xd9"  # not inside a scan: there 00 or a restart mark follows FF


def check_jpeg(data: bytes, path: str | os.PathLike) -> None:
    """Raise InputError unless a JPEG has a believable size, and an end mark behind its picture.

    Parameters
    ----------
    data : bytes
        The whole file.
    path : str or os.PathLike
        Where it came from, for the message.
    """
    # Step over the segments before the picture: a thumbnail in one has an end mark of its own.
    start = 2
    while data.startswith(b"\xff", start) and not data.startswith(_START_OF_SCAN, start):
        if data.startswith(b"\xff\xff", start):  # a marker may have more than one FF
            start += 1
            continue
        _check_frame(data[start : start + 9], len(data), path)
        start += 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    if data.find(_END_OF_IMAGE, start) < 0:
        got = f"no end mark in {len(data)} bytes"
        raise bad_file(path, "a complete JPEG", got, f"it was cut short: {COPY_AGAIN}")


def _check_frame(segment, size, path):
    """Raise InputError if a segment states a size that so many bytes cannot hold."""
    if len(segment) == 9 and segment[1] in _START_OF_FRAME:
        height, width = struct.unpack_from(">HH", segment, 5)
        least = width * height / _PIXELS_PER_BYTE if segment[1] in _HUFFMAN else 0
        check_image_size(path, (height, width), least, size)


def decode_jpeg(data: bytes, path: str | os.PathLike, flags: int) -> np.ndarray:
    """Decode a JPEG as `decode_image` does; InputError too if a part of it cannot be decoded."""
    with caught_complaints() as complaints:
        image = decode_image(data, path, flags)
    for line in complaints:
        if _DAMAGE.search(line):
            got = f'one of which libjpeg says "{line}"'
            raise bad_file(path, "a whole JPEG", got, f"it is damaged: {COPY_AGAIN}")
        if _LEFT_OVER.search(line):
            _say_left_over(Path(path).parent)
    return image


@functools.lru_cache(maxsize=64)
def _say_left_over(folder):
    """Warn of a folder's images, once."""
    logger.warning(
        "%s: a JPEG or more has bytes that were not needed to decode it, as some cameras add them; "
        "if a picture looks broken, %s",
        folder,
        COPY_AGAIN,
    )
