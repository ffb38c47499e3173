"""Which network a parameter file holds, told from the names and shapes of its arrays."""

import re

# An array that only files of that network have, in the structured and in the legacy form.
_SIGNATURES = {
    "MaskFlownet": (
        "MaskFlownet_S.conv1a.0.weight",
        "maskflownet_s0_hybridsequential0_conv1aweight",
    ),
    "MaskFlownet_S": ("conv1a.0.weight", "hybridsequential0_conv1aweight"),
}
_FIRST_STAGE = re.compile(r"MaskFlownet_S\.|maskflownet_s0_")
# What the layers are called that only some ways of matching have, in either form.
_MASK, _TRADEOFF, _DEFORM = r"pred_mask\d", r"conv\df", r"deform\d"
_SHARED, _SECOND = r"shared_conv\d", r"second_conv\d"
_MATCHING_SIGNS = {
    "fmm": set(),
    "ofmm": {_MASK, _TRADEOFF},
    "sym-conv": {_MASK, _TRADEOFF, _SHARED},
    "asym-conv": {_MASK, _TRADEOFF, _SECOND},
    "deform-plain": {_DEFORM},
    "deform-mask": {_MASK, _DEFORM},
    "deform-tradeoff": {_TRADEOFF, _DEFORM},
    "deform": {_MASK, _TRADEOFF, _DEFORM},
}
_SIGNS = set().union(*_MATCHING_SIGNS.values())


def network_of(names):
    """Return which network a file with these array names is of, or None."""
    for network, signatures in _SIGNATURES.items():
        if any(signature in names for signature in signatures):
            return network
    return None


def network_keys(shapes):
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
    keys = {}
    signs = {sign for sign in _SIGNS if _has(first or shapes, sign)}
    for matching, own in _MATCHING_SIGNS.items():
        if own == signs:
            keys["matching"] = matching
    if second:
        keys["pyramids"] = "dual" if _has(second, _DEFORM) else "single"
        keys["mask_channel"] = any(
            "conv1x" in name and tuple(shapes[name][1:2]) == (4,) for name in second
        )
    return keys


def _has(names, pattern):
    return any(re.search(pattern, name) for name in names)
