"""PyTorch's checkpoint files (.pth, .ckpt), read without PyTorch and without running anything.

Such a file is a pickle that names arrays, and the arrays' values beside it. A pickle can run any
code; so this one is read with stand-ins for the few classes that arrays and plain values need,
which do nothing but keep what they are given, and any other class or function is refused by name.

There are two layouts. Since PyTorch 1.6 a file is a zip archive, not compressed: ROOT/data.pkl, and
ROOT/data/KEY with the values of one storage each. Before, it was a row of pickles (a magic number,
the version, facts of the machine, the object, the list of storage keys), and then for each key
int64 count and the values. An array is a window on a storage, and arrays may share one.
"""

import functools
import io
import math
import mmap
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.network.files.pickles import check_pickle

ZIP_MAGIC = b"PK\x03\x04"
LEGACY_NUMBER = 0x1950A86A20F9469CFC6C
LEGACY_MAGIC = pickle.dumps(LEGACY_NUMBER, 2)
LEGACY_VERSION = 1001
MAX_PICKLE_BYTES = 1 << 26  # of names and shapes; those of a network are some 100 KB
MAX_VALUES = 1 << 24  # of one array; the networks' largest has 0.7 million
MAX_DIMENSIONS = 32  # that NumPy takes
DATA_PARALLEL = "module."
BFLOAT16 = "bfloat16"  # the upper half of a float32, which NumPy lacks
# Little endian, as all machines of today write it.
STORAGES = {
    "torch.FloatStorage": "<f4",
    "torch.DoubleStorage": "<f8",
    "torch.HalfStorage": "<f2",
    "torch.BFloat16Storage": BFLOAT16,
    "torch.LongStorage": "<i8",
    "torch.IntStorage": "<i4",
    "torch.ShortStorage": "<i2",
    "torch.CharStorage": "i1",
    "torch.ByteStorage": "u1",
    "torch.BoolStorage": "?",
}
ITEM_BYTES = {
    type_: 2 if type_ == BFLOAT16 else np.dtype(type_).itemsize for type_ in STORAGES.values()
}


def is_torch_file(path: Path) -> bool:
    """Return whether a file begins as one of PyTorch's, in either layout, or as any zip archive."""
    return _begins_with(path, ZIP_MAGIC) or _begins_with(path, LEGACY_MAGIC)


def _begins_with(path, magic):
    with path.open("rb") as file:
        return file.read(len(magic)) == magic


def read_torch_file(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of a network's `state_dict`, which may be the whole file or a part of it.

    What is beside it (an optimizer's moments, how it was trained) is not read. A prefix `module.`,
    which PyTorch's DataParallel puts in front of all names, is dropped.

    Parameters
    ----------
    path : pathlib.Path
        A file for which `is_torch_file` holds.

    Returns
    -------
    dict
        {name: array}, in the file's order; views, which must not be written to. float16 and
        integers as they are, bfloat16 as float32.

    Raises
    ------
    InputError
        In one line: the file is cut short or damaged; it needs a class or function that arrays do
        not; it holds no arrays.
    """
    try:
        layout = (_ZipLayout if _begins_with(path, ZIP_MAGIC) else _LegacyLayout)(path)
        storages: dict[str, np.ndarray] = {}
        tensors = _state_dict(layout.content, path)
        return {name: _array(tensor, layout, storages) for name, tensor in tensors.items()}
    except InputError:
        raise
    except Exception as error:  # what damaged bytes raise depends on what they happen to mean
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: expected a PyTorch checkpoint, got {path.stat().st_size} bytes that are none "
            f"or damaged: {reason}; copy or download it again"
        ) from error


# What the pickle makes.


class _Storage(NamedTuple):
    """Where values lie: a key, their type (of `STORAGES`) and how many there are."""

    key: str
    type: str
    count: int  # type: ignore[assignment]


class _Tensor(NamedTuple):
    """A window on a storage, all counted in values."""

    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple


class _Dict(dict):
    """Stands in for OrderedDict; the attributes that a state_dict has besides are dropped."""

    def __setstate__(self, state):
        """Take no attribute."""


def _rebuild_tensor(storage, offset, shape, strides, *_):
    """Stand in for torch._utils._rebuild_tensor_v2: check that the window lies in its storage."""
    if len(shape) > MAX_DIMENSIONS:
        raise ValueError(f"an array of {len(shape)} dimensions")
    numbers = (offset, *shape, *strides)
    if not isinstance(storage, _Storage) or not all(type(n) is int and n >= 0 for n in numbers):
        raise ValueError("an array with no proper storage, shape or strides")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if 0 not in shape and last >= storage.count:
        raise ValueError(f"an array that reaches beyond its {storage.count} values")
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(data, *_):
    """Stand in for torch._utils._rebuild_parameter: an array that is trained."""
    return data


_STAND_INS: dict[str, Any] = {
    "collections.OrderedDict": _Dict,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
}


class _Unpickler(pickle.Unpickler):
    """Makes stand-ins; refuses every other class or function by name."""

    def __init__(self, file: BinaryIO, path: Path):
        super().__init__(file, encoding="utf-8")
        self._path = path
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands in for module.name."""
        full_name = f"{module}.{name}"
        if full_name in STORAGES:
            return STORAGES[full_name]
        if full_name in _STAND_INS:
            # A new object each time: a pickle can set attributes of whatever it is given.
            return functools.partial(_STAND_INS[full_name])
        raise InputError(
            f"{self._path}: refused, since to unpickle it needs {full_name!r}, and the arrays of a "
            "network do not; nothing of the file was run. Save its state_dict alone, where it was "
            "made: torch.save(network.state_dict(), FILE)"
        )

    def persistent_load(self, pid: Any) -> _Storage:
        """Return the storage that an array names."""
        kind, type_, key, _, count, *view = pid
        if kind != "storage" or type_ not in ITEM_BYTES or type(count) is not int or count < 0:
            raise ValueError("a storage of an unknown kind")
        if any(part is not None for part in view):
            raise ValueError("a part of a storage, as PyTorch before 0.4 saved it")
        storage = _Storage(str(key), type_, count)
        if self.storages.setdefault(storage.key, storage) != storage:
            raise ValueError(f"two storages of the key {key}")
        return storage


# The two layouts.


class _ZipLayout:
    """A zip archive; `content` is what its pickle holds."""

    def __init__(self, path: Path):
        self._archive = zipfile.ZipFile(path)
        entries = self._archive.namelist()
        roots = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
        if len(roots) != 1 or f"{roots[0]}constants.pkl" in entries:
            raise InputError(
                f"{path}: expected a PyTorch checkpoint, got a zip archive of another kind (first "
                f"entry: {next(iter(entries), 'none')}); save the network's state_dict instead"
            )
        self._root = roots[0]
        if f"{self._root}byteorder" in entries:
            _check_little_endian(self._read("byteorder", MAX_PICKLE_BYTES) == b"little", path)
        content = io.BytesIO(self._read("data.pkl", MAX_PICKLE_BYTES))
        check_pickle(content, MAX_PICKLE_BYTES)
        content.seek(0)
        self.content = _Unpickler(content, path).load()

    def values(self, storage: _Storage):
        """Return the bytes of a storage."""
        size = storage.count * ITEM_BYTES[storage.type]
        return self._read(f"data/{storage.key}", size)

    def _read(self, name, most):
        """Return an entry, whose checksum is tested, unless it is of more bytes."""
        entry = self._archive.getinfo(self._root + name)
        if entry.compress_type != zipfile.ZIP_STORED or entry.file_size > most:
            raise ValueError(f"its entry {entry.filename} is compressed or too large")
        return self._archive.read(entry)


class _LegacyLayout:
    """Pickles and then values in one row; `content` is what the fourth pickle holds."""

    def __init__(self, path: Path):
        with path.open("rb") as file:
            self._bytes = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        _, version, facts, self.content, keys = (self._unpickle(path) for _ in range(5))
        if version != LEGACY_VERSION:
            raise ValueError(f"version {version}")
        _check_little_endian(facts["little_endian"] is True, path)
        self._places = self._find_values(keys)

    def values(self, storage: _Storage):
        """Return the bytes of a storage."""
        start = self._places[storage.key]
        return self._bytes[start : start + storage.count * ITEM_BYTES[storage.type]]

    def _unpickle(self, path):
        start = self._bytes.tell()
        check_pickle(self._bytes, MAX_PICKLE_BYTES)
        unpickler = _Unpickler(io.BytesIO(self._bytes[start : self._bytes.tell()]), path)
        content = unpickler.load()
        if unpickler.storages:
            self._storages = unpickler.storages
        return content

    def _find_values(self, keys):
        """Return where each storage's values begin; they lie in the order of the keys."""
        places, place = {}, self._bytes.tell()
        for key in keys:
            storage = self._storages[key]
            (count,) = struct.unpack_from("<q", self._bytes, place)
            if count != storage.count:
                raise ValueError(f"a storage of {count} values, not {storage.count}")
            places[key] = place + struct.calcsize("<q")
            place = places[key] + count * ITEM_BYTES[storage.type]
        if place > len(self._bytes):
            raise ValueError(f"cut short: {place - len(self._bytes)} more bytes expected")
        return places


def _check_little_endian(holds, path):
    if not holds:
        raise InputError(f"{path}: expected little-endian values; save it on a usual machine")


# From what was unpickled to arrays.


def _state_dict(content, path):
    """Return {name: _Tensor} of the network in what a file holds."""
    found = content.get("state_dict", content) if isinstance(content, dict) else None
    tensors = {
        name.removeprefix(DATA_PARALLEL): value
        for name, value in (found.items() if isinstance(found, dict) else ())
        if isinstance(name, str) and isinstance(value, _Tensor)
    }
    if not tensors:
        what = f"the keys {', '.join(map(str, list(content)[:5]))}" if found else "none"
        raise InputError(
            f"{path}: expected a network's arrays by their names, bare or as 'state_dict', got "
            f"{what}; save it with torch.save(network.state_dict(), FILE)"
        )
    for name, tensor in tensors.items():
        if math.prod(tensor.shape) > MAX_VALUES:  # a stride of 0 repeats a value
            raise InputError(
                f"{path}: {name[:80]!r}: expected an array of a network's weights, of {MAX_VALUES} "
                f"values or fewer, got one of shape {tensor.shape}; leave it out"
            )
    return tensors


def _array(tensor, layout, storages):
    """Return a tensor's values; `storages` keeps those that were read."""
    storage = tensor.storage
    if storage.key not in storages:
        storages[storage.key] = flat_array(layout.values(storage), storage.type, storage.count)
    flat = storages[storage.key]
    strides = [step * flat.itemsize for step in tensor.strides]
    # Within bounds: `_rebuild_tensor` has seen to it, and `flat_array` that the values are there.
    start = flat[tensor.offset :]
    return np.lib.stride_tricks.as_strided(start, tensor.shape, strides, writeable=False)


def flat_array(content: bytes | memoryview, type_: str, count: int) -> np.ndarray:
    """Return the bytes of so many values of a type (of `STORAGES`) as an array of one axis."""
    if len(content) != count * ITEM_BYTES[type_]:
        raise ValueError(f"{len(content)} bytes for {count} values")
    if type_ != BFLOAT16:
        return np.frombuffer(content, type_)
    upper_halves = np.frombuffer(content, "<u2").astype("<u4")
    return (upper_halves << 16).view("<f4")
