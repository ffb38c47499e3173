"""What `--check` says: which datasets are there, and whether they are complete."""

import logging
from collections.abc import Mapping
from pathlib import Path

from config import InputError
from config.paths import PATHS_FILE, ROOT_VARIABLES
from reader.datasets import PUBLISHED

logger = logging.getLogger(__name__)


def check(paths: Mapping[str, Path | None]) -> int:
    """Log a line per published set: its root, how many pairs are there, what is missing first.

    Files are listed, not opened.

    Parameters
    ----------
    paths : mapping
        Dataset names to root folders or None, as `config.load_paths` gives them.

    Returns
    -------
    int
        0 where every set whose root is set is complete, else 1.
    """
    complete = True
    for name, published in PUBLISHED.items():
        root = paths.get(published.dataset)
        if root is None:
            variable = ROOT_VARIABLES[published.dataset]
            status = f"not set: {variable}, or {published.dataset} in config/{PATHS_FILE.name}"
        else:
            status, is_complete = _status(published, paths)
            status = f"{root}: {status}"
            complete &= is_complete
        logger.info("%s", _printable(f"{name:<15} {status}"))
    return 0 if complete else 1


def _printable(text):
    """Return the text with the bytes escaped that are in a folder's name and are no UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _status(published, paths):
    """Return words for what is there of a set, and whether that is all."""
    try:
        dataset = published.open(paths)
    except InputError as error:
        of_expected = f" of {published.expected:,}" if published.expected else ""
        return f"0{of_expected} pairs; {error}", False
    if dataset.first_missing:
        return f"{dataset.found} pairs; first missing: {dataset.first_missing}", False
    if dataset.expected and len(dataset) < dataset.expected:
        return f"{dataset.found} pairs; the rest is missing", False
    return f"{dataset.found} pairs", True
