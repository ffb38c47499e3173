"""Weights in safetensors' format: a header in JSON that names the arrays, then all values.

uint64 length of the header, the header {name: {"dtype", "shape", "data_offsets"}}, the values,
little endian. Nothing in it can run.
"""

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.network.files.torch_file import BFLOAT16, DATA_PARALLEL, flat_array

MAX_HEADER_BYTES = 100_000_000  # the format's own limit
TYPES = {
    "F32": "<f4",
    "F64": "<f8",
    "F16": "<f2",
    "BF16": BFLOAT16,
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}


def is_safetensors_file(path: Path) -> bool:
    """Return whether a file begins as one of safetensors'."""
    with path.open("rb") as file:
        start = file.read(9)
    if len(start) < 9 or start[8:] != b"{":
        return False
    (length,) = struct.unpack("<Q", start[:8])
    return length <= MAX_HEADER_BYTES


def read_safetensors_file(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a file for which `is_safetensors_file` holds.

    Returns
    -------
    dict
        {name: array}, the prefix `module.` dropped; bfloat16 as float32.

    Raises
    ------
    InputError
        In one line: the file is cut short or damaged, or an array is of another type.
    """
    content = memoryview(path.read_bytes())
    (length,) = struct.unpack("<Q", content[:8])
    try:
        header = json.loads(bytes(content[8 : 8 + length]))
        header.pop("__metadata__", None)
        values = content[8 + length :]
        return {
            name.removeprefix(DATA_PARALLEL): _array(f"{path}: {name[:80]!r}", entry, values)
            for name, entry in header.items()
        }
    except InputError:
        raise
    except Exception as error:  # what damaged bytes raise depends on what they happen to mean
        raise InputError(
            f"{path}: expected arrays in safetensors' format, got {path.stat().st_size} bytes that "
            f"are none or damaged: {type(error).__name__}: {error}; copy or download it again"
        ) from error


def _array(where: str, entry: dict[str, Any], values: memoryview) -> np.ndarray:
    begin, end = entry["data_offsets"]
    shape = entry["shape"]
    if not 0 <= begin <= end <= len(values) or any(length < 0 for length in shape):
        raise ValueError("an array that reaches beyond the file")
    if (name := entry["dtype"]) not in TYPES:
        raise InputError(
            f"{where}: expected an array of one of the types {', '.join(TYPES)}, got {name!r}; "
            "save it as F32, or leave it out"
        )
    return flat_array(values[begin:end], TYPES[name], math.prod(shape)).reshape(shape)
