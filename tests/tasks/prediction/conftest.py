"""What `tasks.prediction` reads and where it writes, in its tests."""

import logging

import pytest
from prediction_helpers import write_frames


@pytest.fixture
def info_logged(caplog):
    caplog.set_level(logging.INFO)


@pytest.fixture
def frames(tmp_path):
    return write_frames(tmp_path / "frames", range(8, 13))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"
