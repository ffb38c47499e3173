r"""PFM, the float picture that FlyingThings3D keeps its flow in.

Three lines of text, then float32 pixels from the bottom row to the top: "PF" (three channels; "Pf"
is one), "WIDTH HEIGHT", and a scale whose sign is the byte order: negative is little-endian. Flow
has (u, v, 0) per pixel. See https://www.pauldebevec.com/Research/HDR/PFM/ and the readme of
https://lmb.informatik.uni-freiburg.de/resources/datasets/SceneFlowDatasets.en.html.
"""

import os
import re
from typing import BinaryIO

import numpy as np

from maskflownet.reader.formats.common import COPY_AGAIN, as_flow, bad_file, check_size, open_input
from maskflownet.whole_file import whole_file

_LONGEST_LINE = 80  # of the header; any real one is shorter
_NOT_FLOW = "if it is a picture or a disparity map, name the flow file instead"


def read_pfm(path: str | os.PathLike) -> np.ndarray:
    """Read the flow in a PFM file of either byte order as it is.

    Parameters
    ----------
    path : str or os.PathLike
        The file.

    Returns
    -------
    numpy.ndarray
        float32 (H, W, 2), (u, v) in pixels, top row first.

    Raises
    ------
    MissingDataError
        Nothing is at `path`.
    InputError
        No PFM; one channel; a third channel that is not zero (a picture, not a flow); a scale
        other than 1 and -1 (programs disagree on what it means); or a size that does not match the
        number of bytes.
    """
    with open_input(path) as (file, size):
        width, height, dtype = _read_header(file, path)
        check_size(path, (height, width), file.tell() + 12 * width * height, size)
        values = np.fromfile(file, dtype, 3 * width * height)
    rows_up = values.reshape(height, width, 3)
    if rows_up[..., 2].any():
        raise bad_file(path, "a third channel of zeros, as flow has", "other values", _NOT_FLOW)
    return np.ascontiguousarray(rows_up[::-1, :, :2], np.float32)


def _read_header(file: BinaryIO, path: str | os.PathLike) -> tuple[int, int, str]:
    """Return width, height and NumPy's name of the pixels' type; the file stands at the pixels."""
    magic, size, scale = (file.readline(_LONGEST_LINE) for _ in range(3))
    if magic.rstrip() == b"Pf":
        raise bad_file(path, 'a PFM of three channels ("PF")', 'one channel ("Pf")', _NOT_FLOW)
    size_match = re.fullmatch(rb"([0-9]{1,10})\s+([0-9]{1,10})\s*\n", size)
    scale_match = re.fullmatch(rb"(-?)([0-9]+\.?[0-9]*(?:[eE][+-]?[0-9]+)?)\s*\n", scale)
    if magic.rstrip() != b"PF" or not size_match or not scale_match:
        got = f"{(magic + size + scale)[:40]!r}"
        raise bad_file(path, 'a PFM header ("PF", width height, scale)', got, COPY_AGAIN)
    if float(scale_match[2]) != 1:
        raise bad_file(path, "a PFM scale of 1 or -1", f"{scale.strip()!r}", "rescale the values")
    width, height = map(int, size_match.groups())
    return width, height, "<f4" if scale_match[1] == b"-" else ">f4"


def write_pfm(path: str | os.PathLike, flow: np.ndarray, big_endian: bool = False) -> None:
    """Write a flow as a PFM file, (u, v, 0) per pixel, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        The file to make or replace.
    flow : numpy.ndarray
        float (H, W, 2), (u, v) in pixels; any value, 1e10 where unknown.
    big_endian : bool
        The byte order of the pixels.

    Raises
    ------
    InputError
        `flow` is no such array.
    """
    flow = as_flow(flow)
    height, width = flow.shape[:2]
    pixels = np.zeros((height, width, 3), ">f4" if big_endian else "<f4")
    pixels[..., :2] = flow[::-1]
    header = f"PF\n{width} {height}\n{1 if big_endian else -1}\n"
    with whole_file(path) as part:
        part.write_bytes(header.encode("ascii") + pixels.tobytes())
