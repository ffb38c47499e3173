"""The networks in PyTorch, eager, as a side of a comparison: from images to flow, and a step."""

import os
from collections.abc import Callable

import numpy as np
import torch

from maskflownet.config.layout import FINEST_STRIDE
from maskflownet.torch_training import networks
from maskflownet.torch_training.loss import training_loss


def twin_of(pipe) -> torch.nn.Module:
    """Return a pipeline's network in PyTorch, with the same weights.

    Parameters
    ----------
    pipe : network.Pipeline
        Of a network as the paper has it: `matching: deform`, 16 channels of up-sampled features.
    """
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    network = getattr(networks, pipe.config.network.class_name)()
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
            networks.upsample(mask, FINEST_STRIDE)  # made as the exported file makes it
            return networks.upsample(flows[-1], FINEST_STRIDE).flip(1).numpy()

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
        weights = pipe.config.network.mw
        loss = training_loss(network, image1 / 255, image2 / 255, flow, weights)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return run
