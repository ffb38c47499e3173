"""What a C library prints while it does its work.

OpenCV passes on what libjpeg refuses, but not what it puts up with: of missing or unreadable data
in the middle of a picture libjpeg prints a line on C's `stderr`, without the file's name, and fills
up with grey.
"""

import contextlib
import ctypes
import functools
import os
import threading
from collections.abc import Iterator

_alone = threading.Lock()


@contextlib.contextmanager
def caught_complaints() -> Iterator[list[str]]:
    """Catch what C code prints on `stderr` within the block, in a list that is filled then.

    What Python and child processes write goes where it always does, for the file descriptor stays
    as it is: C's variable `stderr` is another stream meanwhile. One block runs at a time. Where the
    C library has no such variable (it is glibc's), nothing is caught.
    """
    lines: list[str] = []
    with _alone:
        caught = _stream(os.getpid())
        if caught is None:
            yield lines
            return
        variable, stream, file = caught
        before = variable.value
        try:
            variable.value = stream
            yield lines
        finally:
            variable.value = before
            lines += os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace").splitlines()
            os.ftruncate(file, 0)


@functools.lru_cache(maxsize=1)  # a child process has its own
def _stream(_pid):
    """Return C's variable, a stream in memory, without a buffer, and its descriptor; or None."""
    library = ctypes.CDLL(None)
    try:
        library.gnu_get_libc_version  # noqa: B018  (elsewhere the variable may be read-only)
        variable = ctypes.c_void_p.in_dll(library, "stderr")
        file = os.memfd_create("complaints")
        open_stream, set_buffer = library.fdopen, library.setvbuf
    except (AttributeError, OSError, ValueError):
        return None
    open_stream.restype = ctypes.c_void_p
    set_buffer.argtypes = ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
    unbuffered = 2  # _IONBF
    stream = open_stream(file, b"a")  # never closed: a thread may print on it a moment later
    if not stream or set_buffer(stream, None, unbuffered, 0):
        return None
    return variable, stream, file
