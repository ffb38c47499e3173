"""The legend shows each direction's own colour, and its scale."""

import numpy as np

from maskflownet.output import color_legend, flow_to_color
from maskflownet.output.legend import RADIUS


def test_a_colour_stands_where_its_motion_points():
    picture = color_legend(5)
    centre = picture.shape[1] // 2
    for u, v in ((1, 0), (0, 1), (-1, 0), (0, -1), (0.6, 0.8), (-0.3, 0.2)):
        x, y = (round(centre + 0.9 * RADIUS * component) for component in (u, v))
        flow = np.float32([[[4.5 * u, 4.5 * v]]])
        expected = flow_to_color(flow, max_flow=5)[0, 0].astype(int)
        assert np.abs(picture[y, x] - expected).max() < 8
    assert picture[centre, centre].min() > 250
    assert (picture[0, 0] == 255).all()


def test_the_caption_says_the_scale():
    caption = slice(2 * RADIUS + 30, None)
    first, second = color_legend(5)[caption], color_legend(12.5)[caption]
    assert (first != second).any()
    assert (first < 128).any()
