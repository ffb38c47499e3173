"""Training runs by name: which parameter file `-c dbbSep30` means.

A run's id is three hex digits and the date it began ("771Sep25-0735"); its checkpoints are
`weights/ID_STEPS.params`.
"""

import re
from pathlib import Path
from typing import NamedTuple

from config.errors import InputError, MissingDataError
from tasks.released import find_released

SUFFIX = ".params"
_NAME = re.compile(r"(?P<run>.+)_(?P<steps>\d+)")


class Checkpoint(NamedTuple):
    """A parameter file of a run.

    Attributes
    ----------
    run : str
        The run's id.
    steps : int
        How many training steps it had made; 0 where the file's name does not say.
    path : pathlib.Path
    """

    run: str
    steps: int
    path: Path


def find_checkpoint(text: str, folder: Path) -> Checkpoint:
    """Find the parameter file that `text` means; no log is needed.

    Parameters
    ----------
    text : str
        A run id or the beginning of one ("dbbSep30"), either with ":STEPS" (by default the newest
        checkpoint counts), or the path of a parameter file.
    folder : pathlib.Path
        Where checkpoints lie.

    Raises
    ------
    InputError
        Several runs begin with `text`: the message lists them.
    MissingDataError
        Nothing fits: the message lists what is there, or how to fetch a released checkpoint.
    """
    if text.endswith(SUFFIX) or Path(text).is_file():
        return _by_path(Path(text))
    prefix, _, steps = text.partition(":")
    if steps and not steps.isdigit():
        raise InputError(f"-c {text}: expected RUN:STEPS with a whole number, got {steps!r}")
    found = [entry for entry in _checkpoints(folder) if entry.run.startswith(prefix)]
    runs = sorted({entry.run for entry in found})
    if prefix in runs:
        runs = [prefix]
    if not runs:
        raise MissingDataError(_nothing_found(text, prefix, folder))
    if len(runs) > 1:
        raise InputError(f"-c {text}: expected the beginning of one run, got {', '.join(runs)}")
    own = sorted((entry for entry in found if entry.run == runs[0]), key=lambda c: c.steps)
    if not steps:
        return own[-1]
    for entry in own:
        if entry.steps == int(steps):
            return entry
    there = ", ".join(str(entry.steps) for entry in own)
    raise MissingDataError(
        f"-c {text}: run {runs[0]} has no checkpoint of these steps, but {there}"
    )


def _by_path(path):
    if not path.is_file():
        raise MissingDataError(f"-c {path}: there is no such parameter file")
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return Checkpoint(path.stem, 0, path)
    return Checkpoint(match["run"], int(match["steps"]), path)


def _checkpoints(folder):
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        match = _NAME.fullmatch(path.stem)
        if match is not None and not path.name.startswith("."):
            yield Checkpoint(match["run"], int(match["steps"]), path)


def _nothing_found(text, prefix, folder):
    message = f"-c {text}: {folder} has no {prefix}*_STEPS{SUFFIX}"
    released = find_released(prefix)
    if released is not None:
        return f"{message}; get it with: python main.py --fetch {prefix}"
    runs = sorted({entry.run for entry in _checkpoints(folder)})
    return f"{message}; the runs there are {', '.join(runs) or 'none'}"
