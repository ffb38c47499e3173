"""What the readers and writers of all formats share: opening, checking, saying what is wrong."""

import contextlib
import functools
import logging
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from maskflownet.config.errors import InputError, MissingDataError

logger = logging.getLogger(__name__)

# Middlebury's convention for pixels whose flow is not known (UNKNOWN_FLOW and UNKNOWN_FLOW_THRESH
# in flowIO.h of https://vision.middlebury.edu/flow/code/flow-code/): 1e10 is written, and any
# larger magnitude than 1e9, or NaN, is read as unknown.
UNKNOWN_FLOW = 1e10
_UNKNOWN_ABOVE = 1e9

COPY_AGAIN = "copy or download the file again"
# Of an image of any format: 134 million, more than any camera has; 16 bits times 3 are 0.8 GB.
MAX_PIXELS = 2**27
LARGEST_OF_12_BITS = 4095


def bad_file(path: str | os.PathLike, expected: str, got: str, remedy: str) -> InputError:
    """Return the error for a file that is not what it should be, as one line."""
    return InputError(f"{os.fspath(path)}: expected {expected}, got {got}; {remedy}")


def describe_start(data: bytes) -> str:
    """Return words for what a file of an unknown kind holds, from its first bytes."""
    return f"one that begins with {data[:8]!r}" if data else "an empty one"


@contextlib.contextmanager
def open_input(path: str | os.PathLike) -> Iterator[tuple[BinaryIO, int]]:
    """Open a regular file for reading; yield it with its size in bytes.

    Raises
    ------
    MissingDataError
        Nothing is at `path`.
    InputError
        It is a folder or a device, or the system refuses to read it.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise MissingDataError(f"{path}: expected a file, got nothing there; check the path")
        if not path.is_file():
            raise bad_file(path, "a file", "a folder or a device", "name one file")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                remedy = "what wrote or copied it did not finish: do that again"
                raise bad_file(path, "a file with content", "an empty one", remedy)
            yield file, size
    except InputError:
        raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise bad_file(path, "a readable file", f'"{reason}"', "check the file") from error


def read_bytes(path: str | os.PathLike) -> bytes:
    """Return everything that a file holds; errors as `open_input` has them."""
    with open_input(path) as (file, _):
        return file.read()


def check_size(
    path: str | os.PathLike, size_hw: tuple[int, int], expected: int, actual: int
) -> None:
    """Raise InputError unless a header's claim fits the file; call it before allocating anything.

    Parameters
    ----------
    path : str or os.PathLike
        The file, for the message.
    size_hw : tuple of int
        Height and width that the header states, in pixels.
    expected, actual : int
        Size of the whole file in bytes: what the header demands, and what is there. More bytes
        than expected are as wrong as fewer: nothing then tells which part is the flow.
    """
    height, width = size_hw
    if height < 1 or width < 1:
        raise bad_file(path, "a width and height of at least 1", f"{width}x{height}", COPY_AGAIN)
    if actual != expected:
        fault = "it was cut short" if actual < expected else "it has more than its header says"
        raise bad_file(
            path,
            f"{expected} bytes for a size of {width}x{height}",
            f"{actual}",
            f"{fault}: {COPY_AGAIN}",
        )


def check_image_size(
    path: str | os.PathLike, size_hw: tuple[int, int], least: float, actual: int
) -> None:
    """Raise InputError for an image whose claimed size is too large, or that its bytes cannot hold.

    Parameters
    ----------
    path : str or os.PathLike
        The file, for the message.
    size_hw : tuple of int
        Height and width that the header states, in pixels.
    least : float
        How many bytes an image of this size has at least in this format; 0 where that is not known.
    actual : int
        How many bytes of it are there.
    """
    height, width = size_hw
    if not (width > 0 < height and width * height <= MAX_PIXELS):
        expected = f"an image of 1 to {MAX_PIXELS} pixels"
        remedy = "scale it down" if width > 0 < height else COPY_AGAIN
        raise bad_file(path, expected, f"a size of {width}x{height}", remedy)
    if actual < least:
        expected = f"at least {math.ceil(least)} bytes of pixels for {width}x{height}"
        raise bad_file(path, expected, f"{actual}", COPY_AGAIN)


def decode_image(data: bytes, path: str | os.PathLike, flags: int) -> np.ndarray:
    """Decode the bytes of an image file with OpenCV.

    From memory, because `cv2.imread` returns the upper part of a JPEG that was cut short where
    `cv2.imdecode` refuses it, and because Python opens any path, also where OpenCV cannot.

    Parameters
    ----------
    data : bytes
        The whole file.
    path : str or os.PathLike
        Where it came from, for the message.
    flags : int
        OpenCV's IMREAD_ flags.

    Returns
    -------
    numpy.ndarray
        (H, W) or (H, W, C), BGR, in the dtype that the flags and the file lead to.

    Raises
    ------
    InputError
        OpenCV cannot make a picture of it.
    """
    expected = "an image that OpenCV can decode"
    remedy = "if other programs show it, save it as PNG; else it is no image, or cut or damaged"
    if not data:
        raise bad_file(path, expected, describe_start(data), COPY_AGAIN)
    silence_opencv()
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:  # such as its own limit of 2^30 pixels
        reason = " ".join(error.err.split())
        raise bad_file(path, expected, f'"{reason}"', remedy) from error
    if image is None:
        raise bad_file(path, expected, describe_start(data), remedy)
    return image


@functools.cache  # once
def silence_opencv() -> None:
    """Have OpenCV print nothing of a damaged file: the errors raised here say it, in one line."""
    if "OPENCV_LOG_LEVEL" not in os.environ:
        # Where this lies: up to OpenCV 4.13, and in newer ones.
        (getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel)(0)


def say_if_dark(image: np.ndarray, path: str | os.PathLike) -> None:
    """Warn, once a folder, of stored numbers of 16 bits that hold 12 or fewer."""
    if 0 < image.max() <= LARGEST_OF_12_BITS:
        _say_dark(Path(path).parent)


@functools.lru_cache(maxsize=64)
def _say_dark(folder):
    logger.warning(
        "%s: images of 16 bits per channel hold no value above %d and are read as nearly black "
        "(or white, where white is 0): if their values are of 12 bits or fewer, scale them to "
        "0..65535, or convert them to 8 bits",
        folder,
        LARGEST_OF_12_BITS,
    )


@functools.lru_cache(maxsize=64)
def say_other_colours(folder: Path, kind: str) -> None:
    """Warn, once a folder, of images ("a TIFF in CIELAB") that OpenCV converts in its own way."""
    logger.warning(
        "%s: %s or more: OpenCV makes other colours of it than most programs, single ones by some "
        "40 of 255; save it in RGB",
        folder,
        kind,
    )


def known_flow(flow: np.ndarray) -> np.ndarray:
    """Return where a flow is known, by Middlebury's convention.

    Parameters
    ----------
    flow : numpy.ndarray
        float (H, W, 2), (u, v) in pixels.

    Returns
    -------
    numpy.ndarray
        bool (H, W): both components are numbers of magnitude 1e9 at most.
    """
    known_uv = np.abs(flow) <= _UNKNOWN_ABOVE  # False for NaN too
    return known_uv[..., 0] & known_uv[..., 1]


def flow_and_valid(flow: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what readers with a mask return, from a flow that this sets to 0 where not known.

    Parameters
    ----------
    flow : numpy.ndarray
        float32 (H, W, 2), (u, v) in pixels; changed in place.
    known : numpy.ndarray
        bool (H, W).

    Returns
    -------
    flow : numpy.ndarray
        The same array.
    valid : numpy.ndarray
        uint8 (H, W, 1), 255 where known and 0 elsewhere.
    """
    for component in (flow[..., 0], flow[..., 1]):  # several times faster than both at once
        component[~known] = 0
    return flow, known[..., None].astype(np.uint8) * np.uint8(255)


def as_flow(flow: np.ndarray) -> np.ndarray:
    """Return a flow that is to be written as float32 (H, W, 2); raise InputError if it is none."""
    flow = np.asarray(flow)
    if flow.ndim != 3 or flow.shape[2] != 2 or flow.size == 0 or flow.dtype.kind != "f":
        raise InputError(
            f"a flow to be written: expected a float array (H, W, 2), got {flow.dtype} "
            f"{flow.shape}; give (u, v) in pixels on the last axis"
        )
    return flow.astype(np.float32, copy=False)


def as_float32(values: np.ndarray) -> np.ndarray:
    """Return floats as a new float32 array; what is beyond float32 becomes infinite."""
    with np.errstate(over="ignore"):
        return np.array(values, np.float32, order="C")


def as_known(valid: np.ndarray | None, flow: np.ndarray) -> np.ndarray:
    """Return bool (H, W): where `flow` is known and `valid`, uint8 (H, W, 1) or None, is not 0."""
    known = known_flow(flow)
    if valid is None:
        return known
    valid = np.asarray(valid)
    if valid.shape != (*flow.shape[:2], 1):
        raise InputError(
            f"a valid mask to be written: expected {(*flow.shape[:2], 1)} as its flow is "
            f"{flow.shape}, got {valid.shape}; give (H, W, 1)"
        )
    return known & (valid[..., 0] != 0)
