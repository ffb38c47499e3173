"""A program's output that may lose its reader: the terminal was closed, or `| head` has enough."""

import contextlib
import errno
import io
import sys
from collections.abc import Iterator

_NOBODY_READS = (errno.EPIPE, errno.EIO)


class _Outliving(io.FileIO):
    """A file whose bytes go nowhere once nobody takes them, or once `is_over` has been set."""

    is_over = False

    def write(self, data):
        """Write bytes; return how many, as if they had been taken."""
        try:
            if not self.is_over:
                return super().write(data)
        except OSError as error:
            if error.errno not in _NOBODY_READS:
                raise
        return memoryview(data).nbytes


@contextlib.contextmanager
def outliving_readers() -> Iterator[None]:
    """Within the block, a lost reader of stdout or stderr is no error.

    Names may hold characters that a terminal lacks: those are shown with backslashes. What fails
    otherwise, such as a full disk, must be met inside the block by flushing.
    """
    taken_over = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not getattr(sys, f"__{name}__") or not isinstance(stream, io.TextIOWrapper):
            continue  # it is somebody else's, such as a test's
        stream.flush()
        file = _Outliving(stream.fileno(), "w", closefd=False)
        outliving = io.TextIOWrapper(
            io.BufferedWriter(file),
            stream.encoding,
            "backslashreplace",
            line_buffering=stream.line_buffering,
        )
        setattr(sys, name, outliving)
        taken_over.append((name, stream, outliving, file))
    try:
        yield
    finally:
        for name, stream, outliving, file in taken_over:
            with contextlib.suppress(OSError):
                outliving.flush()
            file.is_over = True
            setattr(sys, name, stream)
