"""The colour wheel against the benchmark's formula, worked out number by number."""

import math

import numpy as np
import pytest

from maskflownet.config.errors import InputError
from maskflownet.output import flow_color
from maskflownet.output.flow_color import color_wheel, flow_to_color, largest_length


def one_color(u, v, max_flow):
    """Return the colour (B, G, R) of one vector by the coding of Middlebury's colorcode.cpp."""
    wheel = []
    for count, hue in (
        (15, lambda share: (255, 255 * share, 0)),
        (6, lambda share: (255 - 255 * share, 255, 0)),
        (4, lambda share: (0, 255, 255 * share)),
        (11, lambda share: (0, 255 - 255 * share, 255)),
        (13, lambda share: (255 * share, 0, 255)),
        (6, lambda share: (255, 0, 255 - 255 * share)),
    ):
        wheel += [hue(step / count) for step in range(count)]
    u, v = u / max_flow, v / max_flow
    length = math.hypot(u, v)
    place = (math.atan2(-v, -u) / math.pi + 1) / 2 * (len(wheel) - 1)
    low, share = int(place), place - int(place)
    color = []
    for first, second in zip(wheel[low], wheel[(low + 1) % len(wheel)], strict=True):
        hue = ((1 - share) * first + share * second) / 255
        color.append(255 * (1 - length * (1 - hue) if length <= 1 else hue * 0.75))
    return color[::-1]


def test_every_vector_has_the_benchmarks_colour():
    rng = np.random.default_rng(0)
    flow = rng.uniform(-12, 12, (40, 50, 2)).astype(np.float32)
    expected = [[one_color(u, v, 10) for u, v in row] for row in flow.tolist()]
    np.testing.assert_allclose(flow_to_color(flow, max_flow=10), expected, atol=1.01)


@pytest.mark.parametrize(
    ("u", "v", "bgr"),
    [
        (1, 0, (0, 0, 255)),  # to the right: red
        (0, 0, (255, 255, 255)),
        (0.5, 0, (127, 127, 255)),  # half as long: half way to white
        (2, 0, (0, 0, 191)),  # beyond the scale: darker
    ],
)
def test_what_is_known_by_heart(u, v, bgr):
    assert flow_to_color(np.full((1, 1, 2), (u, v), np.float32), max_flow=1)[0, 0].tolist() == [
        *bgr
    ]


def test_directions():
    down, left, up = flow_to_color(np.float32([[[0, 1], [-1, 0], [0, -1]]]))[0].tolist()
    assert down[2] > 200 and down[1] > 200 and down[0] < 50  # yellow
    assert left[0] > 200 and left[1] > 100 and left[2] < 50  # cyan to blue
    assert up[0] > 200 and up[2] > 50 and up[1] < 50  # violet


def test_without_a_scale_the_longest_vector_is_full_and_none_is_beyond():
    rng = np.random.default_rng(1)
    for _ in range(20):
        flow = rng.normal(size=(5, 6, 2)).astype(np.float32)
        assert (flow_to_color(flow).max(axis=-1) == 255).all()
    flow = np.float32([[[3, 4], [6, 8], [0, 0]]])
    assert largest_length(flow) == 10
    np.testing.assert_array_equal(flow_to_color(flow), flow_to_color(flow, max_flow=10))


def test_unknown_flow_is_black_and_does_not_set_the_scale():
    flow = np.float32([[[np.nan, 1], [np.inf, 0], [5, 0], [0, -np.inf], [1e10, 1e10], [0, 2e9]]])
    color = flow_to_color(flow)
    assert color[0, [0, 1, 3, 4, 5]].max() == 0
    assert color[0, 2].tolist() == [0, 0, 255]
    assert largest_length(flow) == 5
    assert largest_length(np.full((2, 2, 2), np.nan, np.float32)) == 0


def test_rgb_is_bgr_reversed():
    flow = np.random.default_rng(3).normal(size=(8, 8, 2)).astype(np.float32)
    rgb = flow_to_color(flow, color_order="rgb")
    np.testing.assert_array_equal(rgb, flow_to_color(flow)[..., ::-1])
    assert flow_to_color(np.float32([[[1, 0]]]), color_order="rgb").tolist() == [[[255, 0, 0]]]
    with pytest.raises(InputError, match="'bgr' or 'rgb'"):
        flow_to_color(flow, color_order="RGB")


def test_a_still_scene_is_white_and_not_noise():
    flow = np.random.default_rng(0).normal(0, 1e-6, (8, 8, 2)).astype(np.float32)
    assert flow_to_color(flow).min() >= 250


def test_the_wheel_has_55_hues_each_unlike_the_next():
    wheel = color_wheel()
    assert wheel.shape == (55, 3)
    assert (np.abs(wheel - np.roll(wheel, 1, axis=0)).max(axis=1) > 0.05).all()


def test_a_picture_painted_in_strips_is_that_of_its_rows():
    flow = np.random.default_rng(0).normal(0, 5, (301, 200, 2)).astype(np.float32)
    flow[-1, -1] = 90, 0  # the longest, in the last strip
    assert flow.shape[0] * flow.shape[1] > 3 * flow_color.STRIP
    assert flow_color.largest_length(flow) == 90
    rows = [flow_to_color(row[None], max_flow=90) for row in flow]
    np.testing.assert_array_equal(flow_to_color(flow), np.concatenate(rows))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_longest_known_vector_of_any_kind_of_float(dtype):
    flow = np.zeros((3, 5, 2), dtype)
    flow[1, 2] = -300, 400  # its square is beyond float16
    flow[2, 0] = np.nan, 1
    flow[0, 4] = np.inf, 1
    assert largest_length(flow) == 500
    assert largest_length(np.full((2, 2, 2), np.nan, dtype)) == 0
    assert largest_length(np.float64([[[3e9, 0], [1e9, 1e9]]])) == pytest.approx(2**0.5 * 1e9)


def test_where_all_is_unknown_or_beyond_the_scale():
    unknown = np.full((2, 3, 2), np.nan, np.float32)
    assert not flow_to_color(unknown).any()
    unknown[0] = 3, 4
    beyond = flow_to_color(unknown, max_flow=1)
    assert beyond[0].any() and not beyond[1].any()
    np.testing.assert_allclose(beyond[0, 0], one_color(3, 4, 1), atol=1.01)
