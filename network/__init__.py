"""The networks and the pipeline around them. `get_pipeline` is the front door."""

import runtime  # noqa: F401  (before anything imports MXNet)

# isort: split
from config.errors import InputError
from network.parameters import held_network
from network.peers import Peers, PeersLostError
from network.pipeline import Pipeline, Prediction
from network.resizing import check_network_size

__all__ = [
    "PIPELINES",
    "Peers",
    "PeersLostError",
    "Pipeline",
    "Prediction",
    "check_network_size",
    "get_pipeline",
    "held_network",
]

PIPELINES = {"MaskFlownet": Pipeline}


def get_pipeline(name, ctx, config, peers=None, kernels=None):
    """Make a pipeline.

    Parameters
    ----------
    name : str
        "MaskFlownet", the only one; it serves both networks, as `config` says.
    ctx : list of mxnet.Context
        The devices to run on, such as [mx.cpu()].
    config : config.Config
        From `config.load_config`.
    peers : network.peers.Peers, optional
        The workers that train together; by default this process is the only one.
    kernels : {"auto", "builtin"}, optional
        Whose operators run on a CPU: the fast ones where they can, or MXNet's own. By default what
        the environment variable MASKFLOWNET_KERNELS says, else "auto".

    Returns
    -------
    Pipeline
    """
    if name not in PIPELINES:
        raise InputError(f"network {name!r}: expected one of {', '.join(PIPELINES)}")
    return PIPELINES[name](ctx, config, peers, kernels)
