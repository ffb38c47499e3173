"""Resizing a sample: what moves where, and which flow is known."""

import numpy as np
import pytest

from maskflownet.config import InputError
from maskflownet.reader.resizing import resize_sample
from maskflownet.reader.sample import FlowSample


def ramp_sample(height, width, valid):
    """Return a sample whose image and flow are linear in the position."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    image = np.stack([x, y, x + y], -1).astype(np.uint8)
    flow = np.stack([0.5 * x + 1, 2 * y - 3], -1)
    return FlowSample(image, image.copy(), flow, valid, valid[..., 0] == 0, "ramp")


def test_positions_and_flow_values_scale_alike():
    valid = np.full((41, 61, 1), 255, np.uint8)
    sample = resize_sample(ramp_sample(41, 61, valid), (81, 31))
    y, x = np.mgrid[:81, :31].astype(np.float32)
    # Pixel (x, y) of the result was at (2 x, y / 2); a flow of one pixel there is (1/2, 2) here.
    wanted = np.stack([(0.5 * (2 * x) + 1) / 2, (2 * (y / 2) - 3) * 2], -1)
    np.testing.assert_allclose(sample.flow, wanted, atol=1e-4)
    np.testing.assert_array_equal(sample.image1[::2, :, 0], 2 * x[::2])
    assert sample.image1.dtype == np.uint8
    assert (sample.valid == 255).all()
    assert sample.valid.shape == (81, 31, 1)
    assert not sample.occluded.any()
    assert sample.name == "ramp"


def test_sparse_flow_is_not_diluted():
    valid = np.zeros((5, 5, 1), np.uint8)
    valid[2] = 255
    sample = ramp_sample(5, 5, valid)
    sample.flow[...] = 4, 8
    sample.flow[valid[..., 0] == 0] = 1000  # whatever stands there must not leak
    result = resize_sample(sample, (9, 5))
    assert np.unique(np.nonzero(result.valid)[0]).tolist() == [3, 4, 5]
    np.testing.assert_allclose(result.flow[3:6], np.broadcast_to((4, 16), (3, 5, 2)), rtol=1e-6)
    assert (result.flow[[0, 8]] == 0).all()
    assert set(np.unique(result.valid)) == {0, 255}


def test_what_is_occluded_stays_so_however_few_pixels_are_known():
    rng = np.random.default_rng(0)
    valid = np.where(rng.random((40, 60, 1)) < 0.15, np.uint8(255), np.uint8(0))
    known = valid[..., 0] > 0
    for occluded in (known, ~known):  # of what is not known, the opposite is said
        result = resize_sample(ramp_sample(40, 60, valid)._replace(occluded=occluded), (33, 71))
        told = result.occluded[result.valid[..., 0] > 0]
        assert told.size > 100
        assert (told == occluded[known][0]).all()


def test_its_own_size_changes_nothing():
    sample = ramp_sample(4, 6, np.zeros((4, 6, 1), np.uint8))
    assert resize_sample(sample, (4, 6)) is sample
    assert resize_sample(sample._replace(occluded=None), (8, 6)).occluded is None


@pytest.mark.parametrize("size", [(1, 6), (6, 1)])
def test_a_side_of_one_pixel_has_no_scale(size):
    height, width = size
    with pytest.raises(InputError, match=f"^ramp: expected at least 2x2 .* got {width}x{height};"):
        resize_sample(ramp_sample(*size, np.zeros((*size, 1), np.uint8)), (8, 6))
