"""Ways for a pipeline's weights to begin, other than as they were drawn or loaded.

Each is a module of its own, which says why it is there; what chooses one is `optimizer.start` in a
dataset config.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from maskflownet.network import copied_start, lifted_start, scaled_start, uniform_start
from maskflownet.network.arrays import Array
from maskflownet.network.images import checked_pair, network_inputs
from maskflownet.network.network_size import NetworkSize
from maskflownet.network.pipeline import Pipeline

LEAST_SIZE = 256  # px; images that tell how to scale a start are enlarged to it


def scale(pipe: Pipeline, images1: Sequence[Any], images2: Sequence[Any]) -> None:
    """Scale fresh random weights by what they make of some pairs; see `scaled_start`.

    Parameters
    ----------
    pipe : network.Pipeline
    images1, images2 : list of numpy.ndarray
        As for `Pipeline.predict`, all of one size; some sixteen pairs.
    """
    scaled_start.scale_start(*plain_inputs(pipe, images1, images2))


def lift(pipe: Pipeline, images1: Sequence[Any], images2: Sequence[Any], seed: int) -> None:
    """Have the coarse levels begin as copies of level 3; see `lifted_start`.

    Parameters
    ----------
    pipe, images1, images2
        As for `scale`.
    seed : int
        Of what is random.
    """
    network, image1, image2 = plain_inputs(pipe, images1, images2)
    lifted_start.lift_start(network, image1, image2, np.random.default_rng(seed))


def copy_first_stage(pipe: Pipeline, images1: Sequence[Any], images2: Sequence[Any]) -> None:
    """Have a cascade's second stage begin as a copy of its first; see `copied_start`.

    Parameters
    ----------
    pipe, images1, images2
        As for `scale`.
    """
    copied_start.copy_start(*plain_inputs(pipe, images1, images2))


def draw_uniform(pipe: Pipeline) -> None:
    """Give what starts from nothing MMFlow's random weights; see `uniform_start`."""
    uniform_start.uniform_start(pipe.network)


def plain_inputs(
    pipe: Pipeline, images1: Sequence[Any], images2: Sequence[Any]
) -> tuple[Any, Array, Array]:
    """Return the plain network, not hybridized, and both images of some pairs as it takes them."""
    # On small images the coarse levels would see little but their border, and would be scaled to
    # make up for it.
    height, width = NetworkSize(images1[0].shape[:2]).network_hw
    least = max(height, LEAST_SIZE), max(width, LEAST_SIZE)
    pairs = [checked_pair(*pair, least) for pair in zip(images1, images2, strict=True)]
    plain = pipe.plain_network()
    plain.hybridize(False)
    image1, image2 = network_inputs(pairs, pipe.ctx[0])
    return plain, image1, image2
