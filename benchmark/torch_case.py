"""The networks in PyTorch, eager, as a side of a comparison: from images to flow, and a step."""

import os
from collections.abc import Callable

import numpy as np
import torch

from maskflownet.benchmark import torch_twin
from maskflownet.network.base import STRIDES
from maskflownet.network.images import FINEST_STRIDE
from maskflownet.network.loss import EPSILON


def twin_of(pipe) -> torch.nn.Module:
    """Return a pipeline's network in PyTorch, with the same weights.

    Parameters
    ----------
    pipe : network.Pipeline
        Of a network as the paper has it: `matching: deform`, 16 channels of up-sampled features.
    """
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    network = getattr(torch_twin, pipe.config.network.class_name)()
    parameters = pipe.network._collect_params_with_prefix()
    arrays = {
        name: torch.tensor(parameter.data().asnumpy()) for name, parameter in parameters.items()
    }
    network.load_state_dict(arrays)
    return network


def forward_runner(pipe, images: list[np.ndarray]) -> Callable:
    """Return what makes flow and mask of two centred images (N, 3, H, W) at their size.

    It returns the flow, float32 (N, 2, H, W), (u, v) in pixels.
    """
    network = twin_of(pipe)
    tensors = [torch.from_numpy(image) for image in images]

    def run():
        with torch.inference_mode():
            flows, mask = network(*tensors)
            torch_twin.upsample(mask, FINEST_STRIDE)  # made as the exported file makes it
            return torch_twin.upsample(flows[-1], FINEST_STRIDE).flip(1).numpy()

    return run


def training_runner(pipe, arrays: list[np.ndarray]) -> Callable:
    """Return what takes a training step, forward, backward and Adam, and returns its loss.

    Parameters
    ----------
    pipe : network.Pipeline
    arrays : list of numpy.ndarray
        image1 and image2 (N, 3, H, W) in 0..255, flow (N, 2, H, W), (u, v) in pixels, all known.
    """
    network = twin_of(pipe)
    optimizer = torch.optim.Adam(
        [parameter for parameter in network.parameters() if parameter.requires_grad],
        lr=pipe.trainer.learning_rate,
        weight_decay=pipe.config.optimizer.weight_decay,
        fused=True,  # the fastest that PyTorch has
    )

    def run():
        image1, image2, flow = map(torch.from_numpy, arrays)
        loss = training_loss(network, image1, image2, flow, pipe.config.network.mw)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return run


def training_loss(network, image1, image2, flow, weights) -> torch.Tensor:
    """Return the loss of `network.loss.MultiscaleLoss`, its mean over the batch.

    Parameters
    ----------
    network : torch.nn.Module
    image1, image2, flow : torch.Tensor
        As for `training_runner`.
    weights : sequence of float
        For levels 6 to 2.
    """
    images = image1 / 255, image2 / 255
    mean = sum(image.mean((2, 3), keepdim=True) for image in images) / 2
    flows, _ = network(*(image - mean for image in images))
    total = 0.0
    for stride, weight, prediction in zip(STRIDES.values(), weights, flows, strict=True):
        difference = torch_twin.upsample(prediction, stride) - flow.flip(1)
        total = total + weight * (difference.square().sum(1) + EPSILON).sqrt().mean()
    return total
