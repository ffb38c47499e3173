"""The consistency mask on motions whose occlusion is known."""

import numpy as np
import pytest

from maskflownet.output import consistency, consistency_mask


def constant(u, v, shape=(40, 60)):
    return np.full((*shape, 2), (u, v), np.float32)


def test_a_shift_is_consistent_where_it_stays_in_the_picture():
    mask = consistency_mask(constant(7, -3), constant(-7, 3))
    expected = np.zeros((40, 60), bool)
    expected[3:, :-7] = True
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, expected)


def test_a_square_covers_what_it_moves_over():
    flow, backward = constant(0, 0), constant(0, 0)
    flow[10:20, 10:20] = 12, 0  # the square
    backward[10:20, 22:32] = -12, 0  # and where it is then
    expected = np.ones((40, 60), bool)
    expected[10:20, 22:32] = False  # the ground that it hides
    np.testing.assert_array_equal(consistency_mask(flow, backward), expected)


@pytest.mark.parametrize("length", [0, 10, 100])
def test_the_tolerance_is_that_of_the_paper(length):
    # gap^2 < 0.01 (w^2 + (w - gap)^2) + 0.5, solved for the gap
    gaps = np.linspace(0, 20, 20001)
    allowed = gaps[gaps**2 < 0.01 * (length**2 + (length - gaps) ** 2) + 0.5].max()
    for gap, consistent in ((allowed - 0.01, True), (allowed + 0.01, False)):
        back = constant(gap - length, 0, (4, 240))
        mask = consistency_mask(constant(length, 0, (4, 240)), back)
        assert mask[:, : 240 - length].all() == consistent
        assert mask[:, : 240 - length].any() == consistent


def test_flow_back_is_taken_between_pixels():
    flow = constant(2.5, 0)
    backward = constant(0, 0)
    backward[..., 0] = np.where(np.arange(60) % 2, -5.0, 0.0)  # -2.5 in the middle of two
    assert consistency_mask(flow, backward)[:, :57].all()
    assert not consistency_mask(constant(2, 0), backward)[:, :57].any()


def test_unknown_flow_is_not_consistent():
    flow, backward = constant(1, 0), constant(-1, 0)
    flow[5, 5] = np.nan
    backward[8, 9] = np.inf
    mask = consistency_mask(flow, backward)
    assert not mask[5, 5] and not mask[8, 8]
    assert mask[20, 20]


def test_pictures_larger_than_opencv_can_look_up():
    shift = constant(7.5, 0, (3, 70_000))
    mask = consistency_mask(shift, -shift)
    assert mask[:, :-8].all() and not mask[:, -7:].any()
    assert consistency_mask(constant(0, 9, (33_000, 2)), constant(0, -9, (33_000, 2)))[:-9].all()


def test_parts_are_as_the_whole(monkeypatch):
    rng = np.random.default_rng(0)
    flow = rng.uniform(-9, 9, (40, 60, 2)).astype(np.float32)
    backward = np.round(rng.uniform(-9, 9, (40, 60, 2)).astype(np.float32))
    backward[10:30] = -flow[10:30]
    x = np.arange(60, dtype=np.float32) + flow[..., 0]
    y = np.arange(40, dtype=np.float32)[:, None] + flow[..., 1]
    whole = consistency._between_pixels(backward, x, y)
    monkeypatch.setattr(consistency, "TILE", 7)
    parts = consistency._between_pixels(backward, x, y)
    inside = (x >= 0) & (x <= 59) & (y >= 0) & (y <= 39)
    # OpenCV looks up to 1/32 px, and rounds according to how far from 0 a place is.
    np.testing.assert_allclose(parts[inside], whole[inside], atol=20 / 32)
    assert np.abs(parts[inside] - whole[inside]).mean() < 0.01
