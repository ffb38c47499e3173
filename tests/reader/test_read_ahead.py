"""Reading ahead: order, bound, errors, and no thread left behind."""

import threading
import time

import pytest

from maskflownet.reader import patience
from maskflownet.reader.read_ahead import read_ahead


def test_items_come_in_order_though_later_ones_are_ready_first():
    def read(key):
        time.sleep(0.02 if key % 3 == 0 else 0)
        return key * 10

    assert list(read_ahead(read, range(20), ahead=4)) == [key * 10 for key in range(20)]


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_than_the_bound_is_read_ahead(ahead):
    started = []

    def read(key):
        started.append(key)
        return key

    for taken, _ in enumerate(read_ahead(read, range(1000), ahead), start=1):
        time.sleep(0.001)
        assert len(started) <= taken + ahead
        if taken == 50:
            break


def test_an_error_comes_where_its_item_would_have():
    def read(key):
        if key == 3:
            raise ValueError("third")
        return key

    got = []
    with pytest.raises(ValueError, match="third"):
        got.extend(read_ahead(read, range(10), ahead=2))
    items = read_ahead(read, range(10), ahead=2)
    assert [next(items) for _ in range(3)] == [0, 1, 2]


def test_stopping_early_leaves_no_thread():
    before = set(threading.enumerate())  # of which those of earlier tests may end meanwhile
    items = read_ahead(lambda key: key, range(100), ahead=5)
    next(items)
    assert set(threading.enumerate()) - before
    items.close()
    assert not set(threading.enumerate()) - before


# A read that never returns.


@pytest.fixture(name="stuck")
def fixture_stuck(monkeypatch):
    """Give a `read` whose third key stands still until the test ends."""
    for name, seconds in {"LOOK_S": 0.02, "TOLD_AFTER_S": 0.2, "LEAVING_S": 0.3}.items():
        monkeypatch.setattr(patience, name, seconds)
    end = threading.Event()

    def read(key):
        if key == 2:
            end.wait(600)
        return key

    yield read
    end.set()


def test_a_stop_ends_the_wait_for_a_read_that_stands_still_which_is_told(stuck, caplog):
    stopped = threading.Event()
    threading.Timer(0.7, stopped.set).start()
    items = read_ahead(stuck, range(9), 2, "pair {}".format, stopped.is_set)
    assert list(items) == [0, 1] and stopped.is_set()
    assert caplog.messages[0].startswith("waiting since 0 s for pair 2: see to the disk or network")
    assert 1 < len(caplog.messages) < 5


def test_an_iterator_whose_read_stands_still_can_be_closed(stuck):
    items = read_ahead(stuck, range(9), 2)
    assert [next(items), next(items)] == [0, 1]
    began = time.monotonic()
    items.close()
    assert time.monotonic() - began < 5
