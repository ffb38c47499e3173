"""How a network is trained: as its config says, or the dataset's own."""

import dataclasses

from maskflownet.config.dataset import DatasetConfig
from maskflownet.config.errors import InputError
from maskflownet.config.layout import LEVELS
from maskflownet.config.network import Config

# What a network must be to begin so.
BEGINNINGS = {
    "lifted": {"class": "MaskFlownet_S", "matching": "deform", "dialect": "original"},
    "copied": {"class": "MaskFlownet", "dialect": "original"},
}
_OVERRIDES = ("learning_rate", "q", "clip_norm", "finest_level", "mask_weight")


def with_schedule(config: Config, data: DatasetConfig) -> Config:
    """Return the network's config with what the dataset's own says of training, where it does.

    Parameters
    ----------
    config : Config
    data : DatasetConfig

    Raises
    ------
    InputError
        The network has no mask that could learn what the dataset's config wants it to, or a loss
        without the exponent that it says, cannot begin as that says, or would learn nothing, for no
        level has a weight.
    """
    own = {name: getattr(data.optimizer, name) for name in _OVERRIDES}
    own = {name: value for name, value in own.items() if value is not None}
    optimizer = dataclasses.replace(config.optimizer, **own)
    network = config.network
    if data.optimizer.mw is not None:
        network = dataclasses.replace(network, mw=data.optimizer.mw)
    whole = dataclasses.replace(config, network=network, optimizer=optimizer)
    for check in (_check_loss, _check_mask, _check_start, _check_weights):
        check(whole, data)
    return whole


def _check_loss(config, data):
    if data.optimizer.q is not None and config.optimizer.loss == "levels":
        raise InputError(
            f"{data.path}: optimizer.q: expected no exponent with optimizer.loss: levels "
            f"({config.name}), which has none, got {data.optimizer.q}: leave it out"
        )


def _check_mask(config, data):
    optimizer, network = config.optimizer, config.network
    if optimizer.mask_weight and (network.is_cascade or not network.has_mask):
        raise InputError(
            f"{data.path if data.optimizer.mask_weight else config.name}: optimizer.mask_weight: "
            "expected 0 for a network without a mask of its own to train, such as a cascade, got "
            f"{optimizer.mask_weight}"
        )


def _check_start(config, data):
    start = data.optimizer.start
    wanted = BEGINNINGS.get(start, {})
    own = config.network.class_name, config.network.matching, config.network.dialect
    kind = dict(zip(("class", "matching", "dialect"), own, strict=True))
    if any(kind[name] != value for name, value in wanted.items()):
        raise InputError(
            f"{data.path}: optimizer.start: {start}: expected a {_named(wanted)}, got "
            f"{_named({name: kind[name] for name in wanted})} ({config.name}): leave it out, or "
            "train another network"
        )


def _named(kind):
    """Return a kind of network in the words of its config."""
    cls, *others = kind.items()
    return f"{cls[1]} with " + " and ".join(f"network.{name}: {value}" for name, value in others)


def _check_weights(config, data):
    weights, finest = config.network.mw, config.optimizer.finest_level
    own = [weight for level, weight in zip(LEVELS, weights, strict=True) if level >= finest]
    if not any(own) and not config.optimizer.mask_weight:
        said = data.optimizer.mw is not None
        raise InputError(
            f"{f'{data.path}: optimizer.mw' if said else f'{config.name}: network.mw'}: expected a "
            f"weight above 0 for a level that is trained, {LEVELS[0]} to {finest}, got "
            f"{list(weights)}"
        )
