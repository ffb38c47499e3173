"""How training begins: the paper's start, and one that leaves the plateau after it."""

import re

import torch
from torch import nn

from maskflownet.config.layout import LEAKY_SLOPE
from maskflownet.torch_training.loss import centred
from maskflownet.torch_training.networks import DeformableConv, PyramidNetwork
from maskflownet.torch_training.scenes import Pairs

HEAD_SIZE, TRADEOFF_SIZE = 0.02, 0.1


def initialise(network: PyramidNetwork) -> PyramidNetwork:
    """Fill a network as MXNet's MSRAPrelu with slope 0.1 does; biases are 0. Return it."""
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            fan = (parameter.shape[0] + parameter.shape[1]) / 2 * parameter[0, 0].numel()
            nn.init.normal_(parameter, 0, (2 / (1 + LEAKY_SLOPE**2) / fan) ** 0.5)
    return network


@torch.no_grad()
def waken(network: PyramidNetwork, pairs: Pairs) -> None:
    """Scale a fresh network's layers on a batch: `network.scaled_start`, whose reasons hold here.

    Each convolution's output gets mean 0 and size 1 on these pairs, deformable convolutions begin
    as the identity, flow, masks and trade-off terms begin small. A cascade's first stage stays.
    """

    def rescale(layer, _, out):
        mean = out.mean((0, 2, 3), keepdim=True)
        if out.numel() < 32 * out.shape[1]:  # too few pixels for a mean
            mean = torch.zeros_like(mean)
        size = (out - mean).std().clamp(min=1e-4)
        layer.weight /= size
        layer.bias.copy_((layer.bias - mean.flatten()) / size)
        return (out - mean) / size

    hooks = []
    for name, layer in network.named_modules():
        if name.startswith("MaskFlownet_S."):
            continue
        if isinstance(layer, DeformableConv):
            nn.init.dirac_(layer.weight)
        elif re.match(r"pred_|dc_conv7", name):
            layer.weight *= HEAD_SIZE
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            hooks.append(layer.register_forward_hook(rescale))
    network.estimate(*centred(pairs.image1, pairs.image2))
    for hook in hooks:
        hook.remove()
    for name, parameter in network.named_parameters():
        if re.match(r"conv\df\.", name):
            parameter *= TRADEOFF_SIZE
