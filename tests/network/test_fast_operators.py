"""The networks on the fast operators: the same as on MXNet's own, however they are used."""

import dataclasses
import itertools
from concurrent import futures

import mxnet as mx
import numpy as np
import pytest
from golden import fill_with_recipe

from maskflownet import kernels
from maskflownet.config import load_config
from maskflownet.config.files import names_in_config
from maskflownet.network import get_pipeline

pytestmark = pytest.mark.usefixtures("thin_networks")

PIXELS = 1e-3
# Of the norm of a parameter's gradient. Between the two choices rounding turns some of LeakyReLU's
# derivatives, on each processor others.
RELATIVE = {"same operators": 1e-4, "others": 2e-2}
BRIGHTER = 1.00001  # so far the images of a test may be apart whose gradients show what that does
CPU, TWO = [mx.cpu()], [mx.cpu(0), mx.cpu(1)]
NAMES = ("MaskFlownet_S", "MaskFlownet")
QUICK = ("ablation/sym-conv", "ablation/cascade-single")
VARIANTS = [name for name in names_in_config("network") if name.startswith("ablation/")]


@pytest.fixture(scope="module", autouse=True)
def fast():
    if not kernels.use_fast("auto", CPU):
        pytest.skip("the fast operators are not built or cannot run here: try `make kernels`")


def pipeline(choice="auto", name="MaskFlownet_S", ctx=CPU, **network):
    config = load_config(name)
    changed = dataclasses.replace(config.network, **network)
    config = dataclasses.replace(config, network=changed)
    pipe = get_pipeline("MaskFlownet", ctx=ctx, config=config, kernels=choice)
    fill_with_recipe(pipe.network)
    return pipe


def images(count=1, size=(64, 64), seed=0):
    rng = np.random.default_rng(seed)
    return [[rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(count)] for _ in "12"]


def assert_same_predictions(one, other):
    both = (pipe.predict(*images(3, (61, 100)), batch_size=3) for pipe in (one, other))
    for got, wanted in zip(*both, strict=True):
        np.testing.assert_allclose(got.flow, wanted.flow, atol=PIXELS)
        assert (got.mask is None) == (wanted.mask is None)
        if got.mask is not None:
            np.testing.assert_allclose(got.mask, wanted.mask, atol=1e-4)
        np.testing.assert_allclose(got.warped, wanted.warped, atol=1e-3)


def run_backward(network, times=1, count=2, brightness=1.0):
    """Run forward and backward with fixed images and a fixed gradient; return the predictions."""
    rng = np.random.default_rng(0)
    pair = [mx.nd.array(brightness * (rng.random((count, 3, 64, 64)) - 0.5)) for _ in "12"]
    for _ in range(times):
        with mx.autograd.record():
            predictions = network(*pair)[0]
        rng = np.random.default_rng(1)
        own = [mx.nd.array(rng.standard_normal(one.shape)) for one in predictions]
        mx.autograd.backward(predictions, own)
    return [one.asnumpy() for one in predictions]


def gradients(network, divisor=1):
    return {
        name: parameter.grad().asnumpy() / divisor
        for name, parameter in network._collect_params_with_prefix().items()
        if parameter.grad_req != "null"
    }


def assert_same_gradients(got, wanted, operators="same operators", alike=None):
    """Compare gradients; `alike` may differ from those wanted by rounding, which is allowed too."""
    assert got.keys() == wanted.keys()
    norms = {name: np.linalg.norm(gradient) for name, gradient in wanted.items()}
    floor = 1e-4 * max(norms.values())
    for name, gradient in wanted.items():
        allowed = RELATIVE[operators] * (norms[name] + floor)
        if alike is not None:
            allowed = max(allowed, 3 * np.linalg.norm(alike[name] - gradient))
        assert np.linalg.norm(got[name] - gradient) <= allowed, name


@pytest.fixture(scope="module")
def reference():
    """The gradients of a fresh cascade, which holds the other network, and its predictions."""
    network = pipeline("auto", "MaskFlownet").network
    predictions = run_backward(network)
    return gradients(network), predictions


def second_stage(arrays):
    return {name: one for name, one in arrays.items() if not name.startswith("MaskFlownet_S.")}


def set_grad_req(network, grad_req):
    network.collect_params().setattr("grad_req", grad_req)
    if grad_req == "add":
        network.collect_params().zero_grad()


# --- Both choices say the same --------------------------------------------------------------------


@pytest.mark.parametrize(
    "variant",
    [one if one in QUICK else pytest.param(one, marks=pytest.mark.long) for one in VARIANTS],
)
def test_each_variant_predicts_the_same(whole_network, variant):
    assert_same_predictions(pipeline("auto", variant), pipeline("builtin", variant))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, marks=pytest.mark.long),
        {"upfeat_ch": (16, 12, 8, 4), "deform_bias": False, "flow_multiplier": 0.5},
    ],
)
def test_gradients_are_the_same_with_other_widths_and_no_bias_too(whole_network, changes):
    one, other = (pipeline(choice, "MaskFlownet", **changes) for choice in kernels.CHOICES)
    assert_same_predictions(one, other)
    for pipe in (one, other):
        run_backward(pipe.network)
    wanted = gradients(other.network)
    run_backward(other.network, brightness=BRIGHTER)
    alike = gradients(other.network)
    assert_same_gradients(gradients(one.network), wanted, "others", alike)


@pytest.mark.parametrize("wanted", [("flow",), ("mask",), ("warped",), ("mask", "flow")])
def test_only_what_is_wanted_is_made(wanted):
    pairs = list(zip(*images(), strict=True))
    whole = next(pipeline().predict_pairs(pairs))
    part = next(pipeline().predict_pairs(pairs, wanted=wanted))
    for name in ("flow", "mask", "warped"):
        if name in wanted:
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name))
        else:
            assert getattr(part, name) is None


# --- Gradients, however the network is run --------------------------------------------------------


@pytest.mark.parametrize(
    "hybrid",
    [{"static_alloc": True}, {"active": False}, pytest.param({}, marks=pytest.mark.long)],
)
def test_gradients_written_and_added_in_turn(reference, hybrid):
    wanted, predictions = reference
    network = pipeline("auto", "MaskFlownet").network
    network.hybridize(**hybrid)
    for grad_req, times in (("write", 1), ("add", 2), ("write", 2), ("add", 1)):
        set_grad_req(network, grad_req)
        for got, flow in zip(run_backward(network, times), predictions, strict=True):
            np.testing.assert_allclose(got, flow, atol=PIXELS)
        assert_same_gradients(gradients(network, times if grad_req == "add" else 1), wanted)


@pytest.mark.parametrize("trained", ["conv4_2.0.bias", "upfeat3.0.weight", "deform4.weight"])
def test_gradients_of_a_network_that_is_frozen_but_for_one_array(reference, trained):
    network = pipeline("auto", "MaskFlownet").network
    for own, parameter in network._collect_params_with_prefix().items():
        parameter.grad_req = "write" if own == trained else "null"
    run_backward(network)
    assert_same_gradients(gradients(network), {trained: reference[0][trained]})


def test_a_first_stage_is_frozen_and_thawed(reference):
    pipe = pipeline("auto", "MaskFlownet")
    pipe.fix_head()
    run_backward(pipe.network)
    assert_same_gradients(gradients(pipe.network), second_stage(reference[0]))
    set_grad_req(pipe.network, "write")
    run_backward(pipe.network)
    assert_same_gradients(gradients(pipe.network), reference[0])


def test_a_first_stage_that_is_run_by_itself_does_not_disturb_the_cascade(reference):
    """Both have their own traced graphs, which depend on what is done with gradients."""
    pipe = pipeline("auto", "MaskFlownet")
    network, head = pipe.network, pipe.network.MaskFlownet_S
    pipe.fix_head()
    pair = [mx.nd.random.uniform(shape=(1, 3, 64, 64)) for _ in "12"]
    for grad_req, times in (("write", 1), ("add", 3), ("write", 1)):
        head(*pair)
        for parameter in second_stage(network._collect_params_with_prefix()).values():
            parameter.grad_req = grad_req
            parameter.zero_grad()
        run_backward(network, times)
        assert_same_gradients(gradients(network, times), second_stage(reference[0]))


# --- No stale weights -----------------------------------------------------------------------------


def train(pipe, micro_batch=None):
    pairs = [np.stack(image).transpose(0, 3, 1, 2) for image in images(2)]
    label = np.full((2, 2, 64, 64), 3, np.float32)
    both = [lambda *arrays: arrays, lambda *arrays: arrays]
    assert pipe.train_batch(*pairs, label, *both, micro_batch=micro_batch)["updated"]


@pytest.mark.parametrize("ctx", [pytest.param(CPU, marks=pytest.mark.long), TWO])
def test_what_was_trained_or_loaded_is_what_predicts(ctx, tmp_path):
    pipe = pipeline(ctx=ctx)
    pipe.trainer.set_learning_rate(1e-3)
    seen = [next(pipe.predict(*images())).flow]
    for step, micro_batch in enumerate((None, len(ctx), None)):
        train(pipe, micro_batch)
        pipe.save(tmp_path / f"run_{step}")
        fresh = pipeline("builtin")
        fresh.load(tmp_path / f"run_{step}.params")
        assert_same_predictions(pipe, fresh)
        seen.append(next(pipe.predict(*images())).flow)
    assert all(np.abs(a - b).max() > 0.01 for a, b in itertools.pairwise(seen))
    pipe.load(tmp_path / "run_0.params")
    np.testing.assert_allclose(next(pipe.predict(*images())).flow, seen[1], atol=PIXELS)


def test_two_pipelines_predict_in_two_threads():
    pipes = [pipeline("auto", name) for name in NAMES]
    pairs = images(3, (64, 128))
    alone = [[one.flow for one in pipe.predict(*pairs)] for pipe in pipes]
    with futures.ThreadPoolExecutor(2) as threads:
        together = list(threads.map(lambda pipe: [p.flow for p in pipe.predict(*pairs)], pipes))
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_images_that_are_no_multiple_of_64_are_refused_as_before():
    odd = mx.nd.ones((1, 3, 96, 96))
    for hybrid in (True, False):
        network = pipeline().network
        network.hybridize(active=hybrid)
        with pytest.raises((mx.MXNetError, ValueError)):
            network(odd, odd)[0][-1].wait_to_read()
