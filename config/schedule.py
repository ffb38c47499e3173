"""How a network is trained: as its config says, or the dataset's own."""

import dataclasses

from maskflownet.config.dataset import DatasetConfig
from maskflownet.config.network import Config

_OVERRIDES = ("learning_rate", "clip_norm")


def with_schedule(config: Config, data: DatasetConfig) -> Config:
    """Return the network's config with the dataset's learning rates and clipping, where it has any.

    Parameters
    ----------
    config : Config
    data : DatasetConfig
    """
    own = {name: getattr(data.optimizer, name) for name in _OVERRIDES}
    own = {name: value for name, value in own.items() if value is not None}
    optimizer = dataclasses.replace(config.optimizer, **own)
    return dataclasses.replace(config, optimizer=optimizer)
