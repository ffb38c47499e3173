"""The config of a network and of its training."""

import os
from dataclasses import dataclass, field

from config.checks import (
    Where,
    boolean,
    from_mapping,
    integer,
    key,
    number,
    one_of,
    schedule,
    section,
    sequence,
)
from config.files import read_config


@dataclass(frozen=True)
class NetworkConfig:
    """What a network is made of.

    Attributes
    ----------
    class_name : str
        "MaskFlownet_S" (one stage) or "MaskFlownet" (the cascade); `class` in the file.
    flow_multiplier : float
        The network's unit of flow is 20 times this many pixels.
    deform_bias : bool
        Whether the deformable convolutions have a bias.
    upfeat_ch : tuple of int
        Channels of the up-sampled features at levels 5, 4, 3, 2.
    mw : tuple of float
        Weights of the training loss at levels 6, 5, 4, 3, 2.
    """

    class_name: str = field(metadata=key(one_of("MaskFlownet_S", "MaskFlownet"), name="class"))
    flow_multiplier: float = field(default=1.0, metadata=key(number(above=0)))
    deform_bias: bool = field(default=True, metadata=key(boolean))
    upfeat_ch: tuple[int, ...] = field(
        default=(16, 16, 16, 16), metadata=key(sequence(integer(1), 4))
    )
    mw: tuple[float, ...] = field(
        default=(0.005, 0.01, 0.02, 0.08, 0.32), metadata=key(sequence(number(low=0), 5))
    )


@dataclass(frozen=True)
class OptimizerConfig:
    """How a network is trained.

    Attributes
    ----------
    learning_rate : tuple of (int, float)
        (last step, rate): the first entry whose last step is not exceeded counts; training ends
        after the last.
    q : float or None
        Exponent of the robust loss; None for the plain end-point error.
    wd : float or None
        Weight decay as the original's files give it. It is accepted and not applied: the released
        weights were trained without it.
    weight_decay : float
        Weight decay that is applied: Adam's gradient of each trained array gets this times the
        array. For recipes other than the original's.
    """

    learning_rate: tuple[tuple[int, float], ...] = field(metadata=key(schedule))
    q: float | None = field(default=None, metadata=key(number(above=0)))
    wd: float | None = field(default=None, metadata=key(number(low=0)))
    weight_decay: float = field(default=0.0, metadata=key(number(low=0)))


@dataclass(frozen=True)
class Config:
    """A network config file.

    Attributes
    ----------
    name : str
        The file's name without ".yaml".
    network : NetworkConfig
    optimizer : OptimizerConfig
    """

    name: str
    network: NetworkConfig = field(metadata=key(section(NetworkConfig)))
    optimizer: OptimizerConfig = field(metadata=key(section(OptimizerConfig)))


def load_config(name_or_path: str | os.PathLike) -> Config:
    """Read and check a network config.

    Parameters
    ----------
    name_or_path : str or os.PathLike
        A name in config/, with or without ".yaml", or a path.

    Raises
    ------
    InputError
        For anything wrong in the file: one line with the file, the key and what was expected.
    MissingDataError
        Where there is no such file; the message lists the names in config/.
    """
    path, mapping = read_config(name_or_path, "network")
    return from_mapping(Config, mapping, Where(path), name=path.stem)
