"""Reading ahead: order, bound, errors, and no thread left behind."""

import threading
import time

import pytest

from maskflownet.reader.read_ahead import iterate_ahead, read_ahead


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


def test_an_iterator_runs_ahead_in_one_thread_and_no_further_than_the_bound():
    taken, threads = [], set()

    def items():
        for index in range(50):
            taken.append(index)
            threads.add(threading.get_ident())
            yield index

    for count, item in enumerate(iterate_ahead(items(), ahead=3), start=1):
        assert item == count - 1
        assert len(taken) <= count + 3
    assert count == 50
    assert len(threads) == 1 and threading.get_ident() not in threads


def test_an_iterators_error_comes_after_what_it_yielded():
    def items():
        yield 1
        yield 2
        raise ValueError("third")

    ahead = iterate_ahead(items(), ahead=5)
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(ValueError, match="third"):
        next(ahead)


def test_an_iterator_is_closed_with_its_reader():
    closed = []

    def items():
        try:
            yield from range(100)
        finally:
            closed.append(True)

    source = items()
    ahead = iterate_ahead(source, ahead=2)
    next(ahead)
    ahead.close()
    assert closed == [True]
