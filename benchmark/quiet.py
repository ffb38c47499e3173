"""Programs that are run over and over need not tell of each time."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def warnings_alone(name: str) -> Iterator[None]:
    """Have the logger of this name drop what is less than a warning, for a while."""
    log = logging.getLogger(name)
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        yield
    finally:
        log.setLevel(level)
