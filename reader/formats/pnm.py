r"""A look at a binary PPM (or PGM) before it is decoded: that its length fits its header.

The header is "P6" (or "P5"), width, height and the largest value, with any white space or comments
between them, and exactly one white-space byte before the pixels. FlyingChairs' headers have spaces
before their line ends ("P6 \n512 384 \n255\n"). https://netpbm.sourceforge.net/doc/ppm.html.
"""

import os
import re

from reader.formats.common import COPY_AGAIN, bad_file, check_size

MAGICS = (b"P5", b"P6")

_GAP = rb"(?:\s|#[^\n]*\n)+"
_HEADER = re.compile(rb"P([56])" + 3 * (_GAP + rb"([0-9]{1,9})") + rb"\s")


def check_pnm(data: bytes, path: str | os.PathLike) -> None:
    """Raise InputError unless a binary PPM or PGM has as many bytes as its header demands.

    One byte too many is refused too: such a file is one whose header ends in a way that OpenCV
    reads differently, and its colours would come out shifted.

    Parameters
    ----------
    data : bytes
        The whole file.
    path : str or os.PathLike
        Where it came from, for the message.
    """
    match = _HEADER.match(data)
    if match is None:
        remedy = f"if it is an image, {COPY_AGAIN}"
        raise bad_file(path, "a PPM header", f"{data[:20]!r}", remedy)
    kind, width, height, largest = map(int, match.groups())
    if largest not in (255, 65535):
        # OpenCV does not scale by this number, so that the picture would be too dark.
        expected = "a PPM whose largest value is 255 or 65535"
        raise bad_file(path, expected, f"{largest}", "convert it to PNG")
    pixel_bytes = (3 if kind == 6 else 1) * (2 if largest == 65535 else 1)
    check_size(path, (height, width), match.end() + pixel_bytes * width * height, len(data))
