"""Waiting for what may never come, as from a network folder that is gone.

Every wait for data looks up now and then: it ends where somebody asked to stop, and tells after
each minute what it waits for.
"""

import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)

LOOK_S = 0.5
TOLD_AFTER_S = 60
LEAVING_S = 5  # what does not end by then when it is told to is left to itself


class WaitBrokenOffError(Exception):
    """Somebody asked to stop while something was waited for."""


class Patience:
    """The patience of one wait, which asks `look` each time that LOOK_S has passed in vain.

    Parameters
    ----------
    awaited : callable
        Returns words for what is waited for, such as a pair's name.
    is_stopped : callable
        Whether somebody asked to stop.
    """

    def __init__(self, awaited: Callable[[], str], is_stopped: Callable[[], bool]):
        self._awaited = awaited
        self._is_stopped = is_stopped
        self._waited_s, self._told = 0.0, 0

    def look(self) -> None:
        """Count the time that has passed, and log a line where that makes another minute.

        Raises
        ------
        WaitBrokenOffError
            Somebody asked to stop.
        """
        if self._is_stopped():
            raise WaitBrokenOffError
        self._waited_s += LOOK_S
        if self._waited_s >= (self._told + 1) * TOLD_AFTER_S:
            self._told += 1
            logger.warning(
                "waiting since %d s for %s: see to the disk or network folder of the data",
                *(self._told * TOLD_AFTER_S, self._awaited()),
            )
