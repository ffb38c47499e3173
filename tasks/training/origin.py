"""Where a run comes from: nothing, a checkpoint whose weights it takes, or its earlier steps."""

import argparse
import logging
from typing import NamedTuple

from maskflownet.config import InputError
from maskflownet.network.files.layout import fault_of
from maskflownet.tasks.runs.best import is_best
from maskflownet.tasks.runs.checkpoints import (
    SHIPPED_RUNS,
    Checkpoint,
    checkpoints_of,
    find_checkpoint,
)
from maskflownet.tasks.runs.record import RunRecord, read_record, record_path

logger = logging.getLogger(__name__)


class Origin(NamedTuple):
    """Where a run comes from.

    Attributes
    ----------
    checkpoint : Checkpoint or None
        Whose weights it takes; None for fresh ones.
    run : str or None
        The run that goes on; None for a new one.
    step : int
        How many steps it has made.
    record : RunRecord or None
        What it was begun with, where that is known.
    """

    checkpoint: Checkpoint | None = None
    run: str | None = None
    step: int = 0
    record: RunRecord | None = None


def find_origin(arguments: argparse.Namespace) -> Origin:
    """Return where the run comes from, as -c and --clear_steps say.

    Raises
    ------
    InputError
        The run has gone on since that checkpoint, was begun with another seed, or is none.
    """
    if arguments.checkpoint is None:
        if arguments.clear_steps:
            raise InputError("--clear_steps begins anew from a checkpoint: name it with -c")
        return Origin()
    weights = arguments.root / "weights"
    checkpoint = find_checkpoint(arguments.checkpoint, weights)
    if arguments.clear_steps:
        return Origin(checkpoint)
    run = checkpoint.run
    if run in SHIPPED_RUNS:
        raise InputError(
            f"-c {arguments.checkpoint}: the weights that come with the project are no run "
            "that goes on, but what a new one can begin with: add --clear_steps"
        )
    if is_best(checkpoint.path):
        raise InputError(
            f"-c {arguments.checkpoint}: a run's best weights are kept without Adam's moments, to "
            f"begin from: add --clear_steps; -c {run} continues the run"
        )
    newest = [entry for entry in checkpoints_of(run, weights) if fault_of(entry.path) is None][-1:]
    if newest and newest[0].steps > checkpoint.steps:
        raise InputError(
            f"-c {arguments.checkpoint}: run {run} has gone on to step {newest[0].steps}; continue "
            "from there, or add --clear_steps to begin a new run here"
        )
    record = read_record(record_path(arguments.root, run))
    if record is None:  # the checkpoint may lie in another root
        record = read_record(record_path(checkpoint.path.absolute().parent.parent, run))
    if record is None:
        logger.info("run %s has no record: it goes on with what the command line says", run)
    elif arguments.seed not in (None, record.seed):
        raise InputError(
            f"--seed {arguments.seed}: run {run} has seed {record.seed}; leave --seed out to "
            "continue it, or add --clear_steps to begin a new run"
        )
    return Origin(checkpoint, run, checkpoint.steps, record)
