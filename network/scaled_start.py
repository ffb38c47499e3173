"""A start for trainings from nothing that soon leaves "no motion", where the original's stays.

The original's random start makes features so small that the cost volumes say next to nothing, and
random deformable kernels scramble one of the two things that are compared. Here each convolution is
scaled by what it makes of a few pairs (Mishkin and Matas, "All you need is a good init", ICLR
2016), those that image 2's features alone go through before they are compared begin as the
identity, and flow, mask and trade-off term begin small.
"""

import re
from typing import Any

import mxnet as mx
import numpy as np
from mxnet.gluon import nn

from maskflownet.network.arrays import Array

FEATURE_SIZE = 1.0  # of the pyramid's features: standard deviation per channel
DECODER_SIZE = 0.1  # smaller, so that a step of Adam moves the flow by a part of a pixel
TRADEOFF_SIZE = 0.1
HEAD_FACTOR = 0.02  # on the weights that make flow and mask
HEADS = ("pred_flow", "pred_mask", "dc_conv7")
ONE_SIDED = ("deform", "second_conv")  # what image 2's features alone go through
SMALLEST = 1e-6  # a channel that varies less, as where all pairs are black, is not blown up


def scale_start(network: Any, image1: Array, image2: Array) -> None:
    """Scale a network's fresh weights by what they make of some pairs.

    Parameters
    ----------
    network : network.base.PyramidNetwork
        Of plain steps, not hybridized, with random weights. A cascade's first stage is left alone.
    image1, image2 : mxnet.ndarray.NDArray
        (N, 3, H, W), centralised; some sixteen pairs.
    """
    for name, parameter in network._collect_params_with_prefix().items():
        if name.startswith(ONE_SIDED) and name.endswith(".weight"):
            parameter.set_data(identity_kernel(parameter.shape))
        elif name.startswith(HEADS) and name.endswith("weight"):
            parameter.set_data(parameter.data(image1.context) * HEAD_FACTOR)
    hooks = [
        block.register_forward_hook(_Scaling(_size(name)))
        for name, block in _convolutions(network)
        if not name.startswith(HEADS + ONE_SIDED)
    ]
    network(image1, image2)
    for hook in hooks:
        hook.detach()


def _convolutions(network):
    """Yield the network's own convolutions as (attribute, block), such as ("conv1a", Conv2D)."""
    for name, block in network._children.items():
        inside = block[0] if isinstance(block, nn.HybridSequential) else block
        if isinstance(inside, (nn.Conv2D, nn.Conv2DTranspose)):
            yield name, inside


def _size(name):
    """Return the wanted size of a convolution's output, given its attribute."""
    if re.fullmatch(r"conv\d[a-z]+|shared_conv\d", name):  # none of a dense block
        return TRADEOFF_SIZE if name.endswith("f") else FEATURE_SIZE
    return DECODER_SIZE


def identity_kernel(shape: tuple[int, ...]) -> Array:
    """Return the (C, C, 3, 3) weight of a convolution that changes nothing."""
    kernel = np.zeros(shape, np.float32)
    channels = range(shape[0])
    kernel[channels, channels, 1, 1] = 1
    return mx.nd.array(kernel)


class _Scaling:
    """At its first call, changes a convolution so that its output has mean 0 and the wanted size.

    The output at hand is changed likewise, so that the layers behind it see what they will see.
    """

    def __init__(self, size):
        self._size = size
        self._done = False

    def __call__(self, block, inputs, output):
        del inputs
        if self._done:  # the pyramid's layers see both images
            return
        self._done = True
        mean = output.mean(axis=(0, 2, 3), keepdims=True)
        spread = ((output - mean) ** 2).mean(axis=(0, 2, 3), keepdims=True).sqrt()
        factor = mx.nd.where(spread > SMALLEST, self._size / spread, mx.nd.ones_like(spread))
        output[:] = (output - mean) * factor
        ctx = output.context
        # A transposed convolution's weight is (C, O, 4, 4), a convolution's (O, C, 3, 3).
        transposed = isinstance(block, nn.Conv2DTranspose)
        per_output = factor if transposed else factor.transpose((1, 0, 2, 3))
        block.weight.set_data(block.weight.data(ctx) * per_output)
        block.bias.set_data((block.bias.data(ctx) - mean.reshape(-1)) * factor.reshape(-1))
