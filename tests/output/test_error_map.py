"""The error map's colours, one step of the scale after the other."""

import numpy as np
import pytest

from maskflownet.output import error_map

BLUES = [(149, 54, 49), (180, 117, 69), (209, 173, 116), (233, 217, 171), (248, 243, 224)]
REDS = [(144, 224, 254), (97, 174, 253), (67, 109, 244), (39, 48, 215), (38, 0, 165)]


def color(error, length=0.0):
    truth = np.float32([[[0, length]]])
    flow = truth + np.float32([error, 0])
    return tuple(error_map(flow, truth, np.ones((1, 1), bool))[0, 0].tolist())


def test_steps_of_two_around_three_pixels():
    errors = [0.1, 0.3, 0.7, 1.4, 2.9, 3.1, 6.1, 12.1, 24.1, 48.1]
    assert [color(error) for error in errors] == BLUES + REDS


@pytest.mark.parametrize("length", [10, 59])
def test_up_to_60_pixels_three_count(length):
    assert (color(2.9, length), color(3.1, length)) == (BLUES[-1], REDS[0])


def test_of_longer_flow_five_percent_count():
    assert (color(9.9, 200), color(10.1, 200)) == (BLUES[-1], REDS[0])


def test_exactly_three_pixels_or_five_percent_are_blue():
    assert [color(*case) for case in ((3,), (3, 60), (5, 100), (25, 500))] == [BLUES[-1]] * 4


def test_black_where_the_truth_is_not_known():
    flow, truth = np.zeros((2, 3, 2), np.float32), np.full((2, 3, 2), 9, np.float32)
    valid = np.zeros((2, 3), bool)
    valid[1, 2] = True
    picture = error_map(flow, truth, valid)
    assert picture.dtype == np.uint8
    assert (picture[~valid] == 0).all()
    assert tuple(picture[1, 2].tolist()) == REDS[2]
