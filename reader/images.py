"""Image files: read as OpenCV's ordinary colour reading does, but never wrong without a word."""

import os
from pathlib import Path

import cv2
import numpy as np

from config.errors import InputError
from reader.formats import jpeg, png, pnm
from reader.formats.common import bad_file, decode_image, read_bytes
from reader.whole_file import whole_file


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Read an image file of any format that OpenCV knows.

    EXIF rotation is honoured, grey is repeated in the three channels, alpha is dropped, and 16 bits
    are scaled by 1/257, rounded (OpenCV's own would drop the lower byte). A PNG, JPEG or PPM that
    was cut short is an error, as is a damaged PNG. Damage inside a JPEG cannot be seen: the format
    has no checksums.

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
    data = read_bytes(path)
    if data.startswith(png.SIGNATURE):
        png.check_png(data, path)
    elif data.startswith(jpeg.SIGNATURE):
        jpeg.check_jpeg(data, path)
    elif data.startswith(pnm.MAGICS):
        pnm.check_pnm(data, path)
    image = decode_image(data, path, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image.dtype == np.uint16:
        image = ((image.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if image.dtype != np.uint8:
        expected = "an image of 8 or 16 bits per channel"
        raise bad_file(path, expected, f"{image.dtype}", "convert it to an ordinary PNG")
    return image


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
        done, encoded = cv2.imencode(suffix, image)
    except cv2.error:
        done = False
    if not done:
        expected = f"a suffix that OpenCV can write {image.shape} pixels as, such as .png or .jpg"
        raise bad_file(path, expected, f"{suffix!r}", "change the suffix")
    with whole_file(path) as part:
        part.write_bytes(encoded.tobytes())
