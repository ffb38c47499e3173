"""The config of a network and of its training."""

import os
from dataclasses import dataclass, field, fields
from pathlib import Path

from maskflownet.config.checks import (
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
from maskflownet.config.errors import InputError
from maskflownet.config.files import read_config
from maskflownet.config.matching import MATCHINGS

PYRAMIDS = ("single", "dual")
DIALECTS = ("original", "mmflow")
LOSSES = ("full_size", "levels")
CASCADE_KEYS = ("pyramids", "mask_channel")


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
    matching : str
        How the first stage brings image 2's features to image 1 at levels 5 to 2, before they are
        compared:

        - "fmm": warped bilinearly along the flow;
        - "ofmm": the same, times the occlusion mask, plus the trade-off term;
        - "sym-conv": as "ofmm", with a convolution on both images' features before;
        - "asym-conv": as "ofmm", with a convolution on image 2's features before;
        - "deform": a deformable convolution along the flow, times the mask, plus the trade-off
          term (AsymOFMM, the paper's own);
        - "deform-mask", "deform-tradeoff", "deform-plain": the same with the mask alone, with the
          trade-off term alone, and with neither.

        A network whose matching has no mask predicts none.
    pyramids : str
        What the cascade's second stage compares: "dual", the first stage's features again and
        those of its own pyramid, or "single", its own alone.
    mask_channel : bool
        Whether the cascade's own pyramid sees the first stage's mask as a fourth channel.
    dialect : str
        "original", or "mmflow" for the graph that MMFlow's weights were trained in, which differs
        in a few steps (network.dialects).
    """

    class_name: str = field(metadata=key(one_of("MaskFlownet_S", "MaskFlownet"), name="class"))
    flow_multiplier: float = field(default=1.0, metadata=key(number(above=0, high=1000)))
    deform_bias: bool = field(default=True, metadata=key(boolean))
    upfeat_ch: tuple[int, ...] = field(
        default=(16, 16, 16, 16), metadata=key(sequence(integer(1, high=1024), 4))
    )
    mw: tuple[float, ...] = field(
        default=(0.005, 0.01, 0.02, 0.08, 0.32), metadata=key(sequence(number(low=0, high=1000), 5))
    )
    matching: str = field(default="deform", metadata=key(one_of(*MATCHINGS)))
    pyramids: str = field(default="dual", metadata=key(one_of(*PYRAMIDS)))
    mask_channel: bool = field(default=True, metadata=key(boolean))
    dialect: str = field(default="original", metadata=key(one_of(*DIALECTS)))

    @property
    def has_mask(self) -> bool:
        """Whether the network, or the first stage of a cascade, predicts an occlusion mask."""
        return MATCHINGS[self.matching].mask

    @property
    def is_cascade(self) -> bool:
        """Whether the network has a first stage, which must be trained before."""
        return self.class_name == "MaskFlownet"


@dataclass(frozen=True)
class OptimizerConfig:
    """How a network is trained.

    Attributes
    ----------
    learning_rate : tuple of (int, float)
        (last step, rate): the first entry whose last step is not exceeded counts; training ends
        after the last.
    loss : str
        "full_size": the mean over pixels, every level's flow enlarged; or "levels": the sum over
        each level's own pixels, in units of 20 pixels (MMFlow's).
    train_first_stage : bool
        Whether a cascade's first stage is trained too; else it is frozen.
    q : float or None
        Exponent of the robust loss; None for the plain end-point error.
    wd : float or None
        Weight decay as the original's files give it. It is accepted and not applied: the released
        weights were trained without it.
    weight_decay : float
        Weight decay that is applied: Adam's gradient of each trained array gets this times the
        array. For recipes other than the original's.
    finest_level : int
        The finest pyramid level whose decoder is trained, beside the features that all share: 2
        for the whole network, 3 to 6 for its coarse part, in a fraction of the time. The finer
        levels' decoders stay as they are.
    mask_weight : float
        What the masks learn of the data's occlusion counts so much beside the flow's loss: 0, as in
        the paper, for nothing. For a MaskFlownet_S on data that knows what is occluded.
    clip_norm : float or None
        Gradients whose norm, over all trained arrays together and as a mean over the batch, is
        larger are scaled down to it. None, as in the original, for never.
    """

    learning_rate: tuple[tuple[int, float], ...] = field(metadata=key(schedule))
    loss: str = field(default="full_size", metadata=key(one_of(*LOSSES)))
    train_first_stage: bool = field(default=False, metadata=key(boolean))
    q: float | None = field(default=None, metadata=key(number(above=0, high=10)))
    wd: float | None = field(default=None, metadata=key(number(low=0, high=10)))
    weight_decay: float = field(default=0.0, metadata=key(number(low=0, high=10)))
    mask_weight: float = field(default=0.0, metadata=key(number(low=0, high=1000)))
    finest_level: int = field(default=2, metadata=key(integer(2, high=6)))
    clip_norm: float | None = field(default=None, metadata=key(number(above=0, high=1e6)))


@dataclass(frozen=True)
class Config:
    """A network config file.

    Attributes
    ----------
    name : str
        The file's name without ".yaml".
    path : pathlib.Path
        The file itself, by which a run finds it again.
    network : NetworkConfig
    optimizer : OptimizerConfig
    """

    name: str
    path: Path
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
    where = Where(path)
    config = from_mapping(Config, mapping, where, name=path.stem, path=path)
    _check_whole(config, where)
    return config


def _check_whole(config: Config, where: Where) -> None:
    """Raise InputError for what no single key can tell."""
    network, optimizer = config.network, config.optimizer
    default = {one.name: one.default for one in fields(NetworkConfig)}
    own = [f"network.{name}" for name in CASCADE_KEYS if getattr(network, name) != default[name]]
    own += ["optimizer.train_first_stage"] if optimizer.train_first_stage else []
    if network.class_name == "MaskFlownet_S" and own:
        raise InputError(
            f"{where.file}: {own[0]} is for a cascade: leave it out, or set network.class to "
            "MaskFlownet"
        )
    if network.class_name == "MaskFlownet" and network.mask_channel and not network.has_mask:
        raise where.below("network.mask_channel").wrong(
            f"false over a first stage without a mask (network.matching: {network.matching})", True
        )
    if optimizer.loss == "levels" and optimizer.q is not None:
        raise where.below("optimizer.q").wrong(
            "no exponent with optimizer.loss: levels, which has none", optimizer.q
        )
