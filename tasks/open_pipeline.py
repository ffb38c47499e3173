"""A pipeline by what a person names: a config, a checkpoint, devices."""

import argparse

from maskflownet.config import InputError, load_config
from maskflownet.config.network_size import check_network_size


def load_pipeline(arguments: argparse.Namespace):
    """Return the checkpoint that the arguments name and a pipeline that holds it.

    Parameters
    ----------
    arguments : argparse.Namespace
        With `config` and the flags of `add_network_arguments`.

    Returns
    -------
    checkpoint : tasks.runs.checkpoints.Checkpoint
    pipe : network.Pipeline

    Raises
    ------
    InputError
        Whatever is wrong with the config, the checkpoint, the devices or the size.
    """
    from maskflownet.tasks.runs.checkpoints import find_checkpoint

    if arguments.resize is not None:
        check_network_size(arguments.resize)
    config = load_config(arguments.config)
    if arguments.checkpoint is None:
        raise InputError("-c is missing: name a checkpoint, such as -c dbbSep30")
    checkpoint = find_checkpoint(arguments.checkpoint, arguments.root / "weights")

    from maskflownet.network import get_pipeline

    contexts = devices(arguments.gpu_device)
    pipe = get_pipeline(arguments.network, ctx=contexts, config=config, kernels=arguments.kernels)
    pipe.load(checkpoint.path)
    return checkpoint, pipe


def devices(gpu_ids: list[int]) -> list:
    """Return the MXNet contexts for GPU ids, or the CPU if there are none.

    Raises
    ------
    InputError
        MXNet cannot run on one of them.
    """
    if gpu_ids:
        from maskflownet.tasks.devices import ask_driver, check_gpus

        check_gpus(gpu_ids, ask_driver())

    from maskflownet import runtime  # noqa: F401  (before MXNet)

    # isort: split
    import mxnet as mx

    return [mx.gpu(gpu_id) for gpu_id in gpu_ids] or [mx.cpu()]
