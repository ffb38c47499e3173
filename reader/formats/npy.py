"""NumPy's .npy holding one flow field, an array (H, W, 2).

The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

import math
import os
from typing import BinaryIO

import numpy as np

from maskflownet.reader.formats.common import as_float32, as_flow, bad_file, check_size, open_input
from maskflownet.whole_file import whole_file


def read_npy(path: str | os.PathLike) -> np.ndarray:
    """Read the flow in a .npy file as it is; arrays of Python objects are never unpickled.

    Parameters
    ----------
    path : str or os.PathLike
        The file; float16, float32 or float64 of either byte order, in C or Fortran order.

    Returns
    -------
    numpy.ndarray
        float32 (H, W, 2), (u, v) in pixels; a float64 beyond float32's range is infinite.

    Raises
    ------
    MissingDataError
        Nothing is at `path`.
    InputError
        No .npy, another type or shape, or a size that does not match the number of bytes.
    """
    with open_input(path) as (file, size):
        shape, fortran_order, dtype = read_header(file, path)
        check_flow_header(path, shape, dtype)
        count = math.prod(shape)
        check_size(path, (shape[0], shape[1]), file.tell() + count * dtype.itemsize, size)
        values = np.fromfile(file, dtype, count)
    return as_float32(values.reshape(shape, order="F" if fortran_order else "C"))


def check_flow_header(path: str | os.PathLike, shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise InputError unless an array of this shape and type can be a flow."""
    if dtype.kind != "f" or dtype.itemsize > 8:
        remedy = "save the flow as float32"
        raise bad_file(path, "an array of float16, float32 or float64", f"{dtype}", remedy)
    if len(shape) != 3 or shape[2] != 2:
        remedy = "save (u, v) on the last axis"
        raise bad_file(path, "an array of shape (H, W, 2)", f"{shape}", remedy)


def read_mask_npy(path: str | os.PathLike) -> np.ndarray:
    """Read the mask in a .npy file as it is: uint8 (H, W), as TartanAir has them.

    Raises
    ------
    MissingDataError
        Nothing is at `path`.
    InputError
        No .npy, another type or shape, or a size that does not match the number of bytes.
    """
    with open_input(path) as (file, size):
        shape, fortran_order, dtype = read_header(file, path)
        if dtype != np.uint8 or len(shape) != 2:
            remedy = "name the mask's file instead"
            raise bad_file(path, "a mask as uint8 of shape (H, W)", f"{dtype} {shape}", remedy)
        check_size(path, shape, file.tell() + math.prod(shape), size)
        values = np.fromfile(file, dtype, math.prod(shape))
    return values.reshape(shape, order="F" if fortran_order else "C")


def read_header(file: BinaryIO, path: str | os.PathLike) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, whether in Fortran order, and dtype; the file stands at the values."""
    try:
        # Version 1.0 is what NumPy writes for any plain array. Later ones state the header's length
        # in 32 bits, which a damaged file could turn into gigabytes to be read.
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        reason = f"version {version[0]}.{version[1]}"
    except Exception as error:  # the header is Python text: damaged, it raises almost anything
        reason = " ".join(str(error).split())[:80] or type(error).__name__
    remedy = "write the flow with numpy.save, or, if it was, copy the file again"
    raise bad_file(path, "a .npy file of version 1.0", f'"{reason}"', remedy)


def write_npy(path: str | os.PathLike, flow: np.ndarray) -> None:
    """Write a flow as a float32 .npy file, whole or not at all.

    Parameters
    ----------
    path : str or os.PathLike
        The file to make or replace.
    flow : numpy.ndarray
        float (H, W, 2), (u, v) in pixels; any value, 1e10 where unknown.

    Raises
    ------
    InputError
        `flow` is no such array.
    """
    flow = as_flow(flow)
    with whole_file(path) as part, part.open("wb") as file:
        np.lib.format.write_array(file, flow, version=(1, 0), allow_pickle=False)
