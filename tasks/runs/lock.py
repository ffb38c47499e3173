"""A run is trained by one program at a time: its log is locked while it is."""

import fcntl
from pathlib import Path
from typing import TextIO

from maskflownet.config.errors import InputError


def lock_run(log: Path) -> TextIO:
    """Lock a run by its text log, which is made where it is missing.

    The lock is gone when the file is closed or the program ends, however it ends. On a file system
    without locks none is taken.

    Parameters
    ----------
    log : pathlib.Path
        `root`/logs/RUN.log.

    Returns
    -------
    file
        To be kept open while the run is trained.

    Raises
    ------
    InputError
        Another program trains this run at this moment.
    OSError
        The log cannot be written.
    """
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        file = log.open("a", encoding="utf-8")
    except OSError as error:
        raise OSError(f"{log}: cannot be written ({error.strerror})") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise InputError(
            f"run {log.stem}: another program trains it at this moment ({log} is locked): wait for "
            "its end or stop it; add --clear_steps to begin another run from its weights"
        ) from None
    except OSError:
        pass
    return file
