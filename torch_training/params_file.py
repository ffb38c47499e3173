"""MXNet's parameter files (.params), read and written without MXNet."""

import math
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.whole_file import whole_file

# A list of arrays, then their names: NDArray::Save of MXNet 1.x, whose numbers are little-endian.
LIST_MAGIC = 0x112
ARRAY_MAGIC = 0xF993FAC9  # of an array with 64-bit sizes, as MXNet writes it since 1.0
DENSE = 0
ON_CPU = 1
DTYPES = {0: np.dtype("<f4"), 1: np.dtype("<f8"), 2: np.dtype("<f2")}
FLOAT16 = 2


def read_params(path: Path) -> dict[str, np.ndarray]:
    """Return {structured name: float32 array} of a .params file.

    Raises
    ------
    InputError
        It is something else, ends early, or holds arrays of integers or sparse ones.
    OSError
        It cannot be read.
    """
    data = path.read_bytes()
    try:
        names, arrays = _parse(memoryview(data))
    except (struct.error, ValueError, KeyError, UnicodeDecodeError) as error:
        raise InputError(
            f"{path}: expected the parameters of a network as MXNet 1.x writes them (.params)"
        ) from error
    return dict(zip(names, arrays, strict=True))


def _parse(data):
    """Return names and arrays, in their order."""
    at = 0

    def take(form):
        nonlocal at
        numbers = struct.unpack_from("<" + form, data, at)
        at += struct.calcsize("<" + form)
        return numbers

    def raw(size):
        nonlocal at
        if at + size > len(data):
            raise ValueError("ends early")
        at += size
        return data[at - size : at]

    magic, _, count = take("QQQ")
    if magic != LIST_MAGIC:
        raise ValueError("another magic number")
    arrays = []
    for _ in range(count):
        magic, storage, axes = take("IiI")
        if magic != ARRAY_MAGIC or storage != DENSE:
            raise ValueError("no plain array")
        shape = take(f"{axes}q")
        dtype = DTYPES[take("iii")[2]]  # after the device and its number
        values = np.frombuffer(raw(dtype.itemsize * math.prod(shape)), dtype)
        arrays.append(values.reshape(shape).astype(np.float32))
    names = [bytes(raw(take("Q")[0])).decode().split(":", 1)[-1] for _ in range(take("Q")[0])]
    if len(names) != len(arrays) or at != len(data):
        raise ValueError("more than it should have")
    return names, arrays


def write_params(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by their structured names as float16, whole or not at all."""
    pieces = [struct.pack("<QQQ", LIST_MAGIC, 0, len(arrays))]
    for array in arrays.values():
        head = (ARRAY_MAGIC, DENSE, array.ndim, *array.shape, ON_CPU, 0, FLOAT16)
        pieces += [struct.pack(f"<IiI{array.ndim}qiii", *head)]
        pieces += [array.astype(DTYPES[FLOAT16]).tobytes()]
    pieces += [struct.pack("<Q", len(arrays))]
    for name in arrays:
        pieces += [struct.pack("<Q", len(name.encode())), name.encode()]
    with whole_file(path) as part:
        part.write_bytes(b"".join(pieces))
