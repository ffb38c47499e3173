"""Settings for all tests. One thread: there the golden numbers repeat to float rounding."""

import logging
import os

import pytest

os.environ["OMP_NUM_THREADS"] = "1"

import runtime  # noqa: F401  (before anything imports MXNet)


@pytest.fixture(autouse=True)
def root_logger_as_before():
    """Undo what a program that ran within a test set up for its log lines."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
