"""Reading what comes next while something else computes."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, repeat
from typing import TypeVar

Key = TypeVar("Key")
Item = TypeVar("Item")

READERS = 2


def read_ahead(
    read: Callable[[Key], Item], keys: Iterable[Key], ahead: int, readers: int = READERS
) -> Iterator[Item]:
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
    readers : int
        How many threads read at once; one, if each read goes on where the last one stopped.
    """
    keys = iter(keys)
    pool = ThreadPoolExecutor(max_workers=min(readers, ahead))
    try:
        waiting = deque(pool.submit(read, key) for key in islice(keys, ahead))
        while waiting:
            item = waiting.popleft().result()
            waiting.extend(pool.submit(read, key) for key in islice(keys, 1))
            yield item
    finally:
        pool.shutdown(cancel_futures=True)


def iterate_ahead(items: Iterator[Item], ahead: int) -> Iterator[Item]:
    """Yield what an iterator yields, which runs in a thread up to `ahead` items before its reader.

    An iterator that can be closed, as generators can, is closed when this one is.
    """
    end = object()
    taken = read_ahead(lambda _: next(items, end), repeat(None), ahead, readers=1)
    try:
        for item in taken:
            if item is end:
                return
            yield item
    finally:
        taken.close()
        if hasattr(items, "close"):
            items.close()
