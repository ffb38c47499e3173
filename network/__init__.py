"""The networks and the pipeline around them. `get_pipeline` is the front door."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from maskflownet import runtime  # before anything imports MXNet
from maskflownet.config import Config

if find_spec("mxnet") is None:
    raise ModuleNotFoundError(runtime.MXNET_MISSING, name="mxnet")

# isort: split
from maskflownet.config.errors import InputError
from maskflownet.config.network_size import check_network_size
from maskflownet.network.files.parameters import held_network
from maskflownet.network.pipeline import Pipeline
from maskflownet.network.prediction import Prediction
from maskflownet.network.worker_group import Peers, PeersLostError

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


def get_pipeline(
    name: str,
    ctx: Sequence[Any],
    config: Config,
    peers: Peers | None = None,
    kernels: str | None = None,
    precision: str = "float32",
) -> Pipeline:
    """Make a pipeline.

    Parameters
    ----------
    name : str
        "MaskFlownet", the only one; it serves both networks, as `config` says.
    ctx : list of mxnet.Context
        The devices to run on, such as [mx.cpu()].
    config : config.Config
        From `config.load_config`.
    peers : network.worker_group.Peers, optional
        The workers that train together; by default this process is the only one.
    kernels : {"auto", "builtin"}, optional
        Whose operators run on a CPU: the fast ones where they can, or MXNet's own. By default what
        the environment variable MASKFLOWNET_KERNELS says, else "auto".
    precision : {"float32", "bf16"}, optional
        What convolutions multiply: with "bf16", which takes a processor with AMX or AVX512-BF16,
        numbers of 8 significant bits. Weights and everything else stay float32.

    Returns
    -------
    Pipeline
    """
    if name not in PIPELINES:
        raise InputError(f"network {name!r}: expected one of {', '.join(PIPELINES)}")
    return PIPELINES[name](ctx, config, peers, kernels, precision)


if __name__ == "network":
    # As in the original, with the repository's root on the path: `from network import ...` gives
    # the same objects as `from maskflownet.network import ...`.
    sys.modules[__name__] = sys.modules["maskflownet.network"]
