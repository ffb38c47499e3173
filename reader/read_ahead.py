"""Reading what comes next while something else computes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")

READERS = 2


def read_ahead(read: Callable[[Key], Item], keys: Iterable[Key], ahead: int) -> Iterator[Item]:
    """Yield read(key) for every key, in order, at most `ahead` of them read before they are wanted.

    Memory does not grow with the number of keys. Decoding releases Python's lock, so threads do.
    An exception in `read` is raised where its item would have come.

    Parameters
    ----------
    read : callable
    keys : iterable
        Taken lazily.
    ahead : int
        At least 1.
    """
    keys = iter(keys)
    pool = ThreadPoolExecutor(max_workers=min(READERS, ahead))
    try:
        waiting = deque(pool.submit(read, key) for key in islice(keys, ahead))
        while waiting:
            item = waiting.popleft().result()
            waiting.extend(pool.submit(read, key) for key in islice(keys, 1))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)
