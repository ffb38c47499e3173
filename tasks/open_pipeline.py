"""A pipeline by what a person names: a checkpoint, devices, and a config where that is wanted."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskflownet.config import Config, InputError, load_config
from maskflownet.config.files import ROOT
from maskflownet.config.network_size import check_network_size
from maskflownet.tasks.runs.checkpoints import Checkpoint, find_checkpoint
from maskflownet.tasks.runs.shipped import shipped_weights

if TYPE_CHECKING:
    from maskflownet.network import Pipeline

# Of each network, the config that its recipes share their `network` section with.
BASE_CONFIGS = ("MaskFlownet_S", "MaskFlownet")


def load(
    checkpoint: str | os.PathLike | None = None,
    ctx: Sequence[Any] | None = None,
    root: str | Path = ROOT,
    **options: Any,
) -> "Pipeline":
    """Return a pipeline by its checkpoint alone: network and variant are read off the file.

    Parameters
    ----------
    checkpoint : str or os.PathLike, optional
        A path, or a run or its beginning in `root`/weights ("dbbSep30", "dbbSep30:1000000"). By
        default the weights that come with the project.
    ctx : list of mxnet.Context, optional
        The devices; by default the CPU.
    root : str or pathlib.Path
        Where weights/ lies.
    options
        Further arguments of `network.get_pipeline`, such as kernels="builtin".

    Returns
    -------
    network.Pipeline
        Its `config` has the schedule of MaskFlownet_S.yaml or MaskFlownet.yaml, which is not
        necessarily the one that the checkpoint was trained with.

    Raises
    ------
    InputError
        There is no such checkpoint, or it holds no network.
    """
    found = find(None if checkpoint is None else os.fspath(checkpoint), Path(root))
    from maskflownet.network import get_pipeline

    pipe = get_pipeline(
        "MaskFlownet", ctx=ctx or devices([]), config=config_of(found.path), **options
    )
    pipe.load(found.path)
    return pipe


def find(text: str | None, root: Path) -> Checkpoint:
    """Return the checkpoint that -c names, or the weights that come with the project."""
    return shipped_weights() if text is None else find_checkpoint(text, root / "weights")


def config_of(path: Path) -> Config:
    """Return the config of the network that a parameter file holds."""
    from maskflownet.network.files.held_config import held_config

    return held_config(path, {name: load_config(name) for name in BASE_CONFIGS})


def load_pipeline(arguments: argparse.Namespace) -> tuple[Checkpoint, "Pipeline"]:
    """Return the checkpoint that the arguments name and a pipeline that holds it.

    Parameters
    ----------
    arguments : argparse.Namespace
        With `config`, which may be None, and the flags of `add_network_arguments`.

    Returns
    -------
    checkpoint : tasks.runs.checkpoints.Checkpoint
    pipe : network.Pipeline

    Raises
    ------
    InputError
        Whatever is wrong with the config, the checkpoint, the devices or the size.
    """
    if arguments.resize is not None:
        check_network_size(arguments.resize)
    config = load_config(arguments.config) if arguments.config is not None else None
    if config is not None and arguments.checkpoint is None:
        raise InputError(
            "-c is missing: name a checkpoint, such as -c dbbSep30, or leave CONFIG out for the "
            "weights that come with the project"
        )
    checkpoint = find(arguments.checkpoint, arguments.root)

    from maskflownet.network import get_pipeline

    contexts = devices(arguments.gpu_device)
    config = config or config_of(checkpoint.path)
    pipe = get_pipeline(
        arguments.network,
        ctx=contexts,
        config=config,
        kernels=arguments.kernels,
        precision=arguments.precision,
    )
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
