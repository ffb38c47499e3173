"""Files that are only ever replaced whole: whoever looks sees the old one or the new one."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it takes `path`'s place in one step.

    If the block raises, `path` stays as it was and the part written is removed. Missing parent
    folders are made. The bytes are on the disk before the name changes, so that not even a power
    cut leaves a half file under the real name.

    Parameters
    ----------
    path : str or os.PathLike
        Where the finished file shall be.

    Yields
    ------
    pathlib.Path
        The file to write, in the same folder; its name begins with a dot and ends in ".part".
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Raise OSError now rather than at the first checkpoint, hours from now."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"some bytes")
    except OSError as error:
        raise OSError(f"{folder}: cannot be written to ({error.strerror})") from error
