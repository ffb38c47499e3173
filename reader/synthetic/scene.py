"""One generated pair: a scene from a seed and an index."""

from numbers import Integral

import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.reader.sample import FlowSample
from maskflownet.reader.synthetic.camera import photographed
from maskflownet.reader.synthetic.config import SceneConfig
from maskflownet.reader.synthetic.layers import random_layers
from maskflownet.reader.synthetic.render import render

_SMALLEST = 16  # px; below this there is no room for a shape
_LARGEST = 8192
_DEFAULT = SceneConfig()


def generate(
    seed: int, index: int, size_hw: tuple[int, int], config: SceneConfig = _DEFAULT
) -> FlowSample:
    """Return pair `index` of the endless series that `seed` stands for.

    The same arguments give the same pair, in any process and in any order of calls.

    Parameters
    ----------
    seed, index : int
        Whole numbers, 0 or more.
    size_hw : (int, int)
        Height and width in pixels, 16 to 8192 each.
    config : SceneConfig

    Returns
    -------
    FlowSample
        Images uint8 (H, W, 3), BGR. Flow and occlusion are exact and known everywhere: `valid` is
        255 all over, on occluded pixels too. A pixel is occluded when a nearer layer covers the
        place that it moves to by half or more, or when that place is not between the centres of
        the outermost pixels of image 2.

    Raises
    ------
    InputError
        For a seed, an index or a size out of these limits.
    """
    for name, value in (("seed", seed), ("index", index)):
        if not isinstance(value, Integral) or value < 0:
            raise InputError(f"synthetic {name}: expected a whole number from 0, got {value!r}")
    check_size(tuple(size_hw))  # type: ignore[arg-type]
    size_hw = (size_hw[0], size_hw[1])
    # spawn_key, not seed + index: neighbouring seeds must not share scenes.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))
    image1, image2, flow, occluded = render(random_layers(rng, size_hw, config), size_hw)
    image1, image2 = photographed(rng, image1, image2, config)
    valid = np.full((*size_hw, 1), 255, np.uint8)
    return FlowSample(image1, image2, flow, valid, occluded, f"synthetic/{seed}/{index}")


def check_size(size_hw: tuple[int, int], key: str = "size") -> None:
    """Raise InputError, which names the setting, unless scenes can have this (height, width)."""
    if len(size_hw) != 2 or not all(
        isinstance(side, Integral) and _SMALLEST <= side <= _LARGEST for side in size_hw
    ):
        raise InputError(
            f"synthetic.{key}: expected height and width in whole pixels, {_SMALLEST} to "
            f"{_LARGEST} each, got {size_hw}"
        )
