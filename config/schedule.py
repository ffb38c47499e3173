"""The learning rates of a training: the network's, or the dataset's own."""

import dataclasses

from maskflownet.config.dataset import DatasetConfig
from maskflownet.config.network import Config


def with_schedule(config: Config, data: DatasetConfig) -> Config:
    """Return the network's config with the dataset's learning rates, where it has its own."""
    if data.optimizer.learning_rate is None:
        return config
    optimizer = dataclasses.replace(config.optimizer, learning_rate=data.optimizer.learning_rate)
    return dataclasses.replace(config, optimizer=optimizer)
