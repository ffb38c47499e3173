"""Files that are only ever replaced whole: whoever looks sees the old one or the new one."""

import contextlib
import errno
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

# What to do about a place that the system refuses.
ELSEWHERE = "choose another place, or see to its permissions"
# What a disk says that takes no more; the error has no file name then.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)


@contextlib.contextmanager
def whole_file(path: str | os.PathLike) -> Iterator[Path]:
    """Yield a path beside `path` to write to; on success it takes `path`'s place in one step.

    If the block raises, `path` stays as it was and the part written is removed. Missing parent
    folders are made. The bytes are on the disk before the name changes, so that not even a power
    cut leaves a half file under the real name. What a killed program left half written is written
    over by the next one; a part that another living program writes is left to it.

    Parameters
    ----------
    path : str or os.PathLike
        Where the finished file shall be.

    Yields
    ------
    pathlib.Path
        The file to write, in the same folder, there already and empty; its name begins with a dot
        and ends in ".part".

    Raises
    ------
    OSError
        With `path` in its message where the disk is full or broken.
    """
    path = Path(path)
    make_folder(path.parent)
    part, descriptor = _own_part(path)
    renamed = False
    try:
        yield part
        with part.open("rb+") as written:
            os.fsync(written.fileno())
        part.replace(path)
        renamed = True
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise OSError(f"{path}: cannot be written ({error.strerror})") from error
        raise
    finally:
        if not renamed:  # else the name may be another program's part by now
            part.unlink(missing_ok=True)
        os.close(descriptor)


def _own_part(path):
    """Return a part's path, empty, and the descriptor that holds its lock."""
    names = (f".{path.name}.part", f".{path.name}.{os.getpid()}.part")
    reason = "(another program is writing it)"
    for name in names:
        try:
            descriptor = _claimed(path.with_name(name))
        except PermissionError as error:  # another person's part, or folder
            reason = f"({error.strerror}); {ELSEWHERE}"
            continue
        if descriptor is not None:
            return path.with_name(name), descriptor
    raise OSError(f"{path}: cannot be written {reason}")


def _claimed(part):
    """Return a descriptor of a part that is this program's own; None while another one writes it.

    A link of that name is removed, never followed.
    """
    while True:
        try:
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            descriptor = os.open(part, flags, 0o666)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            part.unlink(missing_ok=True)
            continue
        if not _lock(descriptor):
            os.close(descriptor)
            return None
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.lstat(part)):
                os.ftruncate(descriptor, 0)
                return descriptor
        os.close(descriptor)  # its writer has just finished: the name is free again


def _lock(descriptor):
    """Lock an open file, until it is closed or the program ends; return False where it is locked.

    Some file systems know no locks: there the only loss is that two programs are not told apart.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def make_folder(folder: Path) -> None:
    """Make a folder and its parents; OSError with what stands in the way where it cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise OSError(f"{folder}: expected a folder, got a file; choose another place") from error
    except OSError as error:
        raise OSError(f"{folder}: cannot be made ({error.strerror}); {ELSEWHERE}") from error


def check_writable(folder: Path) -> None:
    """Raise OSError now rather than at the first checkpoint, hours from now."""
    make_folder(folder)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"some bytes")
    except OSError as error:
        raise OSError(f"{folder}: cannot be written to ({error.strerror}); {ELSEWHERE}") from error
