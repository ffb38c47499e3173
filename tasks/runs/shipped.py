"""The weights that come with the project, trained on generated scenes (weights/README.md)."""

import logging

from maskflownet.config.errors import MissingDataError
from maskflownet.config.files import CONFIG_DIR
from maskflownet.tasks.runs.checkpoints import Checkpoint, all_checkpoints
from maskflownet.tasks.runs.released import RELEASED

# In a clone this is weights/ in its root, where checkpoints of trainings lie too.
FOLDER = CONFIG_DIR.parent / "weights"
RUN = "scenes-S"

logger = logging.getLogger(__name__)


def shipped_weights() -> Checkpoint:
    """Return the weights to use where nobody names any, and say which they are.

    Raises
    ------
    MissingDataError
        They were removed.
    """
    own = [entry for entry in all_checkpoints(FOLDER) if entry.run == RUN]
    if not own:
        raise MissingDataError(
            f"{FOLDER} has no {RUN}_STEPS.params, which comes with the project: restore it, or "
            "name a checkpoint with -c"
        )
    newest = max(own, key=lambda entry: entry.steps)
    released = ", ".join(sorted(entry.run.split("-")[0] for entry in RELEASED))
    logger.info(
        "weights: %s, trained on generated scenes alone; the released checkpoints are better where "
        "they can be had (-c with one of %s; --fetch gets them)",
        newest.path.name,
        released,
    )
    return newest
