"""MMFlow's start from nothing: He's uniform weights by what a layer puts out, zero biases.

Deformable kernels are scaled by what they take in, and transposed convolutions begin as PyTorch has
them by default.
"""

import math
from typing import Any

import mxnet as mx
import numpy as np


def uniform_start(network: Any) -> None:
    """Give a network fresh weights from NumPy's random numbers, in the order of its layers.

    Parameters
    ----------
    network : network.base.PyramidNetwork
        Initialised. A cascade's first stage is left alone.
    """
    for name, parameter in network._collect_params_with_prefix().items():
        if not name.startswith("MaskFlownet_S."):
            bound = _bound(name, network)
            values = np.random.uniform(-bound, bound, parameter.shape)
            parameter.set_data(mx.nd.array(values.astype(np.float32)))


def _bound(name, network):
    """Return how far the values of an array reach either way."""
    layer, _, kind = name.rpartition(".")
    weight = network._collect_params_with_prefix()[f"{layer}.weight"].shape
    taps = math.prod(weight[2:])
    if name.startswith("upfeat"):  # (in, out, 4, 4), of which PyTorch takes the second for "in"
        return 1 / math.sqrt(weight[1] * taps)
    if kind == "bias":
        return 0.0
    fan = weight[1] if name.startswith("deform") else weight[0]
    return math.sqrt(6 / (fan * taps))
