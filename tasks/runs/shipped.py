"""The weights that come with the project, trained on generated scenes (weights/README.md)."""

import logging

from maskflownet.config.errors import MissingDataError
from maskflownet.config.files import START_MAIN
from maskflownet.tasks.runs.checkpoints import (
    SHIPPED,
    SHIPPED_CASCADE,
    SHIPPED_FOLDER,
    Checkpoint,
    checkpoints_of,
)
from maskflownet.tasks.runs.released import RELEASED

logger = logging.getLogger(__name__)


def shipped_weights() -> Checkpoint:
    """Return the weights to use where nobody names any, and say which they are.

    Raises
    ------
    MissingDataError
        They were removed.
    """
    own = checkpoints_of(SHIPPED, SHIPPED_FOLDER)
    if not own:
        raise MissingDataError(
            f"{SHIPPED_FOLDER} has no {SHIPPED}_STEPS.params, which comes with the project: "
            "restore it, or name a checkpoint with -c"
        )
    newest = own[-1]
    released = ", ".join(sorted(entry.run.split("-")[0] for entry in RELEASED))
    logger.info(
        "weights: %s, trained on generated scenes alone; -c %s is a little better and slower, the "
        "released checkpoints are better by far where they can be had (-c with one of %s; "
        "%s --fetch gets them)",
        *(newest.path.name, SHIPPED_CASCADE, released, START_MAIN),
    )
    return newest
