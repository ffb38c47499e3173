"""Training runs: their ids, their checkpoints, and which one `-c dbbSep30` means.

A run's id is three hex digits and the date it began ("771Sep25-0735"); its checkpoints are
`weights/ID_STEPS.params`, with Adam's moments beside in `weights/ID_STEPS.states`. See
`tasks.runs.best` for the best ones.
"""

import contextlib
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.config.files import CONFIG_DIR, ROOT, START_MAIN
from maskflownet.tasks.pipe import Pipe
from maskflownet.tasks.runs.best import BEST, best_path, is_best, read_best
from maskflownet.tasks.runs.released import find_released

SUFFIX = ".params"
PORT_SUFFIXES = (".pth", ".ckpt", ".safetensors")  # of the ports to PyTorch
STATES_SUFFIX = ".states"
# The weights that come with the project; in a clone they lie in weights/, as those of trainings do.
SHIPPED, SHIPPED_CASCADE = SHIPPED_RUNS = "scenes-S", "scenes-cascade"
SHIPPED_FOLDER = CONFIG_DIR.parent / "weights"
_NAME = re.compile(r"(?P<run>.+)_(?P<steps>\d+)")
# What was being written when a program was killed, as `whole_file` names it.
_PART = re.compile(
    rf"\.(?P<name>.+)(?:{re.escape(SUFFIX)}|{re.escape(STATES_SUFFIX)})(?:\.\d+)?\.part"
)


logger = logging.getLogger(__name__)


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

    @property
    def states(self) -> Path:
        """The file of Adam's moments that belongs to it, which may not be there."""
        return self.path.with_suffix(STATES_SUFFIX)


def find_checkpoint(text: str, folder: Path) -> Checkpoint:
    """Find the parameter file that `text` means; no log is needed.

    Parameters
    ----------
    text : str
        A run id or the beginning of one ("dbbSep30"), either with ":STEPS" (by default the newest
        checkpoint counts) or ":best" (by validation error), or the path of a parameter file.
    folder : pathlib.Path
        Where checkpoints lie; the weights that come with the project are found by their name from
        anywhere.

    Raises
    ------
    InputError
        Several runs begin with `text`: the message lists them.
    MissingDataError
        Nothing fits: the message lists what is there, or how to fetch a released checkpoint.
    """
    if text.endswith((SUFFIX, *PORT_SUFFIXES)) or Path(text).is_file():
        return _by_path(Path(text))
    prefix, _, steps = text.partition(":")
    if not prefix:
        raise InputError(f"-c {text!r}: expected a run's id or a parameter file, got neither")
    if steps == BEST:
        return _best_of(text, prefix, folder)
    if steps and not steps.isdecimal():
        raise InputError(
            f"-c {text}: expected RUN:STEPS with a whole number, or RUN:{BEST}, got {steps!r}"
        )
    if prefix in SHIPPED_RUNS and not checkpoints_of(prefix, folder):
        folder = SHIPPED_FOLDER
    found = [entry for entry in all_checkpoints(folder) if entry.run.startswith(prefix)]
    runs = sorted({entry.run for entry in found})
    if prefix in runs:
        runs = [prefix]
    if not runs:
        if os.sep in text:
            fault = "is a folder" if Path(text).is_dir() else "there is no such file"
            raise MissingDataError(f"-c {text}: {fault}; name a parameter file, or a run by its id")
        raise MissingDataError(_nothing_found(text, prefix, folder))
    if len(runs) > 1:
        raise InputError(
            f"-c {text}: this fits {len(runs)} runs, write more of the name: {', '.join(runs)}"
        )
    own = checkpoints_of(runs[0], folder)
    if not steps:
        return _newest_whole(own)
    for entry in own:
        if entry.steps == int(steps):
            return entry
    there = ", ".join(str(entry.steps) for entry in own)
    raise MissingDataError(
        f"-c {text}: run {runs[0]} has no checkpoint of these steps, but {there}"
    )


def _newest_whole(checkpoints: list[Checkpoint]) -> Checkpoint:
    """Return the newest checkpoint that is not cut short, with a warning of each that is.

    One is all that is left for whoever loads it to refuse.
    """
    if len(checkpoints) > 1:
        from maskflownet.network.files.layout import fault_of  # here, for it brings MXNet
    for checkpoint in reversed(checkpoints[1:]):
        reason = fault_of(checkpoint.path)
        if reason is None:
            return checkpoint
        logger.warning(
            "%s is damaged (%s): remove it; an older checkpoint of its run is taken instead",
            *(checkpoint.path, reason),
        )
    return checkpoints[0]


def new_run(root: Path) -> str:
    """Return a new run's id, such as "771Sep25-0735", and make its log, empty.

    The log is what reserves the id: no other run, be it begun at the same moment, gets it too.

    Parameters
    ----------
    root : pathlib.Path
        Where weights/ and logs/ lie.
    """
    logs = root / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    while True:
        run = f"{secrets.randbelow(16**3):03x}{time.strftime('%b%d-%H%M')}"
        if checkpoints_of(run, root / "weights"):
            continue
        with contextlib.suppress(FileExistsError):
            (logs / f"{run}.log").open("x").close()
            return run


def checkpoints_of(run: str, folder: Path) -> list[Checkpoint]:
    """Return the checkpoints of a run, the oldest first."""
    own = (entry for entry in all_checkpoints(folder) if entry.run == run)
    return sorted(own, key=lambda entry: entry.steps)


def save_checkpoint(pipe: Pipe, run: str, steps: int, folder: Path, kept: int = 3) -> Checkpoint:
    """Write a checkpoint of a run and remove all but its newest ones, `kept` in all.

    Only whole checkpoints count among these, and only those that a training wrote are removed.
    The moments are written first and the weights last, each whole: a checkpoint whose weights are
    there is complete, whenever the program is killed. What an earlier program left half written
    goes too, so a run must not be continued by two programs at once.

    Parameters
    ----------
    pipe : network.Pipeline
    run : str
    steps : int
    folder : pathlib.Path
    kept : int
        At least 1.

    Raises
    ------
    OSError
        It cannot be written; the checkpoints that were there are still there.
    """
    prefix = folder / f"{run}_{steps}"
    try:
        pipe.save(prefix)
    except OSError as error:
        raise OSError(
            f"the checkpoint {prefix} cannot be written ({error}): make room or see to the disk, "
            "then continue from the newest checkpoint that is there"
        ) from error
    older = [entry for entry in checkpoints_of(run, folder) if entry.steps < steps]
    older = [entry for entry in older if _can_be_continued(entry)]
    for old in older[: max(len(older) - (kept - 1), 0)]:
        old.path.unlink()
    for path in _leftovers(run, folder):
        path.unlink(missing_ok=True)
    return Checkpoint(run, steps, folder / f"{run}_{steps}{SUFFIX}")


def _can_be_continued(checkpoint):
    """Return whether a checkpoint is whole and has moments: a downloaded one is not this run's."""
    from maskflownet.network.files.layout import fault_of  # here, for it brings MXNet

    return checkpoint.states.is_file() and fault_of(checkpoint.path) is None


def _leftovers(run, folder):
    """Yield what is part of no checkpoint of this run: moments without weights, half files."""
    for path in sorted(folder.iterdir()):
        part = _PART.fullmatch(path.name)
        name = _NAME.fullmatch(part["name"] if part else path.stem)
        if name is None or name["run"] != run:
            continue
        if part or (path.suffix == STATES_SUFFIX and not path.with_suffix(SUFFIX).exists()):
            yield path


def _by_path(path):
    if not path.is_file():
        raise MissingDataError(f"{path}: there is no such parameter file; check the path")
    if is_best(path):
        return _best_at(path)
    match = _NAME.fullmatch(path.stem)
    if match is None:
        return Checkpoint(path.stem, 0, path)
    return Checkpoint(match["run"], int(match["steps"]), path)


def _best_of(text, prefix, folder):
    """Return the best weights of the run whose id begins with `prefix`."""
    paths = sorted(path for path in folder.glob(best_path("*", Path()).name) if is_best(path))
    found = {path.stem.removesuffix(f"_{BEST}"): path for path in paths}
    runs = [run for run in found if run.startswith(prefix)]
    runs = [prefix] if prefix in runs else runs
    if not runs:
        raise MissingDataError(
            f"-c {text}: {folder} has no {prefix}*_{BEST}{SUFFIX}; a run keeps its best weights "
            "when it is validated"
        )
    if len(runs) > 1:
        raise InputError(
            f"-c {text}: this fits {len(runs)} runs, write more of the name: {', '.join(runs)}"
        )
    return _best_at(found[runs[0]])


def _best_at(path):
    best = read_best(path)
    return Checkpoint(path.stem.removesuffix(f"_{BEST}"), best.steps if best else 0, path)


def all_checkpoints(folder: Path) -> Iterator[Checkpoint]:
    """Yield the checkpoints of all runs in a folder, by the names of their files."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        match = _NAME.fullmatch(path.stem)
        if match is not None and not path.name.startswith("."):
            yield Checkpoint(match["run"], int(match["steps"]), path)


def _nothing_found(text, prefix, folder):
    message = f"-c {text}: {folder} has no {prefix}*_STEPS{SUFFIX}"
    released = find_released(prefix)
    if released is not None:
        where = "" if folder.parent == ROOT else f" --root {folder.parent}"
        return f"{message}; get it with: {START_MAIN} --fetch {prefix}{where}"
    runs = sorted({entry.run for entry in all_checkpoints(folder)})
    there = f"the runs there are {', '.join(runs)}" if runs else "there are none of any run"
    return f"{message}; {there}"
