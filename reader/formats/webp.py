"""A look at a WebP: its size before it is decoded, and how it is turned, which OpenCV ignores.

The format: https://developers.google.com/speed/webp/docs/riff_container.
"""

import os
from collections.abc import Iterator

from maskflownet.reader.formats import tiff
from maskflownet.reader.formats.common import COPY_AGAIN, bad_file, check_image_size

SIGNATURE = b"RIFF"

_EXIF_MARK = b"Exif\0\0"  # stands before the TIFF block in JPEG, and by mistake here too


def check_webp(data: bytes, path: str | os.PathLike) -> None:
    """Raise InputError for a WebP that was cut short, or whose size is too large.

    Parameters
    ----------
    data : bytes
        The whole file.
    path : str or os.PathLike
        Where it came from, for the message.
    """
    whole = 8 + int.from_bytes(data[4:8], "little")
    if whole > len(data):
        got = f"an end after {len(data)} of {whole} bytes"
        raise bad_file(path, "a complete WebP", got, f"it was cut short: {COPY_AGAIN}")
    size_hw = _size(data)
    if size_hw is not None:
        check_image_size(path, size_hw, 0, len(data))  # a picture of one colour takes 30 bytes


def _size(data):
    """Return (height, width), or None where the first chunk is of no known kind."""
    kind, body = data[12:16], data[20:30]
    if len(body) < 10:
        return None
    if kind == b"VP8X":
        width, height = (int.from_bytes(body[i : i + 3], "little") for i in (4, 7))
        return height + 1, width + 1
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = (int.from_bytes(body[i : i + 2], "little") & 0x3FFF for i in (6, 8))
        return height, width
    return None


def orientation(data: bytes) -> int:
    """Return how a WebP's EXIF says that its picture is turned: 1 to 8, 1 for not at all."""
    for kind, body in _chunks(data):
        if kind == b"EXIF":
            return tiff.orientation(body.removeprefix(_EXIF_MARK))
    return 1


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    start = 12
    while start + 8 <= len(data):
        length = int.from_bytes(data[start + 4 : start + 8], "little")
        yield data[start : start + 4], data[start + 8 : start + 8 + length]
        start += 8 + length + length % 2
