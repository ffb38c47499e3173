"""Which network a parameter file holds, told from the names and shapes of its arrays."""

import re
from collections.abc import Iterable
from typing import Any

from maskflownet.config.matching import MATCHINGS
from maskflownet.network.matching import WAYS

# An array that only files of that network have, in the structured and in the legacy form.
_SIGNATURES = {
    "MaskFlownet": (
        "MaskFlownet_S.conv1a.0.weight",
        "maskflownet_s0_hybridsequential0_conv1aweight",
    ),
    "MaskFlownet_S": ("conv1a.0.weight", "hybridsequential0_conv1aweight"),
}
_FIRST_STAGE = re.compile(r"MaskFlownet_S\.|maskflownet_s0_")
# What the layers are called that only some variants have, in either form.
_MASK, _TRADEOFF = r"pred_mask\d", r"conv\df"
_WAYS = {name: rf"{way.layers}\d" for name, way in WAYS.items() if way.layers}


def network_of(names: Iterable[str]) -> str | None:
    """Return which network a file with these array names is of, or None."""
    for network, signatures in _SIGNATURES.items():
        if any(signature in names for signature in signatures):
            return network
    return None


def network_keys(shapes: dict[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return the config keys that tell one ablation from another, as far as they show.

    Parameters
    ----------
    shapes : dict
        {name: shape} of a network's arrays, structured or legacy names.

    Returns
    -------
    dict
        "matching" and, of a cascade, "pyramids" and "mask_channel"; see `config.NetworkConfig`.
        "matching" is left out where there is no such network.
    """
    first = {name for name in shapes if _FIRST_STAGE.match(name)}
    second = shapes.keys() - first if first else set()
    keys: dict[str, Any] = {}
    signs = {sign for sign in (_MASK, _TRADEOFF, *_WAYS.values()) if _has(first or shapes, sign)}
    for name, matching in MATCHINGS.items():
        if _signs_of(matching) == signs:
            keys["matching"] = name
    if second:
        keys["pyramids"] = "dual" if _has(second, _WAYS["deform"]) else "single"
        keys["mask_channel"] = any(
            "conv1x" in name and tuple(shapes[name][1:2]) == (4,) for name in second
        )
    return keys


def _signs_of(matching):
    """Return the signs of the layers that a variant has."""
    signs = {_MASK: matching.mask, _TRADEOFF: matching.tradeoff}
    own = {sign for sign, is_there in signs.items() if is_there}
    return own | ({_WAYS[matching.way]} if matching.way in _WAYS else set())


def _has(names, pattern):
    return any(re.search(pattern, name) for name in names)
