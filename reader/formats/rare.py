"""A look at images of the rarer formats before they are decoded: their size, and their colours."""

import os
import struct
from pathlib import Path

from maskflownet.reader.formats.common import bad_file, check_image_size, say_other_colours

BMP, SUN, JPEG_2000 = b"BM", b"\x59\xa6\x6a\x95", b"\0\0\0\x0cjP  "
# Radiance, PFM of three channels and one, OpenEXR.
FLOATS = (b"#?", b"PF", b"Pf", b"\x76\x2f\x31\x01")

_OS2_HEADER = 12  # bytes
_UNCOMPRESSED = (0, 3)
# In JPEG 2000's box of the colour space: it is one of a list, and YCbCr of that.
_LISTED, _SYCC = 1, 18


def check_bmp(data: bytes, path: str | os.PathLike) -> None:
    """Raise InputError for a BMP's size that is too large, or that its bytes cannot hold."""
    if len(data) < 34:
        return
    (header,) = struct.unpack_from("<I", data, 14)
    if header == _OS2_HEADER:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    height = abs(height)  # negative where the top row comes first
    row = (width * bits + 31) // 32 * 4
    least = height * row if compression in _UNCOMPRESSED else 0
    check_image_size(path, (height, width), least, len(data))


def check_sun(data: bytes, path: str | os.PathLike) -> None:
    """Raise InputError for a Sun raster's size that is too large."""
    if len(data) >= 12:
        width, height = struct.unpack_from(">II", data, 4)
        check_image_size(path, (height, width), 0, len(data))


def check_jpeg_2000(data: bytes, path: str | os.PathLike) -> None:
    """Raise InputError for a JPEG 2000's size that is too large; warn of colours as YCbCr."""
    start = data.find(b"ihdr", 0, 1024)
    if start >= 0 and len(data) >= start + 12:
        size_hw = struct.unpack_from(">II", data, start + 4)
        check_image_size(path, size_hw, 0, len(data))
    colours = data.find(b"colr", 0, 1024)
    if colours >= 0 and len(data) >= colours + 11:
        kind, number = struct.unpack_from(">B2xI", data, colours + 4)
        if (kind, number) == (_LISTED, _SYCC):
            say_other_colours(Path(path).parent, "a JPEG 2000 in YCbCr")


def refuse_floats(data: bytes, path: str | os.PathLike) -> None:
    """Raise InputError: such a picture holds no 8 or 16 bits per channel."""
    del data
    expected = "an image of 8 or 16 bits per channel"
    raise bad_file(path, expected, "one of floats", "convert it to an ordinary PNG")
