"""Flow files of all formats, each in `reader.formats`, or by suffix.

.flo, KITTI's 16-bit .png, .pfm, .npy, .npz and Spring's .flo5.

Everywhere a flow is float32 (H, W, 2), (u, v) = (x, y) in pixels, and a valid mask is uint8
(H, W, 1), 255 where the flow is known. The readers of all but .png return what is stored;
`read_flow` turns it into a flow and a mask.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.reader.formats.common import (
    UNKNOWN_FLOW,
    as_flow,
    as_known,
    flow_and_valid,
    known_flow,
)
from maskflownet.reader.formats.flo import read_flo, write_flo
from maskflownet.reader.formats.flo5 import read_flo5, write_flo5
from maskflownet.reader.formats.kitti_png import read_kitti_png, write_kitti_png
from maskflownet.reader.formats.npy import read_npy, write_npy
from maskflownet.reader.formats.npz import read_npz, write_npz
from maskflownet.reader.formats.pfm import read_pfm, write_pfm

__all__ = [
    "FLOW_SUFFIXES",
    "read_flo",
    "read_flo5",
    "read_flow",
    "read_kitti_png",
    "read_npy",
    "read_npz",
    "read_pfm",
    "write_flo",
    "write_flo5",
    "write_flow",
    "write_kitti_png",
    "write_npy",
    "write_npz",
    "write_pfm",
]

# The formats in which marks among the values say what is unknown.
_BY_SUFFIX: dict[str, tuple[Callable, Callable]] = {
    ".flo": (read_flo, write_flo),
    ".pfm": (read_pfm, write_pfm),
    ".npy": (read_npy, write_npy),
    ".npz": (read_npz, write_npz),
    ".flo5": (read_flo5, write_flo5),
}
FLOW_SUFFIXES = (".flo", ".png", ".pfm", ".npy", ".npz", ".flo5")


def read_flow(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
    """Read a flow file of any known format, told by its suffix.

    In all but .png a pixel is unknown if a component is NaN, infinite or of a magnitude above 1e9:
    Middlebury's convention (UNKNOWN_FLOW_THRESH in flowIO.h of
    https://vision.middlebury.edu/flow/code/flow-code/). A KITTI .png has its own mask, and a .npz
    may have an array "valid" too.

    Parameters
    ----------
    path : str or os.PathLike
        A file that ends in one of FLOW_SUFFIXES, in any case.

    Returns
    -------
    flow : numpy.ndarray
        float32 (H, W, 2), (u, v) in pixels, 0 where not valid; always finite.
    valid : numpy.ndarray
        uint8 (H, W, 1), 255 where the flow is known and 0 elsewhere.

    Raises
    ------
    MissingDataError
        Nothing is at `path`.
    InputError
        Another suffix, or a file that is not what its suffix says.
    """
    suffix = _known_suffix(path)
    if suffix == ".png":
        return read_kitti_png(path)
    if suffix == ".npz":
        flow, valid = read_npz(path)
        return flow_and_valid(flow, known_flow(flow) & (True if valid is None else valid))
    read, _ = _BY_SUFFIX[suffix]
    flow = read(path)
    return flow_and_valid(flow, known_flow(flow))


def write_flow(path: str | os.PathLike, flow: np.ndarray, valid: np.ndarray | None = None) -> None:
    """Write a flow file of any known format, told by its suffix, whole or not at all.

    `read_flow` gives back the same flow and mask, but for .png, which stores 1/64 px from -512 to
    511.98 px only. In the others, pixels that are not valid are stored as 1e10, and in .flo5 as
    NaN.

    Parameters
    ----------
    path : str or os.PathLike
        The file to make or replace, which ends in one of FLOW_SUFFIXES, in any case.
    flow : numpy.ndarray
        float (H, W, 2), (u, v) in pixels.
    valid : numpy.ndarray, optional
        uint8 (H, W, 1), not 0 where the flow is known; everywhere by default.

    Raises
    ------
    InputError
        Another suffix, or arrays that are not such.
    """
    suffix = _known_suffix(path)
    if suffix == ".png":
        write_kitti_png(path, flow, valid)
        return
    flow = as_flow(flow)
    known = as_known(valid, flow)
    _, write = _BY_SUFFIX[suffix]
    mark = np.float32(np.nan if suffix == ".flo5" else UNKNOWN_FLOW)
    write(path, np.where(known[..., None], flow, mark))


def _known_suffix(path: str | os.PathLike) -> str:
    """Return the suffix in lower case; raise InputError if it stands for no flow format."""
    suffix = Path(path).suffix.lower()
    if suffix not in FLOW_SUFFIXES:
        raise InputError(
            f"{os.fspath(path)}: expected a flow file that ends in {', '.join(FLOW_SUFFIXES)}, "
            f"got {suffix or 'no suffix'!r}; rename or convert it"
        )
    return suffix
