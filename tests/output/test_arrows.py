"""Arrows: where they begin, where they end, and what is left alone."""

import numpy as np
import pytest

from maskflownet.output.arrows import COLOR, draw_arrows

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
