"""The layout of MXNet's parameter files, walked before MXNet itself reads one.

MXNet trusts the sizes that a file states: a damaged count makes it ask for all of the machine's
memory. So every size is checked against the bytes that are there first. The layout, all little
endian, from MXNet's NDArray::Save: uint64 0x112, uint64 0, uint64 count, the arrays, uint64 count,
the names (uint64 length, bytes). An array: uint32 magic, int32 storage type, uint32 dimensions,
int64 each, int32 device type, int32 device id, int32 type, the values.
"""

import math
import struct
from pathlib import Path
from typing import BinaryIO

LIST_MAGIC = 0x112
ARRAY_MAGIC = 0xF993FAC9  # dense or sparse arrays, since MXNet 1.0
NUMPY_MAGIC = 0xF993FACA  # the same, written in MXNet's NumPy mode
DENSE = 0
MAX_DIMENSIONS = 32
ITEM_BYTES = {0: 4, 1: 8, 2: 2, 3: 1, 4: 4, 5: 1, 6: 8}  # by type: float32, float64, float16, ...
SMALLEST_ARRAY = 28  # bytes: no dimension, no value


class LayoutError(ValueError):
    """The bytes are not those of a whole parameter file; the message says in what way."""


def check_layout(path: str | Path) -> bool:
    """Raise LayoutError unless `path` is a whole file of dense arrays with a name each.

    Returns
    -------
    bool
        Whether it was written in MXNet's NumPy mode (`npx.set_np()`), in which it must be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        walk = _Walk(file, path.stat().st_size)
        walk.run()
    return walk.is_numpy_mode


def fault_of(path: str | Path) -> str | None:
    """Return in what way a file is no whole parameter file; None where it is one."""
    try:
        check_layout(path)
    except (LayoutError, OSError) as error:
        return str(error)
    return None


class _Walk:
    """One pass over a file that reads the sizes and skips the values."""

    def __init__(self, file: BinaryIO, size: int):
        self._file = file
        self._size = size
        self.is_numpy_mode = False

    def run(self):
        magic, _ = self._read("<QQ")
        if magic != LIST_MAGIC:
            raise LayoutError("it does not begin as one")
        arrays = self._count(SMALLEST_ARRAY)
        for _ in range(arrays):
            self._array()
        names = self._count(struct.calcsize("<Q"))
        if names not in (0, arrays):
            raise LayoutError(f"it has {arrays} arrays, but {names} names")
        for _ in range(names):
            self._skip(*self._read("<Q"))
        if self._file.tell() != self._size:
            raise LayoutError(f"{self._size - self._file.tell()} bytes follow its end")

    def _array(self):
        magic, storage, dimensions = self._read("<IiI")
        self.is_numpy_mode |= magic == NUMPY_MAGIC
        is_known = magic in (ARRAY_MAGIC, NUMPY_MAGIC) and storage == DENSE
        if not is_known or dimensions > MAX_DIMENSIONS:
            raise LayoutError(f"no dense array begins at byte {self._file.tell() - 12}")
        shape = self._read(f"<{dimensions}q")
        *_, kind = self._read("<iii")
        if kind not in ITEM_BYTES or any(length < 0 for length in shape):
            raise LayoutError(f"an array of type {kind} and shape {shape} is none")
        self._skip(math.prod(shape) * ITEM_BYTES[kind])

    def _count(self, smallest):
        """Read how many items follow, each of at least `smallest` bytes."""
        (count,) = self._read("<Q")
        if count * smallest > self._left():
            raise LayoutError(f"it is cut short: {count} items do not fit in {self._left()} bytes")
        return count

    def _left(self):
        return self._size - self._file.tell()

    def _read(self, layout):
        size = struct.calcsize(layout)
        self._need(size)
        return struct.unpack(layout, self._file.read(size))

    def _skip(self, size):
        self._need(size)
        self._file.seek(size, 1)

    def _need(self, size):
        if size > self._left():
            raise LayoutError(f"it is cut short: {size} more bytes expected, {self._left()} left")
