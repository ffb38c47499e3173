"""Checkpoints as the ports to PyTorch write them, with weights by a fixed recipe."""

import json
import pickle
import struct
import zipfile
import zlib

import numpy as np
from golden import DATA, golden_parameters, recipe_weight

FOLDER = DATA / "ports"
UNPREFIXED_UPFEAT = ("upfeat2.0.", "upfeat3.0.", "upfeat4.0.", "upfeat5.0.")


def port_golden():
    """Return the arrays of tests/data/ports/golden.npz, and the images that belong to them."""
    with np.load(FOLDER / "golden.npz") as arrays:
        golden = dict(arrays)
    for prefix, shift in (("", (9, -6)), ("odd_", (5, 4))):
        image1 = golden[f"{prefix}image1"]
        golden[f"{prefix}image2"] = np.roll(np.roll(image1, shift[0], 1), shift[1], 0)
    return golden


def shapes_of(network):
    """Return {structured name: shape} of a network."""
    return {entry["structured"]: entry["shape"] for entry in golden_parameters(network)}


def mmflow_names(network):
    """Return [(MMFlow's name, ours, gain)] in the order of MMFlow's file."""
    return json.loads((FOLDER / "mmflow_names.json").read_text())[network]


def mmflow_arrays(network):
    """Return {name: array} of a network of MMFlow's."""
    arrays = {}
    for name, ours, gain in mmflow_names(network):
        shape = shapes_of(network)[ours]
        shape = (*shape, 1, 1) if name.endswith("deconv_bias") else tuple(shape)
        rng = np.random.RandomState(zlib.crc32(name.encode()) & 0x7FFFFFFF)
        values = rng.standard_normal(shape)
        if name.endswith("bias"):
            values *= 0.05
        else:
            values *= np.sqrt(2.0 / (1.01 * np.prod(shape[1:]))) * gain
        arrays[name] = values.astype("float32")
    return arrays


def port_arrays(network):
    """Return {name: array} of a network of cattaneod's or ptlflow's."""
    arrays = {}
    for ours, shape in shapes_of(network).items():
        name = ours
        for prefix in UNPREFIXED_UPFEAT:
            name = name.replace(prefix, prefix.removesuffix("0."))
        arrays[name] = recipe_weight(name, shape)
    return arrays


# A writer of PyTorch's files for arrays alone, so that tests need no PyTorch.


def write_zip(path, arrays, wrap=None, types=None):
    """Write {name: array} as PyTorch since 1.6 does, as the value of the key `wrap` if given.

    Beside that key stand arrays whose names begin with "moments". `types` holds the storage classes
    by NumPy type code, where float32 alone is not enough.
    """
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", _pickled(arrays, wrap, types, view=b""))
        archive.writestr("archive/byteorder", "little")
        for number, array in enumerate(arrays.values()):
            archive.writestr(f"archive/data/{number}", array.tobytes())
    return path


def write_legacy(path, arrays, wrap=None, types=None):
    """Write {name: array} as PyTorch before 1.6 does."""
    facts = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    keys = [str(number) for number in range(len(arrays))]
    with path.open("wb") as file:
        for value in (0x1950A86A20F9469CFC6C, 1001, facts):
            file.write(pickle.dumps(value, 2))
        file.write(_pickled(arrays, wrap, types, view=b"N"))
        file.write(pickle.dumps(keys, 2))
        for array in arrays.values():
            file.write(struct.pack("<q", array.size) + array.tobytes())
    return path


def _pickled(arrays, wrap, types, view):
    """Return the pickle of a dict of tensors, opcode by opcode."""
    inside = beside = b""
    for number, (name, array) in enumerate(arrays.items()):
        entry = _code(name) + _tensor(number, array, types, view)
        if wrap and name.startswith("moments"):
            beside += entry
        else:
            inside += entry
    state_dict = b"ccollections\nOrderedDict\n)R(" + inside + b"u"
    if wrap:
        beside += _code("epoch") + _code(3)
        state_dict = b"}(" + _code(wrap) + state_dict + beside + b"u"
    return b"\x80\x02" + state_dict + b"."


def _tensor(number, array, types, view):
    storage = (types or {"f4": "FloatStorage"})[array.dtype.str[1:]]
    strides = tuple(step // array.itemsize for step in array.strides)
    return b"".join(
        [
            b"ctorch._utils\n_rebuild_tensor_v2\n((",
            *(_code("storage"), f"ctorch\n{storage}\n".encode()),
            *(_code(str(number)), _code("cpu"), _code(array.size), view, b"tQ"),
            *(_code(0), _code(array.shape), _code(strides)),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
    )


def _code(value):
    """Return the opcodes that make a plain value."""
    return pickle.dumps(value, 2)[2:-1]
