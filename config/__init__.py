"""Network and dataset configs and the roots of datasets, read from YAML and checked."""

from maskflownet.config.augmentation import (
    AffineConfig,
    ColorConfig,
    GeometryConfig,
    JitterConfig,
)
from maskflownet.config.dataset import DatasetConfig, load_dataset_config
from maskflownet.config.errors import InputError, MissingDataError
from maskflownet.config.network import Config, NetworkConfig, OptimizerConfig, load_config
from maskflownet.config.paths import load_paths

__all__ = [
    "AffineConfig",
    "ColorConfig",
    "Config",
    "DatasetConfig",
    "GeometryConfig",
    "InputError",
    "JitterConfig",
    "MissingDataError",
    "NetworkConfig",
    "OptimizerConfig",
    "load_config",
    "load_dataset_config",
    "load_paths",
]
