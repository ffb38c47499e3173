"""Arrows: where they begin, where they end, and what is left alone."""

import numpy as np
import pytest

from maskflownet.output.arrows import COLOR, draw_arrows, magnification

GREY = 120


def drawn(flow, spacing=32):
    image = np.full((*flow.shape[:2], 3), GREY, np.uint8)
    picture = draw_arrows(image, flow, spacing)
    assert (image == GREY).all()
    return picture


def yellow_near(picture, x, y):
    patch = picture[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].reshape(-1, 3).astype(int)
    return np.abs(patch - COLOR).max(axis=1).min() < 60


@pytest.mark.parametrize(("u", "v"), [(20, 0), (0, 20), (-12, 9), (6.5, -11.25)])
def test_an_arrow_leads_from_the_pixel_to_where_it_moves(u, v):
    flow = np.zeros((96, 96, 2), np.float32)
    flow[48, 48] = u, v
    picture = drawn(flow)
    still = drawn(np.zeros_like(flow))
    assert yellow_near(picture, 48, 48)
    assert yellow_near(picture, round(48 + u), round(48 + v))
    assert yellow_near(picture, round(48 + u / 2), round(48 + v / 2))
    ys, xs = np.nonzero((picture != still).any(axis=-1))
    # Head and rim are a little wider than the line, no more.
    assert min(48, 48 + u) - 10 < xs.min() and xs.max() < max(48, 48 + u) + 10
    assert min(48, 48 + v) - 10 < ys.min() and ys.max() < max(48, 48 + v) + 10


def test_the_head_is_at_the_tip():
    flow = np.zeros((64, 96, 2), np.float32)
    flow[16, 16] = 30, 0
    changed = (drawn(flow) != GREY).any(axis=-1)
    assert changed[8:25, 38:46].sum() > changed[8:25, 14:22].sum()


def test_no_motion_is_a_dot_and_unknown_flow_is_nothing():
    flow = np.zeros((64, 64, 2), np.float32)
    flow[16, 16] = np.nan
    flow[48, 48] = np.inf, 0
    picture = drawn(flow)
    for x, y in ((48, 16), (16, 48)):
        assert yellow_near(picture, x, y)
        assert (picture[y - 5 : y + 6, x - 5 : x + 6] != GREY).any(axis=-1).sum() < 40
    assert (picture[:32, :32] == GREY).all()
    assert (picture[32:, 32:] == GREY).all()


def test_absurdly_long_flow_still_points_the_right_way():
    flow = np.zeros((64, 64, 2), np.float32)
    flow[16, 16] = 1e9, 0
    picture = drawn(flow)
    assert yellow_near(picture, 60, 16)
    assert (picture[32:48, :8] == GREY).all()


def test_small_pictures_have_an_arrow_too():
    flow = np.full((6, 6, 2), 2, np.float32)
    assert (draw_arrows(np.full((6, 6, 3), GREY, np.uint8), flow) != GREY).any()


@pytest.mark.parametrize(
    ("longest", "times"),
    [(0, 1), (0.05, 100), (0.4, 50), (1, 20), (3, 5), (10, 2), (12, 1), (99, 1)],
)
def test_small_motion_is_magnified(longest, times):
    assert magnification(longest, spacing=32) == times


def test_motion_below_three_pixels_shows():
    flow = np.zeros((96, 96, 2), np.float32)
    flow[48, 48] = 1, 0
    picture = drawn(flow)
    assert yellow_near(picture, 68, 48)
    # The pictures of a sequence have one scale, here that of faster frames.
    image = np.full((96, 96, 3), GREY, np.uint8)
    slow = draw_arrows(image, flow, 32, longest=20)
    assert not yellow_near(slow, 60, 48)


@pytest.mark.parametrize(("longest", "length"), [(30, 20), (1.0, 20), (3.0, 25)])
def test_the_scale_is_as_long_as_the_motion_that_it_names(longest, length):
    # 20 px at true length, 1 px 20 times as long, 5 px five times as long.
    flow = np.full((200, 300, 2), np.nan, np.float32)
    picture = draw_arrows(np.full((200, 300, 3), GREY, np.uint8), flow, 32, longest=longest)
    row = np.abs(picture[188].astype(int) - COLOR).max(axis=1) < 60
    bar = np.flatnonzero(row[:60])
    assert abs(bar[0] - 12) <= 1
    assert row[13 : 12 + length].all()
    assert (picture[:170] == GREY).all()
