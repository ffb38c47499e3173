"""How a network is trained: as its config says, or the dataset's own."""

import dataclasses

from maskflownet.config.dataset import DatasetConfig
from maskflownet.config.errors import InputError
from maskflownet.config.network import Config

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
        The network has no mask that could learn what the dataset's config wants it to.
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
    return dataclasses.replace(config, optimizer=optimizer)
