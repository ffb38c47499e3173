"""Reading what comes next while something else computes."""

import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, wait
from itertools import islice
from typing import Generic, TypeVar

from maskflownet.reader import patience

Key = TypeVar("Key")
Item = TypeVar("Item")

READERS = 2


def read_ahead(
    read: Callable[[Key], Item],
    keys: Iterable[Key],
    ahead: int,
    called: Callable[[Key], str] = lambda key: "the next item",
    is_stopped: Callable[[], bool] = lambda: False,
) -> Iterator[Item]:
    """Yield read(key) for every key, in order, at most `ahead` of them read before they are wanted.

    Memory does not grow with the number of keys. Decoding releases Python's lock, so threads do.
    An exception in `read` is raised where its item would have come. A `read` that never returns
    keeps nothing from ending: neither the iterator that is closed nor the program waits for it.

    Parameters
    ----------
    read : callable
    keys : iterable
        Taken lazily.
    ahead : int
        At least 1.
    called : callable, optional
        Returns what a key's item is called, for the line that tells of a long wait.
    is_stopped : callable, optional
        Asked every moment while an item is waited for: True ends the iterator.
    """
    keys = iter(keys)
    threads = _Threads(read, min(READERS, ahead))
    try:
        waiting = deque((key, threads.begin(key)) for key in islice(keys, ahead))
        while waiting:
            try:
                item = _result(*waiting.popleft(), called, is_stopped)
            except patience.WaitBrokenOffError:
                return
            waiting.extend((key, threads.begin(key)) for key in islice(keys, 1))
            yield item
    finally:
        threads.close()


def _result(key, future, called, is_stopped):
    """Return what was read for a key as soon as it is there."""
    own = patience.Patience(lambda: called(key), is_stopped)
    while not wait([future], patience.LOOK_S).done:
        own.look()
    return future.result()


class _Threads(Generic[Key, Item]):
    """Threads that call `read`, and that a program does not wait for when it ends.

    Python's own ThreadPoolExecutor does wait for its threads, for ever if need be.
    """

    def __init__(self, read: Callable[[Key], Item], count: int):
        self._tasks = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=_serve, args=(read, self._tasks), daemon=True)
            for _ in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def begin(self, key: Key) -> Future:
        """Have a key's item read; return where it will be."""
        future = Future()
        self._tasks.put((key, future))
        return future

    def close(self) -> None:
        """Have what has not begun left out, and wait a little for what has."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._tasks.get_nowait()
        for _ in self._threads:
            self._tasks.put(None)
        deadline = time.monotonic() + patience.LEAVING_S
        for thread in self._threads:
            thread.join(max(0, deadline - time.monotonic()))


def _serve(read, tasks):
    while _do_next(read, tasks):
        pass


def _do_next(read, tasks):
    """Do the next task; return whether there was one. It keeps no item alive while it waits."""
    task = tasks.get()
    if task is None:
        return False
    key, future = task
    try:
        future.set_result(read(key))
    except BaseException as error:  # raised where the item is waited for
        future.set_exception(error)
    return True
