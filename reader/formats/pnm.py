r"""A look at a binary PPM (or PGM) before it is decoded: that its length fits its header.

The header is "P6" (or "P5"), width, height and the largest value, with any white space or comments
between them, and exactly one white-space byte before the pixels. FlyingChairs' headers have spaces
before their line ends ("P6 \n512 384 \n255\n"). https://netpbm.sourceforge.net/doc/ppm.html.
"""

import os
import re

from maskflownet.reader.formats.common import COPY_AGAIN, bad_file, check_image_size, check_size

MAGICS = (b"P5", b"P6")
RARE_MAGICS = (b"P1", b"P2", b"P3", b"P4", b"P7")

_GAP_BEGINS = b" \t\n\v\f\r#"
_GAP = rb"(?:\s|#[^\n]*\n)+"
# Of the other kinds: text (a bit, grey, colours), packed bits, and PAM with its lines of words.
_TEXT_MAGICS = (b"P1", b"P2", b"P3")
_RARE_HEADER = re.compile(rb"P[1-4]" + 2 * (_GAP + rb"([0-9]{1,9})"))
_PAM_SIZE = re.compile(rb"^(WIDTH|HEIGHT)\s+([0-9]{1,9})\s*$", re.MULTILINE)
_PIXELS_PER_BYTE = 8  # of packed bits, the most
_HEADER = re.compile(rb"P([56])" + 3 * (_GAP + rb"([0-9]{1,9})") + rb"\s")


def check_pnm(data: bytes, path: str | os.PathLike) -> None:
    """Raise InputError unless a binary PPM or PGM has as many bytes as its header demands.

    More may follow, such as another picture. But where the pixels seem to begin with white space or
    a comment, one byte too many is refused too: the header ends in a way that OpenCV reads
    differently, and colours would come out shifted.

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
    needed = match.end() + pixel_bytes * width * height
    is_clear = data[match.end() : match.end() + 1] not in _GAP_BEGINS
    actual = min(len(data), needed) if is_clear else len(data)
    check_size(path, (height, width), needed, actual)
    check_image_size(path, (height, width), 0, len(data))


def check_rare_pnm(data: bytes, path: str | os.PathLike) -> None:
    """Raise InputError for a size of a PBM, PAM or text PNM that its bytes cannot hold."""
    if data.startswith(b"P7"):
        sizes = {name: int(number) for name, number in _PAM_SIZE.findall(data[:4096])}
        size_hw = sizes.get(b"HEIGHT", 0), sizes.get(b"WIDTH", 0)
    else:
        match = _RARE_HEADER.match(data)
        width, height = map(int, match.groups()) if match else (0, 0)
        size_hw = height, width
    if size_hw != (0, 0):
        least = size_hw[0] * size_hw[1] / _PIXELS_PER_BYTE
        check_image_size(path, size_hw, least, len(data))


def with_line_ended(data: bytes) -> bytes:
    """Return a PNM with its last line ended if it is of text: else OpenCV takes it for cut."""
    return data + b"\n" if data.startswith(_TEXT_MAGICS) else data
