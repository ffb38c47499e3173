"""How a network is trained: as its config says, or the dataset's own."""

import dataclasses

from maskflownet.config.dataset import DatasetConfig
from maskflownet.config.errors import InputError
from maskflownet.config.network import Config

LIFTED = ("MaskFlownet_S", "deform", "original")  # class, matching and dialect that can be lifted
_OVERRIDES = ("learning_rate", "clip_norm", "finest_level", "mask_weight")


def with_schedule(config: Config, data: DatasetConfig) -> Config:
    """Return the network's config with what the dataset's own says of training, where it does.

    Parameters
    ----------
    config : Config
    data : DatasetConfig

    Raises
    ------
    InputError
        The network has no mask that could learn what the dataset's config wants it to, or cannot
        begin as that says.
    """
    own = {name: getattr(data.optimizer, name) for name in _OVERRIDES}
    own = {name: value for name, value in own.items() if value is not None}
    optimizer = dataclasses.replace(config.optimizer, **own)
    network = config.network
    if optimizer.mask_weight and (network.is_cascade or not network.has_mask):
        raise InputError(
            f"{data.path if data.optimizer.mask_weight else config.name}: optimizer.mask_weight: "
            "expected 0 for a network without a mask of its own to train, such as a cascade, got "
            f"{optimizer.mask_weight}"
        )
    is_paper_s = (network.class_name, network.matching, network.dialect) == LIFTED
    if data.optimizer.start == "lifted" and not is_paper_s:
        raise InputError(
            f"{data.path}: optimizer.start: lifted: expected a {LIFTED[0]} with network.matching: "
            f"{LIFTED[1]} and network.dialect: {LIFTED[2]}, got {config.name}"
        )
    if data.optimizer.mw is not None:
        network = dataclasses.replace(network, mw=data.optimizer.mw)
    return dataclasses.replace(config, network=network, optimizer=optimizer)
