"""MMFlow's start: how far the weights of each kind of layer reach, and what is left alone."""

import mxnet as mx
import numpy as np
import pytest
from golden import NETWORKS, weights_of

from maskflownet.config import load_config
from maskflownet.network.pipeline import NETWORKS as CLASSES
from maskflownet.network.uniform_start import uniform_start

# Of arrays of each kind: sqrt(6 / (channels * taps)); 0.58 is what MMFlow's pred_flow reaches.
BOUNDS = {
    "conv3b.0.weight": (6 / (64 * 9)) ** 0.5,  # by what it puts out
    "conv6_0.0.weight": (6 / (128 * 9)) ** 0.5,
    "pred_flow4.weight": (6 / (2 * 9)) ** 0.5,
    "deform4.weight": (6 / (96 * 9)) ** 0.5,  # by what it takes in
    "upfeat4.0.weight": (1 / (16 * 16)) ** 0.5,
    "upfeat4.0.bias": (1 / (16 * 16)) ** 0.5,
    "conv3b.0.bias": 0,
    "deform4.bias": 0,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_reach_as_far_as_mmflows(name):
    network = CLASSES[name](load_config(name).network)
    network.initialize(mx.init.Constant(9))
    before = weights_of(network)
    np.random.seed(0)
    uniform_start(network)
    weights = weights_of(network)
    for array, bound in BOUNDS.items():
        array = array.replace("3b", "3y") if name == "MaskFlownet" else array
        most = np.abs(weights[array]).max()
        assert 0.9 * bound <= most <= bound * (1 + 1e-6), array
        assert abs(weights[array].mean()) <= 0.4 * bound
    first = [own for own in weights if own.startswith("MaskFlownet_S.")]
    assert all((weights[own] == before[own]).all() for own in first)
    assert len(first) == (142 if name == "MaskFlownet" else 0)
