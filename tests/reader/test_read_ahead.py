"""Reading ahead: order, bound, errors, and no thread left behind."""

import threading
import time

import pytest

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
    before = threading.active_count()
    items = read_ahead(lambda key: key, range(100), ahead=5)
    next(items)
    items.close()
    assert threading.active_count() == before
