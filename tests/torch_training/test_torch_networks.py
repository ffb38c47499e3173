"""The networks in PyTorch are the project's: flow, mask, loss, gradients. Needs PyTorch."""

from maskflownet import runtime  # noqa: F401  (before MXNet)

# isort: split
import mxnet as mx
import numpy as np
import pytest

from maskflownet.benchmark.cases import Case, make_pipeline, training_arrays
from maskflownet.network.images import centralise
from maskflownet.network.layers import flip_axes
from maskflownet.network.loss import MultiscaleLoss

torch = pytest.importorskip("torch")

from maskflownet.benchmark import torch_case  # noqa: E402  (where there is PyTorch)
from maskflownet.torch_training import networks  # noqa: E402
from maskflownet.torch_training.loss import training_loss  # noqa: E402

SIZE = (64, 128)


@pytest.fixture
def exact(monkeypatch):
    """MXNet's rule at the border of deformable convolutions."""
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    monkeypatch.setattr(networks.DeformableConv, "exact", True)


@pytest.fixture(params=["S", "cascade"])
def pipe(request):
    """A network whose flow is some pixels, not the hundredths of fresh weights."""
    pipe = make_pipeline(request.param, "builtin")
    if request.param == "cascade":
        pipe.fix_head()
    for name, parameter in pipe.network._collect_params_with_prefix().items():
        if name.endswith("bias"):
            parameter.set_data(mx.nd.random.uniform(-0.05, 0.05, parameter.shape))
        elif "pred_flow" in name:
            parameter.set_data(2 * parameter.data())
    return pipe


def images():
    rng = np.random.default_rng(0)
    return [rng.uniform(-0.5, 0.5, (2, 3, *SIZE)).astype(np.float32) for _ in "12"]


def test_flows_and_mask_are_equal(exact, pipe):
    predictions, *masks = pipe.network(*map(mx.nd.array, images()))
    with torch.no_grad():
        flows, mask = torch_case.twin_of(pipe)(*map(torch.from_numpy, images()))
    assert abs(predictions[-1].asnumpy()).max() > 4  # some flow leads out of the image
    for own, other in zip(predictions, flows, strict=True):
        np.testing.assert_allclose(other.numpy(), own.asnumpy(), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(mask.numpy(), masks[-1][0].asnumpy(), atol=1e-4)


def test_the_faster_way_differs_at_the_border_alone(monkeypatch, exact):
    torch.manual_seed(0)
    layer = networks.DeformableConv(4)
    torch.nn.init.normal_(layer.weight)
    x, flow = torch.randn(2, 4, 16, 20), torch.randn(2, 2, 16, 20).clamp(-3, 3)
    wanted, still = layer(x, flow), layer(x, 0 * flow)
    monkeypatch.setattr(networks.DeformableConv, "exact", False)
    inner = (..., slice(5, -5), slice(5, -5))
    difference = abs(layer(x, flow) - wanted)
    assert difference[inner].max() < 1e-3 < difference.max()
    assert abs(layer(x, 0 * flow) - still).max() < 1e-3


def test_loss_and_gradients_are_equal(exact, pipe):
    case = Case("S", "train", SIZE, 2)
    arrays = training_arrays(case)
    image1, image2, flow = map(mx.nd.array, arrays)
    weights = pipe.config.network.mw
    with mx.autograd.record():
        predictions = pipe.network(*centralise(image1 / 255, image2 / 255))[0]
        valid = mx.nd.ones((2, 1, *SIZE))
        loss = MultiscaleLoss(weights)(flip_axes(mx.nd, flow), valid, *predictions)[0].mean()
    loss.backward()
    twin = torch_case.twin_of(pipe)
    first, second, truth = map(torch.from_numpy, arrays)
    other = training_loss(twin, first / 255, second / 255, truth, weights)
    other.backward()
    assert other.item() == pytest.approx(loss.asscalar(), rel=1e-5)
    gradients = {name: one.grad for name, one in twin.named_parameters() if one.requires_grad}
    for name, gradient in gradients.items():
        own = pipe.network._collect_params_with_prefix()[name].grad().asnumpy()
        assert np.linalg.norm(gradient.numpy() - own) <= 2e-3 * np.linalg.norm(own), name
    assert len(gradients) > 80


def test_a_step_is_that_of_the_pipeline(exact):
    """Adam's first step moves each weight by the rate, whatever its gradient."""
    case = Case("S", "train", SIZE, 2)
    pipe = make_pipeline("S", "builtin")
    run = torch_case.training_runner(pipe, training_arrays(case))
    losses = [run() for _ in range(3)]
    own = [
        pipe.train_batch(*training_arrays(case), lambda *all: all, lambda *both: both)["loss"]
        for _ in range(3)
    ]
    assert losses == pytest.approx(own, rel=1e-3)
    assert losses[0] != pytest.approx(losses[2], rel=1e-3)


def test_rounded_convolutions_and_channels_filled_up_change_little(pipe):
    """As on a GPU: convolutions in bfloat16 over channels that are filled up with zeros."""
    twin = torch_case.twin_of(pipe)
    pair = [torch.from_numpy(image) for image in images()]
    flows, mask = twin(*pair)
    sum(flow.square().mean() for flow in flows).backward()
    wanted = {name: one.grad.clone() for name, one in twin.named_parameters() if one.requires_grad}
    twin.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        rounded_flows, rounded_mask = twin(*pair)
    assert all(flow.dtype == torch.float32 for flow in rounded_flows)
    sum(flow.square().mean() for flow in rounded_flows).backward()
    for flow, rounded in zip(flows, rounded_flows, strict=True):
        assert (rounded - flow).norm() < 0.05 * flow.norm()
    assert (rounded_mask - mask).abs().max() < 0.05
    for name in ("pred_flow2.weight", "conv2_4.0.weight", "dc_conv1.0.weight"):
        gradient = dict(twin.named_parameters())[name].grad
        assert 0 < (gradient - wanted[name]).norm() < 0.2 * wanted[name].norm()
