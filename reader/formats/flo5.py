"""Spring's .flo5: HDF5 with one dataset "flow", (H, W, 2), (u, v), NaN where it is not known.

The format is that of `readFlo5Flow` in flow_IO.py of https://github.com/cv-stuttgart/flow_library,
its authors' own. Spring stores the flow at twice the images' height and width, in pixels of the
images; whoever wants it at their size takes every second row and column, as the authors' own loader
does (dataloader.py of https://github.com/cv-stuttgart/spring_utils).
"""

import io
import os

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.reader.formats.common import (
    COPY_AGAIN,
    MAX_PIXELS,
    as_float32,
    as_flow,
    bad_file,
    open_input,
)
from maskflownet.whole_file import whole_file

_KEY = "flow"


def read_flo5(path: str | os.PathLike) -> np.ndarray:
    """Read a .flo5 file as it is; needs the package h5py.

    Parameters
    ----------
    path : str or os.PathLike
        The file.

    Returns
    -------
    numpy.ndarray
        float32 (H, W, 2), (u, v) in pixels, NaN where not known; of Spring's own files in pixels
        of the images, which are half as high and wide.

    Raises
    ------
    MissingDataError
        Nothing is at `path`.
    InputError
        No HDF5, a damaged one, one without such a dataset, or h5py is not installed.
    """
    h5py = _h5py(path)
    # Through Python's file: HDF5 would lock it, which not every file system can.
    with open_input(path) as (opened, _):
        try:
            with h5py.File(opened, "r") as file:
                return _read(h5py, file, path)
        except InputError:
            raise
        except (
            OSError,
            RuntimeError,
            ValueError,
            KeyError,
        ) as error:  # all that HDF5 raises
            reason = " ".join(str(error).split())[:120]
            raise bad_file(path, "an HDF5 file (.flo5)", f'"{reason}"', COPY_AGAIN) from error


def _read(h5py, file, path):
    """Return the flow in an open HDF5 file, float32."""
    stored = file.get(_KEY)
    if not isinstance(stored, h5py.Dataset):
        got = f"one with {', '.join(map(repr, file)) or 'nothing in it'}"
        remedy = "name a file with flow"
        raise bad_file(path, f'an HDF5 file with a dataset "{_KEY}"', got, remedy)
    _check(stored, path)
    return as_float32(stored[()])


def write_flo5(path: str | os.PathLike, flow: np.ndarray) -> None:
    """Write a flow as .flo5, whole or not at all; needs the package h5py.

    Parameters
    ----------
    path : str or os.PathLike
        The file to make or replace.
    flow : numpy.ndarray
        float (H, W, 2), (u, v) in pixels; stored as it is.

    Raises
    ------
    InputError
        `flow` is no such array, or h5py is not installed.
    """
    h5py = _h5py(path)
    flow = as_flow(flow)
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.create_dataset(_KEY, data=flow, compression="gzip")
    with whole_file(path) as part:
        part.write_bytes(content.getvalue())


def _h5py(path):
    try:
        import h5py
    except ImportError as error:
        raise InputError(
            f"{os.fspath(path)}: .flo5 files are HDF5, which the package h5py reads; install it "
            "with: pip install h5py"
        ) from error
    return h5py


def _check(stored, path):
    """Raise InputError unless an HDF5 dataset is a flow of a believable size."""
    shape, dtype = stored.shape, stored.dtype
    if dtype.kind != "f" or len(shape) != 3 or shape[2] != 2:
        expected = "flow as floats of shape (H, W, 2)"
        raise bad_file(path, expected, f"{dtype} {shape}", "name a file with flow")
    if not 1 <= shape[0] * shape[1] <= MAX_PIXELS:
        expected = f"flow of 1 to {MAX_PIXELS} pixels"
        raise bad_file(path, expected, f"a size of {shape[1]}x{shape[0]}", COPY_AGAIN)
