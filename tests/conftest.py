"""Settings for all tests. One thread: there the golden numbers repeat to float rounding."""

import importlib
import logging
import os
import signal
import tempfile
from pathlib import Path

import pytest

os.environ["OMP_NUM_THREADS"] = "1"

from maskflownet import runtime  # noqa: F401  (before anything imports MXNet)

# isort: split
from thin_networks import THIN, WHOLE, set_widths

# What helpers compare is told as in the tests themselves.
pytest.register_assert_rewrite(
    *("main_runs", "processes"),
    *("mxnet_1_5_1", "states_helpers"),
    *("dataset_trees", "refusals"),
    *("launch_helpers", "prediction_helpers"),
)

# A shell that starts the tests in the background has them ignore Ctrl-C, and nohup the end of the
# terminal; and so would every program that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def set_network_widths(patch, widths):
    """Set the widths where all that asks for them has been imported."""
    importlib.import_module("maskflownet.network")
    set_widths(patch, widths)


@pytest.fixture(scope="module")
def thin_networks():
    """Have this module's networks be thin: see thin_networks.py."""
    with pytest.MonkeyPatch.context() as patch:
        set_network_widths(patch, THIN)
        yield


@pytest.fixture
def thin_network(monkeypatch):
    """Have this test's networks be thin."""
    set_network_widths(monkeypatch, THIN)


@pytest.fixture
def whole_network(monkeypatch):
    """Have this test's networks be whole, where those of its module are thin."""
    set_network_widths(monkeypatch, WHOLE)


@pytest.fixture
def root():
    """A folder for the files of runs that goes at once: checkpoints are large."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def root_logger_as_before():
    """Undo what a program that ran within a test set up for its log lines."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
