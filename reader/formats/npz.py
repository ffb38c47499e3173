"""NumPy's .npz holding one flow field: a single array, or one named "flow", perhaps with "valid".

The format is a zip of .npy files:
https://numpy.org/doc/stable/reference/generated/numpy.savez.html.
"""

import math
import os
import zipfile
import zlib

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.reader.formats.common import (
    COPY_AGAIN,
    as_float32,
    as_flow,
    bad_file,
    check_size,
    open_input,
)
from maskflownet.reader.formats.npy import check_flow_header, read_header
from maskflownet.whole_file import whole_file

_FLOW, _VALID = "flow", "valid"


def read_npz(path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray | None]:
    """Read the flow in a .npz file as it is; arrays of Python objects are never unpickled.

    Parameters
    ----------
    path : str or os.PathLike
        The file: one array of any name, or one named "flow", perhaps beside others. An array
        "valid", (H, W) or (H, W, 1), tells where the flow is known.

    Returns
    -------
    flow : numpy.ndarray
        float32 (H, W, 2), (u, v) in pixels.
    valid : numpy.ndarray or None
        bool (H, W), where `valid` is not 0; None where there is no such array.

    Raises
    ------
    MissingDataError
        Nothing is at `path`.
    InputError
        No .npz, a damaged one, none or several arrays of which none is named "flow", or an array
        of another type, shape or size.
    """
    try:
        with open_input(path) as (file, _), zipfile.ZipFile(file) as archive:
            members = archive.namelist()
            names = [name.removesuffix(".npy") for name in members if name.endswith(".npy")]
            name = _FLOW if _FLOW in names else names[0] if len(names) == 1 else None
            if name is None:
                got = f"{len(names)} arrays, {', '.join(names)}" if names else f"none in {members}"
                remedy = f'name the flow "{_FLOW}": numpy.savez(file, flow=flow)'
                raise bad_file(path, f'one array, or one named "{_FLOW}"', got, remedy)
            flow = as_float32(_read_array(archive, name, path, check_flow_header))
            valid = None
            if _VALID in names and name != _VALID:
                valid = _read_array(archive, _VALID, path, _check_valid_header) != 0
                valid = valid.reshape(valid.shape[:2])
    except InputError:
        raise
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:80] or type(error).__name__
        raise bad_file(path, "a .npz file", f'"{reason}"', COPY_AGAIN) from error
    if valid is not None and valid.shape != flow.shape[:2]:
        expected = f'an array "{_VALID}" of shape {flow.shape[:2]} as the flow\'s'
        raise bad_file(path, expected, f"{valid.shape}", "save masks of the flow's size")
    return flow, valid


def write_npz(path: str | os.PathLike, flow: np.ndarray) -> None:
    """Write a flow as the float32 array "flow" of a .npz file, whole or not at all.

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
        np.savez_compressed(file, **{_FLOW: flow})  # type: ignore[arg-type]


def _read_array(archive, name, path, check):
    """Return an array of the archive, its header checked before anything is allocated."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        shape, fortran_order, dtype = read_header(file, path)
        check(path, shape, dtype)
        count = math.prod(shape)
        check_size(path, shape[:2], file.tell() + count * dtype.itemsize, info.file_size)
        values = np.frombuffer(file.read(count * dtype.itemsize), dtype)
    return values.reshape(shape, order="F" if fortran_order else "C")


def _check_valid_header(path, shape, dtype):
    if dtype.kind not in "buif" or len(shape) not in (2, 3) or shape[2:] not in ((), (1,)):
        expected = f'an array "{_VALID}" of numbers of shape (H, W) or (H, W, 1)'
        raise bad_file(path, expected, f"{dtype} {shape}", "save it so, not 0 where known")
