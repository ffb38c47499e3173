"""Which pair comes when and how it is cut, without processes."""

from collections import Counter
from itertools import pairwise, product

import numpy as np
import pytest

from maskflownet.config import InputError
from maskflownet.reader.loading.order import Order
from maskflownet.reader.loading.sampling import random_cut
from maskflownet.reader.sample import FlowSample


def indices(order, steps):
    return [order.index(step, sample) for step in steps for sample in range(len(order.ranges))]


def test_every_pair_once_in_each_epoch():
    drawn = indices(Order(7, [range(30)] * 4), range(1, 61))
    epochs = [drawn[start : start + 30] for start in range(0, 240, 30)]
    assert all(sorted(epoch) == list(range(30)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 8
    assert epochs[0] != sorted(epochs[0])


def test_more_samples_than_pairs():
    assert Counter(indices(Order(0, [range(3)] * 8), [1, 2, 3])) == {0: 8, 1: 8, 2: 8}


def test_no_step_depends_on_another():
    ranges = [range(10), range(10), range(10, 17), range(17, 18)]
    whole = {step: indices(Order(1, ranges), [step]) for step in range(1, 40)}
    order = Order(1, ranges)
    for step in (39, 2, 38, 1, 20, 20):
        assert indices(order, [step]) == whole[step]


def test_mixture_draws_each_sample_from_its_own_pairs():
    order = Order(0, [range(10), range(10), range(10, 17), range(17, 20)])
    first, second, third, fourth = zip(
        *(indices(order, [step]) for step in range(1, 22)), strict=True
    )
    assert set(first) | set(second) == set(range(10))
    assert Counter(third) == dict.fromkeys(range(10, 17), 3)
    assert Counter(fourth) == dict.fromkeys(range(17, 20), 7)


def test_seeds_give_unrelated_orders():
    orders = [indices(Order(seed, [range(1000)]), range(1, 1001)) for seed in range(4)]
    for first, second in pairwise(orders):
        assert sum(a == b for a, b in zip(first, second, strict=True)) < 10


def test_order_stays_what_it_was():
    """A run begun with another version goes on with the same data; so these never change."""
    order = Order(2019, [range(100)] * 4)
    assert indices(order, [1, 26]) == PINNED
    assert [order.index(5, 1, attempt) for attempt in (1, 2, 3)] == PINNED_REPLACEMENTS
    assert order.cutting_rng(5, 1).integers(1000) == PINNED_CUT


PINNED = [99, 88, 4, 11, 55, 0, 94, 29]
PINNED_REPLACEMENTS = [51, 11, 26]
PINNED_CUT = 640


def test_replacements_come_from_the_same_pairs():
    ranges = [range(50), range(50, 60)]
    order = Order(0, ranges)
    drawn = {order.index(step, 1, attempt) for step in range(50) for attempt in (1, 2)}
    assert drawn == set(range(50, 60))
    draws = [order.index(3, 0, attempt) for attempt in range(10)]
    assert draws == [Order(0, ranges).index(3, 0, attempt) for attempt in range(10)]
    assert len(set(draws)) > 5


def painted(size_hw):
    """Return a sample whose every array tells the place of each pixel: (row, column)."""
    row, column = np.indices(size_hw, np.uint8)
    image = np.stack([row, column, np.full_like(row, 9)], axis=2)
    flow = np.stack([column, row], axis=2).astype(np.float32)
    occluded = (row + 2 * column) % 3 == 0
    return FlowSample(image, 255 - image, flow, (row + 2 * column)[..., None], occluded, "p")


def test_cut_keeps_all_arrays_together():
    seen = set()
    for seed in range(200):
        cut = random_cut(painted((7, 9)), (4, 6), np.random.default_rng(seed))
        top, left = (int(value) for value in cut.image1[0, 0, :2])
        mirror = int(cut.image1[0, 1, 1]) - left
        seen.add((top, left, mirror))
        rows, columns = np.mgrid[top : top + 4, 0:6]
        columns = left + mirror * columns
        np.testing.assert_array_equal(cut.image1[..., 0], rows)
        np.testing.assert_array_equal(cut.image1[..., 1], columns)
        np.testing.assert_array_equal(cut.image2, 255 - cut.image1)
        np.testing.assert_array_equal(cut.flow, np.stack([mirror * columns, rows], axis=2))
        np.testing.assert_array_equal(cut.valid[..., 0], rows + 2 * columns)
        assert cut.flow.dtype == np.float32
        np.testing.assert_array_equal(cut.occluded, (rows + 2 * columns) % 3 == 0)
    # Every place, as it is and mirrored.
    places = set(product(range(4), range(4)))
    assert seen == {(*place, 1) for place in places} | {(t, left + 5, -1) for t, left in places}


def test_half_are_mirrored():
    mirrored = sum(
        random_cut(painted((2, 3)), (2, 3), np.random.default_rng(seed)).image1[0, 0, 1] == 2
        for seed in range(400)
    )
    assert 160 < mirrored < 240


@pytest.mark.parametrize("size_hw", [(6, 20), (20, 7)])
def test_too_small_to_crop(size_hw):
    height, width = size_hw
    with pytest.raises(InputError, match=rf"^p: expected .* 8x7 .* got {width}x{height}; [^\n]*$"):
        random_cut(painted(size_hw), (7, 8), np.random.default_rng(0))
