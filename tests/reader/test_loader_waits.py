"""A reader process that stands still, and shared memory that is not there."""

import errno
import os
import time

import pytest
from test_loader import Painted

from maskflownet.reader import patience
from maskflownet.reader.loading import Loader

CROP = (64, 64)


class Stuck(Painted):
    """Reads two pairs, and then stands still, as on a network folder that is gone."""

    def __getitem__(self, index):
        if index > 1:
            time.sleep(600)
        return super().__getitem__(index)


def stuck_loader(monkeypatch):
    monkeypatch.setattr(patience, "LOOK_S", 0.05)
    monkeypatch.setattr(patience, "TOLD_AFTER_S", 1)
    return Loader(Stuck(8, size=CROP), 1, CROP, 0, workers=1)


def test_waiting_for_a_worker_that_stands_still_is_told_and_heeds_a_stop(monkeypatch, caplog):
    loader = stuck_loader(monkeypatch)

    def told():
        return [message for message in caplog.messages if message.startswith("waiting since")]

    batches = list(loader.batches(is_stopped=lambda: bool(told())))  # else without an end
    assert len(batches) < 8
    assert told()[0].startswith("waiting since 1 s for a reader (process ")
    assert " while it had to read " in told()[0]


def test_without_room_for_shared_memory_there_is_one_line(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    batches = Loader(Painted(8, size=CROP), 4, CROP, 0, workers=1).batches()
    with pytest.raises(OSError, match=r"MB of shared memory, which neither /dev/shm nor") as caught:
        next(batches)
    message = str(caught.value)
    assert "No space left on device" in message and "--shm-size" in message
    assert "\n" not in message
