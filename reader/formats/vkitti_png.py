"""Virtual KITTI 2's flow PNG: 16-bit RGB as KITTI's, but its numbers mean something else.

R and G are u / (width - 1) and v / (height - 1), from -1 to 1, stored as 0 to 65535; B is 0 for the
sky and other pixels whose flow is not known. So says the section on optical flow of the readme at
https://europe.naverlabs.com/research/computer-vision/proxy-virtual-worlds-vkitti-2/.
"""

import os

import cv2
import numpy as np

from maskflownet.reader.formats.common import as_flow, as_known, flow_and_valid
from maskflownet.reader.formats.kitti_png import read_rgb16
from maskflownet.whole_file import whole_file

_LARGEST = 2**16 - 1


def read_vkitti_png(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read a flow PNG of Virtual KITTI 2.

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
        No PNG, a damaged one, or one of other than 16-bit RGB.
    """
    stored = read_rgb16(path, "flow in Virtual KITTI's format")
    height, width = stored.shape[:2]
    reach = np.float32([width - 1, height - 1])
    flow = (stored[..., :2].astype(np.float32) * np.float32(2 / _LARGEST) - 1) * reach
    return flow_and_valid(flow, stored[..., 2] != 0)


def write_vkitti_png(
    path: str | os.PathLike, flow: np.ndarray, valid: np.ndarray | None = None
) -> None:
    """Write a flow PNG in Virtual KITTI 2's format, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        The file to make or replace.
    flow : numpy.ndarray
        float (H, W, 2), (u, v) in pixels; clipped to one width and one height.
    valid : numpy.ndarray, optional
        uint8 (H, W, 1), not 0 where the flow is known; everywhere by default.

    Raises
    ------
    InputError
        The arrays are not such.
    """
    flow = as_flow(flow)
    known = as_known(valid, flow)
    height, width = known.shape
    share = flow[known] / np.float64([max(width - 1, 1), max(height - 1, 1)])
    stored = np.zeros((height, width, 3), np.uint16)
    stored[known, :2] = np.rint((np.clip(share, -1, 1) + 1) / 2 * _LARGEST)
    stored[known, 2] = _LARGEST
    with whole_file(path) as part:
        part.write_bytes(cv2.imencode(".png", stored[..., ::-1])[1].tobytes())
