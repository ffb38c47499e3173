"""A look at a PNG before it is decoded: that it is whole and its stated size believable.

OpenCV refuses damaged PNGs too, but only after it took the memory that the header asks for, and
with messages of its own on stderr. The format: https://www.w3.org/TR/png/.
"""

import os
import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from maskflownet.reader.formats.common import COPY_AGAIN, bad_file, check_image_size, describe_start

SIGNATURE = b"\x89PNG\r\n\x1a\n"

_DEFLATE_RATIO = 1032  # no deflate stream unpacks to more: https://zlib.net/zlib_tech.html
# By colour type: channels of a pixel, and what people call it.
_COLOUR_TYPES = {
    0: (1, "grey"),
    2: (3, "RGB"),
    3: (1, "palette"),
    4: (2, "grey with alpha"),
    6: (4, "RGB with alpha"),
}


class PngHeader(NamedTuple):
    """The parts of a PNG's IHDR chunk that matter here."""

    width: int
    height: int
    bit_depth: int
    colour_type: int

    @property
    def pixel_bits(self) -> int:
        """How many bits a pixel takes; of an unknown colour type at least."""
        channels, _ = _COLOUR_TYPES.get(self.colour_type, (1, ""))
        return self.bit_depth * channels

    @property
    def stored(self) -> str:
        """How pixels are stored, in words: "16-bit RGB"."""
        _, name = _COLOUR_TYPES.get(self.colour_type, (1, f"of colour type {self.colour_type}"))
        return f"{self.bit_depth}-bit {name}"


def check_png(data: bytes, path: str | os.PathLike) -> PngHeader:
    """Check that a PNG is whole and undamaged, without decoding it.

    Bytes behind the end mark are ignored, as all programs do: the checksums before it say that
    the picture is complete.

    Parameters
    ----------
    data : bytes
        The whole file.
    path : str or os.PathLike
        Where it came from, for the message.

    Returns
    -------
    PngHeader
        The size in pixels, the bits per channel and the kind of colour.

    Raises
    ------
    InputError
        No PNG, cut short, a wrong checksum, or a size that its data cannot fill or that is too
        large.
    """
    if not data.startswith(SIGNATURE):
        raise bad_file(path, "a PNG file", describe_start(data), "convert it to PNG")
    chunks = _chunks(data, path)
    kind, body = next(chunks)
    if kind != b"IHDR" or len(body) != 13:
        raise bad_file(path, "a PNG that begins with its header", f"{kind!r}", COPY_AGAIN)
    header = PngHeader(*struct.unpack(">IIBB3x", body))
    compressed = sum(len(body) for kind, body in chunks if kind == b"IDAT")
    _check_believable(header, compressed, path)
    return header


def _chunks(data: bytes, path: str | os.PathLike) -> Iterator[tuple[bytes, memoryview]]:
    """Yield each chunk's kind and content up to the end mark, checking lengths and checksums."""
    view = memoryview(data)
    start, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        length = int.from_bytes(view[start : start + 4], "big")
        end = start + 12 + length
        if end > len(data):
            got = f"an end after {len(data)} bytes"
            raise bad_file(path, "a complete PNG", got, f"it was cut short: {COPY_AGAIN}")
        kind = bytes(view[start + 4 : start + 8])
        if zlib.crc32(view[start + 4 : end - 4]) != int.from_bytes(view[end - 4 : end], "big"):
            got = f"a wrong checksum at byte {start}"
            raise bad_file(path, "an undamaged PNG", got, COPY_AGAIN)
        yield kind, view[start + 8 : end - 4]
        start = end


def _check_believable(header: PngHeader, compressed: int, path: str | os.PathLike) -> None:
    """Raise InputError for a size that is too large, or larger than the data can fill."""
    # A row begins with a byte for its filter.
    unpacked = header.height * (1 + (header.width * header.pixel_bits + 7) // 8)
    size_hw = header.height, header.width
    check_image_size(path, size_hw, unpacked / _DEFLATE_RATIO, compressed)
