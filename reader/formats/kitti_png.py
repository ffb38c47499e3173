"""KITTI's flow PNG (HD1K's too): 16-bit RGB, u = (R - 2^15) / 64, v = (G - 2^15) / 64, B = valid.

The values reach from -512 to 511.98 px in steps of 1/64. The format's description is in the
development kit of https://www.cvlibs.net/datasets/kitti/eval_scene_flow.php?benchmark=flow.
"""

import os

import cv2
import numpy as np

from maskflownet.reader.formats.common import (
    as_flow,
    as_known,
    bad_file,
    decode_image,
    flow_and_valid,
    read_bytes,
)
from maskflownet.reader.formats.png import check_png
from maskflownet.whole_file import whole_file

_ZERO = 2**15
_STEPS = 64  # per pixel
_LARGEST = 2**16 - 1
# Where the flow is known KITTI and HD1K store B = 1. Virtual KITTI 2, whose R and G mean something
# else, stores this: https://europe.naverlabs.com/proxy-virtual-worlds-vkitti-2/.
_VALID_OF_VIRTUAL_KITTI = 2**16 - 1
# The stored numbers in the stored order of rows, whatever else the file says about itself.
_AS_STORED = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION


def read_kitti_png(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read a flow PNG in KITTI's format.

    Parameters
    ----------
    path : str or os.PathLike
        The file.

    Returns
    -------
    flow : numpy.ndarray
        float32 (H, W, 2), (u, v) in pixels, 0 where not valid.
    valid : numpy.ndarray
        uint8 (H, W, 1), 255 where the flow is known and 0 elsewhere.

    Raises
    ------
    MissingDataError
        Nothing is at `path`.
    InputError
        No PNG, a damaged one, one of other than 16-bit RGB, or Virtual KITTI 2's, which is coded
        otherwise.
    """
    stored = read_rgb16(path, "flow in KITTI's format")
    marks = stored[..., 2]
    known = marks != 0
    if known.any() and marks[known].min() == _VALID_OF_VIRTUAL_KITTI:
        expected = "flow in KITTI's coding, with B = 1 where it is known"
        remedy = "read Virtual KITTI 2 with `dataset: vkitti2`, or convert it to .flo"
        raise bad_file(path, expected, "B = 65535, as Virtual KITTI 2 stores it", remedy)
    flow = (stored[..., :2].astype(np.float32) - _ZERO) / _STEPS
    return flow_and_valid(flow, known)


def read_rgb16(path: str | os.PathLike, content: str) -> np.ndarray:
    """Return the numbers of a 16-bit RGB PNG, uint16 (H, W, 3), RGB.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    content : str
        What it ought to hold, for the message.

    Raises
    ------
    MissingDataError
        Nothing is at `path`.
    InputError
        No PNG, a damaged one, or one of other than 16-bit RGB.
    """
    data = read_bytes(path)
    stored = check_png(data, path).stored
    if stored != "16-bit RGB":
        remedy = "if it is a picture, name the flow file instead"
        if stored == "16-bit RGB with alpha":
            remedy = "write it without the alpha channel"
        raise bad_file(path, f"a 16-bit RGB PNG with {content}", stored, remedy)
    return decode_image(data, path, _AS_STORED)[..., ::-1]  # OpenCV's order is B, G, R


def write_kitti_png(
    path: str | os.PathLike, flow: np.ndarray, valid: np.ndarray | None = None
) -> None:
    """Write a flow PNG in KITTI's format, whole or not at all.

    Values are rounded to 1/64 px and clipped to the format's range, -512 to 511.98 px. Pixels that
    are not valid, or whose flow is unknown (see `read_flow`), are stored as zeros, as KITTI's
    development kit does.

    Parameters
    ----------
    path : str or os.PathLike
        The file to make or replace.
    flow : numpy.ndarray
        float (H, W, 2), (u, v) in pixels.
    valid : numpy.ndarray, optional
        uint8 (H, W, 1), not 0 where the flow is known; everywhere by default.

    Raises
    ------
    InputError
        The arrays are not such.
    """
    flow = as_flow(flow)
    known = as_known(valid, flow)
    stored = np.zeros((*known.shape, 3), np.uint16)
    levels = np.rint(flow[known].astype(np.float64) * _STEPS + _ZERO)
    stored[known, :0:-1] = np.clip(levels, 0, _LARGEST)
    stored[known, 0] = 1
    with whole_file(path) as part:
        part.write_bytes(cv2.imencode(".png", stored)[1].tobytes())
