"""The signals that ask a program to stop, the same for all programs.

Ctrl-C, what `kill`, `timeout` and batch systems send, and the end of a terminal. They often come
twice, to a process and to its group: repeats within seconds are one request.
"""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
REPEAT_S = 5


class Stopped(KeyboardInterrupt):
    """A program was asked to stop.

    Attributes
    ----------
    number : signal.Signals
        By which signal.
    """

    def __init__(self, number: int):
        self.number = signal.Signals(number)
        super().__init__(self.number.name)


@contextlib.contextmanager
def on_request(act: Callable[[int], None], is_last: bool = False) -> Iterator[None]:
    """Within the block, call `act` with the number of a signal that asks to stop.

    It is called from a signal handler of the main thread; in other threads the block changes
    nothing. Repeats within REPEAT_S of a request are left out. A program that was told to ignore
    the end of its terminal, as by nohup, goes on ignoring it.

    Parameters
    ----------
    act : callable
    is_last : bool
        The program ends with this block: where there was a request, a repeat must not change how.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    noted_at = None

    def note(number, frame):
        nonlocal noted_at
        del frame
        now = time.monotonic()
        if noted_at is None or now - noted_at > REPEAT_S:
            noted_at = now
            act(number)

    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    heeded = [number for number in STOPPING if not (ignored and number == signal.SIGHUP)]
    before = {number: signal.signal(number, note) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if is_last and noted_at is not None else handler)


def stop(number: int) -> None:
    """Raise Stopped: what a program does that has nothing to finish first."""
    raise Stopped(number)
