"""Middlebury's .flo: float 202021.25, int32 width, int32 height, then float32 (u, v) row by row.

All little-endian. The source is flowIO.cpp of https://vision.middlebury.edu/flow/code/flow-code/.
"""

import os
import struct

import numpy as np

from maskflownet.reader.formats.common import COPY_AGAIN, as_flow, bad_file, check_size, open_input
from maskflownet.whole_file import whole_file

_MAGIC = struct.pack("<f", 202021.25)  # reads "PIEH" as text
_HEADER = struct.Struct("<4sii")


def read_flo(path: str | os.PathLike) -> np.ndarray:
    """Read a .flo file as it is, unknown pixels (see `read_flow`) included.

    Parameters
    ----------
    path : str or os.PathLike
        The file.

    Returns
    -------
    numpy.ndarray
        float32 (H, W, 2), (u, v) in pixels.

    Raises
    ------
    MissingDataError
        Nothing is at `path`.
    InputError
        Wrong magic number, or a size that does not match the number of bytes (both fewer and more).
    """
    with open_input(path) as (file, size):
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or not header.startswith(_MAGIC):
            got = f"{header[:4]!r} in {size} bytes"
            raise bad_file(path, f"a .flo file, which begins with {_MAGIC!r}", got, COPY_AGAIN)
        _, width, height = _HEADER.unpack(header)
        check_size(path, (height, width), _HEADER.size + 8 * width * height, size)
        values = np.fromfile(file, "<f4", 2 * width * height)
    return values.reshape(height, width, 2).astype(np.float32, copy=False)


def write_flo(path: str | os.PathLike, flow: np.ndarray) -> None:
    """Write a .flo file, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        The file to make or replace.
    flow : numpy.ndarray
        float (H, W, 2), (u, v) in pixels; any value, 1e10 (Middlebury's mark) where unknown.

    Raises
    ------
    InputError
        `flow` is no such array.
    """
    flow = as_flow(flow)
    height, width = flow.shape[:2]
    with whole_file(path) as part:
        part.write_bytes(_HEADER.pack(_MAGIC, width, height) + flow.astype("<f4").tobytes())
