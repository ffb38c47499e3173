"""What is minimised: the flow's loss of the paper, and what the masks may learn from beside it."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from maskflownet.config.layout import EPSILON, FLOW_UNIT, LEVELS, STRIDES
from maskflownet.torch_training.networks import Features, PyramidNetwork, upsample


def centred(image1: Tensor, image2: Tensor) -> tuple[Tensor, Tensor]:
    """Return two images (N, 3, H, W) less the mean colour of both."""
    mean = (image1.mean((2, 3), keepdim=True) + image2.mean((2, 3), keepdim=True)) / 2
    return image1 - mean, image2 - mean


def level_errors(flows: Features, flow: Tensor, known: Tensor) -> Tensor:
    """Return the mean endpoint error in pixels of levels 6 to 2, (5,), at full size.

    Parameters
    ----------
    flows : dict
        {level: flow}, (y, x) in units of 20 pixels, as `PyramidNetwork.estimate` returns them.
    flow : torch.Tensor
        The truth, (N, 2, H, W), (x, y) in pixels.
    known : torch.Tensor
        (N, H, W), 1.0 where the truth is known, else 0.0.
    """
    means = []
    for level in LEVELS:
        difference = upsample(flows[level] * FLOW_UNIT, STRIDES[level]) - flow.flip(1)
        error = (difference.square().sum(1) + EPSILON).sqrt()
        means.append((error * known).sum() / known.sum().clamp(min=1))
    return torch.stack(means)


def flow_loss(errors: Tensor, weights: Sequence[float]) -> Tensor:
    """Return the sum of the levels' errors (5,), each times its weight."""
    return (errors * errors.new_tensor(weights)).sum()


def mask_loss(masks: Features, occluded: Tensor) -> Tensor:
    """Return the sum over levels 6 to 3 of the masks' cross entropy against the visible pixels.

    Parameters
    ----------
    masks : dict
        {level: mask before its sigmoid}.
    occluded : torch.Tensor
        (N, 1, H, W), 1.0 where image 2 does not show what image 1 does, else 0.0.
    """
    total = occluded.new_zeros(())
    for level in LEVELS[:-1]:
        visible = 1 - F.avg_pool2d(occluded, STRIDES[level])
        total = total + F.binary_cross_entropy_with_logits(masks[level].float(), visible)
    return total


def training_loss(
    network: PyramidNetwork,
    image1: Tensor,
    image2: Tensor,
    flow: Tensor,
    weights: Sequence[float],
) -> Tensor:
    """Return the flow's loss of a pair whose truth is known everywhere; images in 0..1."""
    flows, _ = network.estimate(*centred(image1, image2))
    return flow_loss(level_errors(flows, flow, torch.ones_like(flow[:, 0])), weights)
