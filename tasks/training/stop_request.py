"""Stopping at the end of a step instead of in the middle of it."""

import contextlib
import os
import sys
from collections.abc import Iterator

from maskflownet.tasks.signals import on_request

NOTED = b"\nstopping after this step and its checkpoint\n"


class StopRequest:
    """Whether somebody asked the program to stop.

    Attributes
    ----------
    exit_code : int or None
        None until then; 130 after Ctrl-C (SIGINT), 143 after SIGTERM, 129 after SIGHUP, as shells
        report them.
    """

    def __init__(self):
        self.exit_code = None

    @property
    def is_there(self) -> bool:
        """Whether somebody asked."""
        return self.exit_code is not None

    def note(self, signal_number: int) -> None:
        """Take note of the first signal."""
        if self.exit_code is None:
            self.exit_code = 128 + signal_number
            # Not through Python's files: a signal may come while one of them is being written to.
            with contextlib.suppress(OSError):
                os.write(sys.__stderr__.fileno(), NOTED)


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Within the block, note the signals that ask to stop instead of being ended by them."""
    request = StopRequest()
    with on_request(request.note):
        yield request
