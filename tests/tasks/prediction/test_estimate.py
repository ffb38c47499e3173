"""Arrays in, arrays out."""

import numpy as np
import pytest
from prediction_helpers import SIZE_HW, FakePipe, frame

from maskflownet.config.errors import InputError
from maskflownet.tasks.prediction.estimate import (
    estimate_both_ways,
    estimate_flow,
    estimate_sequence,
)


def test_one_pair():
    prediction = estimate_flow(FakePipe(), frame(4), frame(9))
    assert prediction.flow.shape == (*SIZE_HW, 2)
    assert prediction.flow[3, 5].tolist() == [4, 9]
    np.testing.assert_allclose(prediction.warped * 255, frame(9), atol=1e-3)


def test_both_ways():
    forth, back, consistent = estimate_both_ways(FakePipe(), frame(1), frame(0))
    assert forth[0, 0].tolist() == [1, 0]
    assert back[0, 0].tolist() == [0, 1]
    # There and back one is off by (1, 1): more than half a squared pixel.
    assert consistent.shape == SIZE_HW and not consistent.any()


def test_a_sequence_is_taken_as_it_is_needed():
    taken = []

    def frames():
        for number in range(100):
            taken.append(number)
            yield frame(number)

    flows = estimate_sequence(FakePipe(), frames(), stride=3)
    assert [next(flows)[0, 0].tolist() for _ in range(4)] == [[0, 3], [1, 4], [2, 5], [3, 6]]
    assert len(taken) <= 8
    assert len(list(estimate_sequence(FakePipe(), map(frame, range(5)), stride=2))) == 3
    assert list(estimate_sequence(FakePipe(), map(frame, range(2)), stride=2)) == []


def test_one_image_is_no_sequence():
    with pytest.raises(InputError, match="frames: expected a list of images, got one of shape"):
        estimate_sequence(FakePipe(), frame(0))


@pytest.mark.parametrize("stride", [0, -1, 1.5])
def test_a_stride_that_leads_to_no_other_frame(stride):
    with pytest.raises(InputError, match=f"stride: expected a whole number of 1 or more.*{stride}"):
        estimate_sequence(FakePipe(), map(frame, range(3)), stride=stride)


@pytest.mark.parametrize("order", ["bgr", "rgb"])
def test_the_order_of_colours_is_passed_on(order):
    pipe = FakePipe()
    estimate_flow(pipe, frame(0), frame(1), color_order=order)
    estimate_both_ways(pipe, frame(0), frame(1), color_order=order)
    list(estimate_sequence(pipe, map(frame, range(3)), color_order=order))
    assert pipe.color_orders == [order] * 3
