"""Image files: read as OpenCV's ordinary colour reading does, but never wrong without a word."""

import os
from pathlib import Path

import cv2
import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.reader.formats import jpeg, png, pnm, rare, tiff, webp
from maskflownet.reader.formats.common import (
    bad_file,
    check_image_size,
    decode_image,
    read_bytes,
    say_if_dark,
    silence_opencv,
)
from maskflownet.whole_file import whole_file

# What OpenCV reads, by suffix: a file that should be an image and is not must not go unnoticed.
_SUFFIXES = "avif bmp dib jp2 jpe jpeg jpg pbm pgm png pnm ppm ras sr tif tiff webp"
IMAGE_SUFFIXES = frozenset(f".{suffix}" for suffix in _SUFFIXES.split())
# By how a file begins: what looks at it before it is decoded.
_CHECKS = {
    png.SIGNATURE: png.check_png,
    jpeg.SIGNATURE: jpeg.check_jpeg,
    webp.SIGNATURE: webp.check_webp,
    rare.BMP: rare.check_bmp,
    rare.SUN: rare.check_sun,
    rare.JPEG_2000: rare.check_jpeg_2000,
    **dict.fromkeys(pnm.MAGICS, pnm.check_pnm),
    **dict.fromkeys(pnm.RARE_MAGICS, pnm.check_rare_pnm),
    **dict.fromkeys(tiff.SIGNATURES, tiff.check_tiff),
    **dict.fromkeys(rare.FLOATS, rare.refuse_floats),
}
# What is to be done for EXIF's 2 to 8: transposed first or not, then mirrored up-down, left-right.
_TURNS = {
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, False, True),
    7: (True, True, True),
    8: (True, True, False),
}


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image file of any format that OpenCV knows.

    EXIF rotation is honoured, grey is repeated in the three channels, alpha is dropped, and 16 bits
    are scaled by 1/257, rounded (OpenCV's own would drop the lower byte). A warning tells where
    they seem to hold 12 bits or fewer, and where OpenCV converts colours in its own way. A PNG,
    JPEG, PPM or WebP that was cut short is an error, as is a damaged PNG, and a size that the
    file's bytes cannot hold. A JPEG has no checksums: it is an error that a part of it cannot be
    decoded, and other damage cannot be seen.

    Parameters
    ----------
    path : str or os.PathLike
        The file; its content, not its suffix, tells the format.

    Returns
    -------
    numpy.ndarray
        uint8 (H, W, 3), BGR.

    Raises
    ------
    MissingDataError
        Nothing is at `path`.
    InputError
        No image, one that is cut short or damaged or too large, or one with other than 8 or 16
        bits per channel, such as floats.
    """
    image = _stored_image(path)
    if image.dtype == np.uint16:
        say_if_dark(image, path)
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return image


def read_mask(path: str | os.PathLike) -> np.ndarray:
    """Read a picture of 8 or 16 bits as a mask.

    Parameters
    ----------
    path : str or os.PathLike
        The file, of any format that `read_image` reads.

    Returns
    -------
    numpy.ndarray
        bool (H, W): True where any of the colours is not black, be it by as little as 1 of 65535.

    Raises
    ------
    MissingDataError, InputError
        As `read_image`.
    """
    return _stored_image(path).any(axis=2)


def _stored_image(path):
    """Return what the file shows, upright, in its own depth: uint8 or uint16 (H, W, 3), BGR."""
    data = read_bytes(path)
    for signature, check in _CHECKS.items():
        if data.startswith(signature):
            check(data, path)
    decode = decode_image
    flags, orientation = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH, 1
    if data.startswith(jpeg.SIGNATURE):
        decode = jpeg.decode_jpeg
    elif data.startswith(tiff.SIGNATURES):
        decode = tiff.decode_tiff
    elif data.startswith(webp.SIGNATURE):
        orientation = webp.orientation(data)
        flags |= cv2.IMREAD_IGNORE_ORIENTATION
    elif data.startswith(pnm.RARE_MAGICS):
        data = pnm.with_line_ended(data)
    image = decode(data, path, flags)
    check_image_size(path, image.shape[:2], 0, len(data))
    if image.dtype not in (np.uint8, np.uint16):
        expected = "an image of 8 or 16 bits per channel"
        raise bad_file(path, expected, f"{image.dtype}", "convert it to an ordinary PNG")
    return _upright(image, orientation)


def _upright(image, orientation):
    """Return a picture turned as EXIF's number says."""
    if orientation not in _TURNS:
        return image
    transposed, up_down, left_right = _TURNS[orientation]
    image = image.transpose(1, 0, 2) if transposed else image
    return np.ascontiguousarray(image[:: -1 if up_down else 1, :: -1 if left_right else 1])


def read_pair(path1: str | os.PathLike, path2: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read two images that must be of one size.

    Parameters
    ----------
    path1, path2 : str or os.PathLike
        The files of image 1 and image 2.

    Returns
    -------
    image1, image2 : numpy.ndarray
        uint8 (H, W, 3), BGR, as `read_image` reads them.

    Raises
    ------
    MissingDataError, InputError
        As `read_image`; and InputError if the sizes differ.
    """
    image1, image2 = read_image(path1), read_image(path2)
    if image1.shape != image2.shape:
        (height1, width1), (height2, width2) = image1.shape[:2], image2.shape[:2]
        raise InputError(
            f"{os.fspath(path1)} and {os.fspath(path2)}: expected two images of one size, got "
            f"{width1}x{height1} and {width2}x{height2}; scale or crop one to the other's size"
        )
    return image1, image2


def write_image(path: str | os.PathLike, image_bgr: np.ndarray) -> None:
    """Write an image file, whole or not at all, in the format that its suffix names.

    Parameters
    ----------
    path : str or os.PathLike
        The file to make or replace; any suffix that OpenCV can write, such as .png, .jpg or .ppm.
    image_bgr : numpy.ndarray
        uint8 (H, W, 3), BGR, or (H, W), grey.

    Raises
    ------
    InputError
        A suffix that OpenCV cannot write, or no such array.
    """
    image = np.asarray(image_bgr)
    grey_or_bgr = image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)
    if image.dtype != np.uint8 or not grey_or_bgr or image.size == 0:
        raise InputError(
            f"{os.fspath(path)}: expected a uint8 image (H, W, 3) or (H, W) to write, got "
            f"{image.dtype} {image.shape}; convert it first"
        )
    suffix = Path(path).suffix
    try:
        silence_opencv()
        done, encoded = cv2.imencode(suffix, image)
    except cv2.error:
        done = False
    if not done:
        expected = f"a suffix that OpenCV can write {image.shape} pixels as, such as .png or .jpg"
        raise bad_file(path, expected, f"{suffix!r}", "change the suffix")
    with whole_file(path) as part:
        part.write_bytes(encoded.tobytes())
