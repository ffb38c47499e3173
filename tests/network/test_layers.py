"""The layers against the reference's golden numbers."""

import mxnet as mx
import numpy as np
import pytest
from golden import golden

from maskflownet.kernels import use_fast
from maskflownet.network.layers import DeformableConv, upsample, warp
from maskflownet.network.loss import MultiscaleLoss, endpoint_error, masked_mean

ABSOLUTE = 1e-5


@pytest.fixture(scope="module")
def wanted():
    return golden("layers")


class Wrapped(mx.gluon.HybridBlock):
    """A layer function as a block, to run it hybridized too."""

    def __init__(self, function):
        super().__init__()
        self._function = function

    def hybrid_forward(self, F, *inputs):
        return self._function(F, *inputs)


def run(function, hybridized, *inputs):
    block = Wrapped(function)
    block.hybridize(active=hybridized)
    return block(*(mx.nd.array(array) for array in inputs)).asnumpy()


@pytest.mark.parametrize("hybridized", [False, True])
@pytest.mark.parametrize("factor", [2, 4])
def test_upsampling_equals_the_reference(wanted, factor, hybridized):
    up = run(lambda F, x: upsample(F, x, factor), hybridized, wanted["input"])
    np.testing.assert_allclose(up, wanted[f"upsample{factor}"], atol=ABSOLUTE)


@pytest.mark.parametrize("hybridized", [False, True])
@pytest.mark.parametrize(("repeat_border", "name"), [(False, "warp"), (True, "warp_clamped")])
def test_warp_equals_the_reference(wanted, repeat_border, name, hybridized):
    warped = run(
        lambda F, x, flow: warp(F, x, flow, repeat_border),
        hybridized,
        wanted["input"],
        wanted["flow"],
    )
    np.testing.assert_allclose(warped, wanted[name], atol=ABSOLUTE)


def test_upsampling_keeps_a_ramp_a_ramp():
    ramp = np.arange(8, dtype=np.float32).reshape(1, 1, 1, 8).repeat(4, axis=2)
    up = run(lambda F, x: upsample(F, x, 4), False, ramp)
    np.testing.assert_allclose(up[0, 0, 5, :29], np.arange(29) / 4, atol=ABSOLUTE)
    np.testing.assert_allclose(up[0, 0, 5, 29:], 7, atol=ABSOLUTE)


@pytest.mark.parametrize("shift_yx", [(1, 0), (0, 2), (-2, 1)])
def test_deformable_convolution_moves_along_the_flow(shift_yx):
    """With the identity kernel and a constant flow it shifts: a slip of axis or sign shows."""
    rng = np.random.default_rng(0)
    x = rng.random((1, 3, 9, 11), dtype=np.float32)
    block = DeformableConv(3)
    block.initialize()
    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[range(3), range(3), 1, 1] = 1
    block.weight.set_data(mx.nd.array(kernel))
    flow = np.broadcast_to(np.float32(shift_yx).reshape(1, 2, 1, 1), (1, 2, 9, 11))
    shifted = block(mx.nd.array(x), mx.nd.array(flow)).asnumpy()
    dy, dx = shift_yx
    np.testing.assert_allclose(
        shifted[:, :, 3:6, 3:8], x[:, :, 3 + dy : 6 + dy, 3 + dx : 8 + dx], atol=ABSOLUTE
    )


@pytest.mark.parametrize(("q", "name"), [(None, "epe_mask"), (0.4, "epe_mask_q0.4")])
def test_endpoint_error_equals_the_reference(wanted, q, name):
    flow, label, valid = (mx.nd.array(wanted[key]) for key in ("flow", "label", "valid"))
    got = masked_mean(mx.nd, endpoint_error(mx.nd, flow, label, q), valid)
    np.testing.assert_allclose(got.asnumpy(), wanted[name], rtol=ABSOLUTE)


def test_endpoint_error_without_a_mask_is_the_mean_over_all_pixels(wanted):
    flow, label = (mx.nd.array(wanted[key]) for key in ("flow", "label"))
    everywhere = mx.nd.ones((2, 1, *flow.shape[2:]))
    got = masked_mean(mx.nd, endpoint_error(mx.nd, flow, label), everywhere)
    np.testing.assert_allclose(got.asnumpy(), wanted["epe"], rtol=ABSOLUTE)


@pytest.mark.parametrize(("q", "fast"), [(None, False), (0.4, False), (None, True)])
def test_a_sample_without_valid_pixels_adds_neither_loss_nor_gradient(q, fast):
    if fast and not use_fast("auto", [mx.cpu()]):
        pytest.skip("the fast operators are not built or cannot run here: try `make kernels`")
    rng = np.random.default_rng(1)
    predictions = [
        mx.nd.array(rng.normal(size=(2, 2, 64 // stride, 64 // stride)))
        for stride in (64, 32, 16, 8, 4)
    ]
    for prediction in predictions:
        prediction.attach_grad()
    valid = mx.nd.concat(mx.nd.zeros((1, 1, 64, 64)), mx.nd.ones((1, 1, 64, 64)), dim=0)
    block = MultiscaleLoss((0.005, 0.01, 0.02, 0.08, 0.32), q, fast)
    with mx.autograd.record():
        loss, error = block(mx.nd.ones((2, 2, 64, 64)), valid, *predictions)
    loss.backward()
    assert loss[0].asscalar() == error[0].asscalar() == 0
    assert loss[1].asscalar() > 0 and error[1].asscalar() > 0
    for prediction in predictions:
        gradient = prediction.grad.asnumpy()
        assert (gradient[0] == 0).all()
        assert np.isfinite(gradient).all() and np.abs(gradient[1]).max() > 0
