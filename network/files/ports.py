"""Checkpoints of MaskFlownet's ports to PyTorch: whose they are, and their arrays by our names.

Known are MMFlow's, and those of the ports of cattaneod and of ptlflow, which have the same names
and hold the original's weights. MMFlow's networks are another dialect of the graph
(`network.dialects`), where arrays of the same shapes mean something else.
"""

import re
from collections.abc import Mapping

import numpy as np

# In MMFlow's names: what only they have, and the first stage of the cascade.
_SIGNATURE = re.compile(r"(maskflownetS\.)?encoder\.layers\.")
_FIRST_STAGE = "maskflownetS."
# A pattern of MMFlow's names without the first stage's prefix, and ours, made of the numbers in
# theirs and the letters of the pyramid.
_MMFLOW = (
    (
        r"encoder\.layers\.(\d)\.layers\.([012])\.conv",
        lambda letters, index, layer: f"conv{int(index) + 1}{letters[int(layer)]}.0",
    ),
    (
        r"decoder\.decoders\.level(\d)\.dense_net\.layers\.(\d)\.layers\.conv",
        lambda _, level, layer: f"conv{level}_{layer}.0",
    ),
    (
        r"decoder\.decoders\.level(\d)\.predict_(flow|mask)",
        lambda _, level, head: f"pred_{head}{level}",
    ),
    (
        r"decoder\.decoders\.level(\d)\.upfeat_layer\.0",  # there by where it comes from
        lambda _, level: f"upfeat{int(level) - 1}.0",
    ),
    (r"decoder\.corr_block\.level(\d)\.warp\.deconv", lambda _, level: f"deform{level}"),
    (r"decoder\.corr_block\.level(\d)\.warp\.tradeoff_conv", lambda _, level: f"conv{level}f.0"),
    (
        r"decoder\.post_processor\.layers\.([0-5])\.conv",
        lambda _, index: f"dc_conv{int(index) + 1}.0",
    ),
    (r"decoder\.post_processor\.layers\.(6)", lambda _, index: f"dc_conv{int(index) + 1}"),
)


def is_of_mmflow(names: Mapping) -> bool:
    """Return whether these are the names of a network of MMFlow's."""
    return any(_SIGNATURE.match(name) for name in names)


def with_our_names(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return a port's arrays by the structured names of our networks.

    Parameters
    ----------
    arrays : mapping
        {name: array} of a checkpoint of MMFlow's, cattaneod's or ptlflow's, or of structured names
        already. A name that is none of theirs stays as it is.

    Returns
    -------
    dict
        The same values; a bias of MMFlow's deformable convolutions, (C, 1, 1), as (C,).
    """
    if not is_of_mmflow(arrays):
        # cattaneod and ptlflow have no sequence around this one layer.
        pattern = re.compile(r"(upfeat\d)\.(weight|bias)")
        return {pattern.sub(r"\1.0.\2", name): array for name, array in arrays.items()}
    is_cascade = any(name.startswith(_FIRST_STAGE) for name in arrays)
    return {
        _from_mmflow(name, is_cascade): array.reshape(-1) if name.endswith("deconv_bias") else array
        for name, array in arrays.items()
    }


def _from_mmflow(name, is_cascade):
    """Return our name for one of MMFlow's, or the same where it is none."""
    own = name.removeprefix(_FIRST_STAGE)
    stage = "MaskFlownet_S." if own != name else ""
    letters = "xyz" if is_cascade and not stage else "abc"
    for pattern, ours in _MMFLOW:
        match = re.fullmatch(rf"{pattern}[._](?P<kind>weight|bias)", own)
        if match:
            *numbers, kind = match.groups()
            return f"{stage}{ours(letters, *numbers)}.{kind}"
    return name
