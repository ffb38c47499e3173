"""A look at a JPEG before it is decoded: that its end mark is there.

OpenCV notices most JPEGs that were cut short, but not one whose lost part is filled with zeros, as
a broken download or a crashed disk leaves it: that decodes to grey. The markers are those of
https://www.w3.org/Graphics/JPEG/itu-t81.pdf, annex B.
"""

import os

from reader.formats.common import COPY_AGAIN, bad_file

SIGNATURE = b"\xff\xd8\xff"

_START_OF_SCAN = b"\xff\xda"
_END_OF_IMAGE = b"\xff\xd9"  # not inside a scan: there 00 or a restart mark follows FF


def check_jpeg(data: bytes, path: str | os.PathLike) -> None:
    """Raise InputError unless an end mark follows the picture data of a JPEG.

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
        fill = data.startswith(b"\xff\xff", start)  # a marker may have more than one FF
        start += 1 if fill else 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    if data.find(_END_OF_IMAGE, start) < 0:
        got = f"no end mark in {len(data)} bytes"
        raise bad_file(path, "a complete JPEG", got, f"it was cut short: {COPY_AGAIN}")
