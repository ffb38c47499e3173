"""TIFFs: a look at one before it is decoded, and its colours.

The format: https://www.itu.int/itudoc/itu-t/com16/tiff-fx/docs/tiff6.pdf. EXIF is in the same form.
"""

import os
import struct
import tempfile
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.reader.formats.common import (
    check_image_size,
    decode_image,
    say_if_dark,
    say_other_colours,
)

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _EXTRA_SAMPLES = 274, 277, 338
_UNASSOCIATED, _ASSOCIATED = 2, 1
_WHITE_IS_ZERO, _CIELAB = 0, 8
_TYPES = {1: "B", 3: "H", 4: "I", 16: "Q"}  # the whole numbers
# No more than so many bytes come out of one: none, LZW, the two numbers of Deflate, PackBits.
_RATIOS = {1: 1, 5: 2000, 8: 1032, 32946: 1032, 32773: 64}


class _Entry(NamedTuple):
    """A tag's numbers, and where they stand."""

    values: tuple[int, ...]
    place: int
    layout: str


def _directory(data: bytes) -> dict[int, _Entry]:
    """Return the entries of whole numbers of the first directory; none if there is no such thing.

    Whether the rest of a file is right is its decoder's business.
    """
    order = "<" if data.startswith(b"II") else ">"
    big = data[2:4] in (b"+\0", b"\0+")
    offset, count, entry = ("Q", "Q", "HHQ8s") if big else ("I", "H", "HHI4s")
    entries = {}
    try:
        (start,) = struct.unpack_from(order + offset, data, 8 if big else 4)
        (number,) = struct.unpack_from(order + count, data, start)
        start += struct.calcsize(order + count)
        for _ in range(min(number, len(data) // struct.calcsize(order + entry))):
            tag, kind, length, inside = struct.unpack_from(order + entry, data, start)
            place = start + struct.calcsize(order + entry) - len(inside)
            start += struct.calcsize(order + entry)
            if kind not in _TYPES or length > len(data):
                continue
            layout = f"{order}{length}{_TYPES[kind]}"
            if struct.calcsize(layout) > len(inside):
                (place,) = struct.unpack_from(order + offset, inside)
            entries[tag] = _Entry(struct.unpack_from(layout, data, place), place, layout)
    except struct.error:  # an offset beyond the end
        pass
    return entries


def _number(entries, tag, default):
    values = entries[tag].values if tag in entries else ()
    return values[0] if values else default


def check_tiff(data: bytes, path: str | os.PathLike) -> None:
    """Raise InputError for a size that is too large, or that the file's bytes cannot hold.

    Parameters
    ----------
    data : bytes
        The whole file.
    path : str or os.PathLike
        Where it came from, for the message.
    """
    entries = _directory(data)
    if not {_WIDTH, _HEIGHT} <= entries.keys():
        return
    height, width = (_number(entries, tag, 0) for tag in (_HEIGHT, _WIDTH))
    bits = _number(entries, _BITS, 1) * _number(entries, _SAMPLES, 1)
    ratio = _RATIOS.get(_number(entries, _COMPRESSION, 1))
    # Colour may be stored at half or a quarter of the size.
    least = height * width * bits / 8 / 4 / ratio if ratio else 0
    check_image_size(path, (height, width), least, len(data))


def orientation(data: bytes) -> int:
    """Return how a TIFF or EXIF block says that its picture is turned: 1 to 8, 1 for not at all."""
    value = _number(_directory(data), _ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def decode_tiff(data: bytes, path: str | os.PathLike, flags: int) -> np.ndarray:
    """Decode a TIFF with OpenCV, and see to its colours.

    Colours are not multiplied by alpha, and white is white also where it is stored as 0 in 16 bits,
    which OpenCV leaves as it is. CIELAB is warned of, once a folder: what comes out are not quite
    the colours that other programs show.

    Parameters
    ----------
    data, path, flags
        As for `decode_image`.

    Returns
    -------
    numpy.ndarray
        As `decode_image` does.

    Raises
    ------
    InputError
        OpenCV cannot make a picture of it.
    """
    entries = _directory(data)
    photometric = _number(entries, _PHOTOMETRIC, -1)
    data = _with_colours_kept(data, entries)
    try:
        image = decode_image(data, path, flags)
    except InputError:
        image = _from_file(data, flags)
        if image is None:
            raise
    if photometric == _CIELAB:
        say_other_colours(Path(path).parent, "a TIFF in CIELAB")
    if photometric == _WHITE_IS_ZERO and image.dtype == np.uint16:
        say_if_dark(image, path)
        image = cv2.bitwise_not(image)
    return image


def _from_file(data, flags):
    """Return what OpenCV reads from a file of these bytes, or None.

    From memory it refuses tiles whose bytes are no multiple of 1024
    (`findings/opencv_tiled_tiff.sh`). What is cut short it refuses either way.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "image.tif")
        file.write_bytes(data)
        return cv2.imread(str(file), flags)


def _with_colours_kept(data, entries):
    """Return a TIFF whose colours no decoder multiplies by its alpha.

    libtiff does so where alpha is said to be "unassociated", not yet multiplied in. Said to be
    multiplied in already, the stored colours come out.
    """
    entry = entries.get(_EXTRA_SAMPLES)
    if entry is None or _UNASSOCIATED not in entry.values:
        return data
    values = [_ASSOCIATED if value == _UNASSOCIATED else value for value in entry.values]
    changed = bytearray(data)
    struct.pack_into(entry.layout, changed, entry.place, *values)
    return bytes(changed)
