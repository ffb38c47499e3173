"""Adam over all arrays at once: bit by bit what MXNet's makes of them one by one."""

import pickle

import mxnet as mx
import numpy as np
import pytest
from mxnet import gluon
from mxnet.gluon import nn

from maskflownet import kernels
from maskflownet.network.fused_adam import FusedAdam

SHAPES = ((1,), (3,), (7, 5), (130, 259, 3, 3), (40000,))


@pytest.fixture(scope="module", autouse=True)
def fast():
    if not kernels.use_fast("auto", [mx.cpu()]):
        pytest.skip("the fast operators are not built or cannot run here: try `make kernels`")


def trainer_of(optimizer, ctx=None):
    """Return a Trainer over some arrays with values of their own."""
    rng = np.random.default_rng(0)
    parameters = []
    for number, shape in enumerate(SHAPES):
        parameter = gluon.Parameter(f"p{number}", shape=shape, wd_mult=number, lr_mult=1 + number)
        parameter.initialize(ctx=ctx or [mx.cpu()])
        parameter.set_data(mx.nd.array(rng.standard_normal(shape)))
        parameters.append(parameter)
    return gluon.Trainer(parameters, optimizer, update_on_kvstore=False)


def step(trainer, seed, frozen=()):
    """Give each array a gradient, from tiny to huge, and update."""
    rng = np.random.default_rng(seed)
    for number, parameter in enumerate(trainer._params):
        values = rng.standard_normal(parameter.shape) * 10.0 ** rng.integers(-12, 6)
        parameter.grad_req = "null" if number in frozen else "write"
        if number in frozen:
            continue
        for data, gradient in zip(parameter.list_data(), parameter.list_grad(), strict=True):
            gradient[:] = values
            data._fresh_grad = True  # or the Trainer would refuse
    trainer.update(3)


def values_of(trainer):
    states = trainer._updaters[0].states
    arrays = [parameter.data() for parameter in trainer._params]
    return [array.asnumpy() for array in arrays] + [
        moment.asnumpy() for index in sorted(states) for moment in states[index]
    ]


def assert_equal(one, other):
    for got, wanted in zip(values_of(one), values_of(other), strict=True):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("ctx", [[mx.cpu()], [mx.cpu(0), mx.cpu(1)]])
def test_it_is_mxnets_adam_bit_by_bit(ctx):
    settings = {"learning_rate": 1e-3, "wd": 4e-4}
    trainers = [trainer_of(kind(**settings), ctx) for kind in (FusedAdam, mx.optimizer.Adam)]
    before = values_of(trainers[0])
    for number in range(4):
        for trainer in trainers:
            trainer.set_learning_rate(1e-3 / (1 + number))
            step(trainer, number, frozen=(2,) if number == 1 else ())
        assert_equal(*trainers)
    assert all((a != b).any() for a, b in zip(before, values_of(trainers[0]), strict=False))


def test_what_is_saved_is_mxnets_and_can_go_on_with_either(tmp_path):
    fused = trainer_of(FusedAdam(learning_rate=1e-3, wd=0))
    step(fused, 0)
    path = tmp_path / "adam.states"
    fused.save_states(str(path))
    assert b"maskflownet" not in path.read_bytes()
    _, optimizer = pickle.loads(path.read_bytes())
    assert type(optimizer) is mx.optimizer.Adam
    plain = trainer_of(mx.optimizer.Adam())
    plain.load_states(str(path))
    for own, other in zip(plain._params, fused._params, strict=True):
        own.set_data(other.data())
    for trainer in (fused, plain):
        step(trainer, 1)
    assert_equal(fused, plain)


def test_weights_that_onednn_has_rearranged_are_updated_too():
    """In a prediction it keeps the weights of convolutions in an order of its own."""
    results = []
    for kind in (FusedAdam, mx.optimizer.Adam):
        mx.random.seed(0)
        layer = nn.Conv2D(32, 3, in_channels=64, padding=1)
        layer.initialize(mx.init.Xavier())
        layer.hybridize()
        trainer = gluon.Trainer(layer.collect_params(), kind(learning_rate=1e-2, wd=0))
        image = mx.nd.array(np.random.default_rng(0).standard_normal((1, 64, 20, 20)))
        for _ in range(2):
            layer(image).wait_to_read()  # without a gradient
            with mx.autograd.record():
                loss = (layer(image) ** 2).sum()
            loss.backward()
            trainer.step(1)
        results.append((layer(image).asnumpy(), layer.weight.data().asnumpy()))
    for got, wanted in zip(*results, strict=True):
        np.testing.assert_array_equal(got, wanted)
