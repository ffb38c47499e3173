"""Stopping at the end of a step instead of in the middle of it."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator

STOPPING = (signal.SIGINT, signal.SIGTERM)
NOTED = b"\nstopping after this step and its checkpoint\n"


class StopRequest:
    """Whether somebody asked the program to stop.

    Attributes
    ----------
    exit_code : int or None
        None until then; 130 after Ctrl-C (SIGINT), 143 after SIGTERM, as shells report them.
    """

    def __init__(self):
        self.exit_code = None

    def note(self, signal_number, frame):
        """Take note of the first signal; the signature is that of signal handlers."""
        del frame
        if self.exit_code is None:
            self.exit_code = 128 + signal_number
            # Not through Python's files: a signal may come while one of them is being written to.
            with contextlib.suppress(OSError):
                os.write(sys.__stderr__.fileno(), NOTED)


@contextlib.contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Within the block, note SIGINT and SIGTERM instead of being ended by them."""
    request = StopRequest()
    before = {number: signal.signal(number, request.note) for number in STOPPING}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
