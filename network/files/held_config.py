"""The network config that a parameter file needs, told from its arrays alone."""

import dataclasses
import os
import re

from maskflownet.config.errors import InputError
from maskflownet.config.network import Config
from maskflownet.network.files.held import read_held
from maskflownet.network.files.variant import network_keys, network_of

# Of an array that up-samples features to a level, in either form of names: (in, out, 4, 4).
_UPFEAT = re.compile(r"upfeat(?P<level>[2-5])(?:\.0\.)?weight")
_DEFORM_BIAS = re.compile(r"deform\d\.?bias")
_UPFEAT_LEVELS = (5, 4, 3, 2)  # in the order of the config key


def held_config(path: str | os.PathLike, base: dict[str, Config]) -> Config:
    """Return the config of the network that a parameter file holds.

    What a file cannot tell (how to train) is as in the base config.

    Parameters
    ----------
    path : str or os.PathLike
        A parameter file; see `network.files.held.read_held`.
    base : dict of str to Config
        For each class of network, the config to begin from.

    Raises
    ------
    InputError, MissingDataError
        As `load_parameters`; or the file holds neither network.
    """
    held = read_held(path)
    shapes = {name: array.shape for name, array in held.arrays.items()}
    network = network_of(shapes)
    if network is None:
        raise InputError(
            f"{path}: expected the arrays of a {' or a '.join(base)}, got {len(shapes)} others "
            f"(first: {next(iter(shapes), 'none')})"
        )
    config = base[network]
    keys = network_keys(shapes) | held.marks._asdict()
    keys["deform_bias"] = any(_DEFORM_BIAS.search(name) for name in shapes)
    found = {match["level"]: shape for name, shape in shapes.items() if (match := _upfeat(name))}
    if len(found) == len(_UPFEAT_LEVELS):
        keys["upfeat_ch"] = tuple(found[str(level)][1] for level in _UPFEAT_LEVELS)
    return dataclasses.replace(config, network=dataclasses.replace(config.network, **keys))


def _upfeat(name):
    return _UPFEAT.search(name)
