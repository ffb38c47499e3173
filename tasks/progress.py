"""How far long work is and how long it will take: a bar on a terminal, plain lines otherwise."""

import logging
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

logger = logging.getLogger(__name__)

Item = TypeVar("Item")
LINE_EVERY_S = 15.0
LONG_S = 60.0  # work that takes longer is forecast
_WARM_UP = 2  # items before one can tell; the first is slow


def progress(items: Iterable[Item], total: int, what: str, unit: str = "pair") -> Iterator[Item]:
    """Yield the items and show how many of `total` have come, how fast, and the time left.

    Parameters
    ----------
    items : iterable
    total : int
    what : str
        What is being worked on, such as a dataset's name.
    unit : str
        What one item is called.
    """
    start = last_line = time.monotonic()
    with tqdm(total=total, desc=what, unit=unit, disable=None, leave=False) as bar:
        for done, item in enumerate(items, start=1):
            yield item
            bar.update()
            now = time.monotonic()
            if done == _WARM_UP:
                warm = now
            elif done == _WARM_UP + 1 and (now - warm) * (total - done) >= LONG_S:
                left = tqdm.format_interval((now - warm) * (total - done))
                logger.info("%s: %d more %ss will take about %s", what, total - done, unit, left)
            if bar.disable and now - last_line >= LINE_EVERY_S:
                rate = done / (now - start)
                left = tqdm.format_interval(max(0, total - done) / rate)
                logger.info(
                    "%s: %d of %d %ss, %.3g a second, %s left", what, done, total, unit, rate, left
                )
                last_line = now
