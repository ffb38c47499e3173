"""The networks and the pipeline around them. `get_pipeline` is the front door."""

import runtime  # noqa: F401  (before anything imports MXNet)

# isort: split
from config.errors import InputError
from network.parameters import held_network
from network.pipeline import Pipeline, Prediction
from network.resizing import check_network_size

__all__ = [
    "PIPELINES",
    "Pipeline",
    "Prediction",
    "check_network_size",
    "get_pipeline",
    "held_network",
]

PIPELINES = {"MaskFlownet": Pipeline}


def get_pipeline(name, ctx, config):
    """Make a pipeline.

    Parameters
    ----------
    name : str
        "MaskFlownet", the only one; it serves both networks, as `config` says.
    ctx : list of mxnet.Context
        The devices to run on, such as [mx.cpu()].
    config : config.Config
        From `config.load_config`.

    Returns
    -------
    Pipeline
    """
    if name not in PIPELINES:
        raise InputError(f"network {name!r}: expected one of {', '.join(PIPELINES)}")
    return PIPELINES[name](ctx, config)
