"""A network's arrays for those who go on in PyTorch: .pth (or .ckpt) and .safetensors.

The names are those of the ports of ptlflow and cattaneod, whose networks hold the same arrays. Both
kinds of files are written without PyTorch. A .pth is a zip archive, not compressed, of a pickle
that names the arrays and a file with the values of each; the pickle is written opcode by opcode,
since Python's own pickler would have to import what it names.
"""

import json
import os
import pickle
import re
import struct
import zipfile

import numpy as np

from maskflownet.exporting.layers import array_of
from maskflownet.whole_file import whole_file

ROOT = "archive"  # of the zip archive
UP_CONV = re.compile(r"(upfeat\d)\.0\.")  # in the ports there is no sequence around it


def write_torch(pipe, path: str | os.PathLike) -> None:
    """Write a pipeline's weights, {"state_dict": {name: array}}, as PyTorch reads them.

    Parameters
    ----------
    pipe : network.Pipeline
    path : str or os.PathLike
    """
    arrays = named_arrays(pipe)
    with whole_file(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{ROOT}/data.pkl", _pickled(arrays))
        archive.writestr(f"{ROOT}/byteorder", "little")
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"{ROOT}/data/{key}", array.astype("<f4").tobytes())
        archive.writestr(f"{ROOT}/version", "3\n")


def write_safetensors(pipe, path: str | os.PathLike) -> None:
    """Write a pipeline's weights as safetensors does: a header in JSON, then all values."""
    arrays = named_arrays(pipe)
    header: dict = {"__metadata__": {"format": "pt", "config": pipe.config.name}}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": (begin, end)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the values begin at a multiple of 8
    with whole_file(path) as part, part.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(array.astype("<f4").tobytes())


def named_arrays(pipe) -> dict[str, np.ndarray]:
    """Return a pipeline's arrays, float32, by the names that they have in the ports."""
    parameters = pipe.network._collect_params_with_prefix()
    return {UP_CONV.sub(r"\1.", name): array_of(one) for name, one in parameters.items()}


def _pickled(arrays):
    """Return the pickle of {"state_dict": OrderedDict}, whose values are tensors."""
    tensors = [
        _text(name) + _tensor(key, array) for key, (name, array) in enumerate(arrays.items())
    ]
    filled = [_ORDERED_DICT, pickle.MARK, *tensors, pickle.SETITEMS]
    content = [pickle.EMPTY_DICT, _text("state_dict"), *filled, pickle.SETITEM]
    return b"".join([pickle.PROTO, b"\x02", *content, pickle.STOP])


def _tensor(key, array):
    """Return the opcodes of _rebuild_tensor_v2(storage, 0, shape, strides, False, {})."""
    where = _text("storage") + _global("torch", "FloatStorage") + _text(str(key)) + _text("cpu")
    storage = _tuple(where, _integer(array.size)) + pickle.BINPERSID
    strides = [step // array.itemsize for step in np.empty(array.shape, np.float32).strides]
    shape, strides = (_tuple(*map(_integer, numbers)) for numbers in (array.shape, strides))
    arguments = _tuple(storage, _integer(0), shape, strides, pickle.NEWFALSE, _ORDERED_DICT)
    return _global("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE


def _text(text):
    return pickle.BINUNICODE + struct.pack("<I", len(text)) + text.encode()


def _integer(number):
    return pickle.BININT + struct.pack("<i", number)


def _tuple(*items):
    return b"".join([pickle.MARK, *items, pickle.TUPLE])


def _global(module, name):
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


_ORDERED_DICT = _global("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
