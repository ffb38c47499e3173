"""The project's programs run one after the other, as a person would, and continued after a stop."""

import logging
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from maskflownet.config.files import CONFIG_DIR, ROOT
from maskflownet.tasks.runs.checkpoints import Checkpoint, all_checkpoints, find_checkpoint

logger = logging.getLogger(__name__)


def run(*command: str) -> None:
    """Run one of the project's programs, showing the command.

    Raises
    ------
    SystemExit
        It was stopped or failed; with its exit code, or 128 + n if signal n ended it.
    """
    logger.info("$ python %s", shlex.join(command))
    # They lie beside the rooms, in a clone and in an installed package alike.
    first = CONFIG_DIR.parent / command[0]
    words = [sys.executable, first if first.exists() else command[0], *command[1:]]
    with subprocess.Popen(words, cwd=ROOT) as program:
        # Unlike Ctrl-C in a terminal it comes to this process alone, and would leave the program
        # running.
        before = signal.signal(signal.SIGTERM, lambda number, _: program.send_signal(number))
        try:
            code = _wait(program)
        finally:
            signal.signal(signal.SIGTERM, before)
    if code:
        raise SystemExit(code if code > 0 else 128 - code)


def _wait(program):
    while True:
        try:
            return program.wait()
        except KeyboardInterrupt:
            continue  # the program has got it too, and ends by itself


def train(command: list[str], root: Path, steps: int, begin: list[str]) -> Checkpoint:
    """Begin, continue or skip the one training of a folder; return its last checkpoint.

    Parameters
    ----------
    command : list of str
        The arguments of main.py, less --root and where to begin.
    root : pathlib.Path
        The folder for weights/ and logs/.
    steps : int
        Where the schedule ends.
    begin : list of str
        The further arguments of a training that has not begun.
    """
    checkpoint = newest(root)
    if checkpoint is None or checkpoint.steps < steps:
        where = ["-c", checkpoint.run] if checkpoint else begin
        run("main.py", *command, "--root", str(root), *where)
        checkpoint = newest(root)
    return checkpoint


def newest(root: Path) -> Checkpoint | None:
    """Return the newest checkpoint of the run below a root folder, if there is one."""
    folder = root / "weights"
    last = max(all_checkpoints(folder), key=lambda entry: entry.steps, default=None)
    return find_checkpoint(last.run, folder) if last else None
