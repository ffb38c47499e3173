"""The ways to match features: the rows of the paper's ablation, in one table."""

from typing import NamedTuple


class Matching(NamedTuple):
    """What is done with image 2's features before they are compared with image 1's.

    Attributes
    ----------
    way : str
        How they are brought to image 1: "warp" (bilinearly along the flow), "sym-conv" and
        "asym-conv" (the same after a convolution on both images' features, or on image 2's
        alone), or "deform" (a deformable convolution along the flow); see `network.matching`.
    mask : bool
        Whether they are multiplied by the occlusion mask; without, the network predicts none.
    tradeoff : bool
        Whether the trade-off term is added.
    activation : bool
        Whether LeakyReLU comes last; there is none where nothing but interpolation happened.
    """

    way: str
    mask: bool
    tradeoff: bool
    activation: bool = True


# By the name that the config's `network.matching` gives; docs/ablations.md says what they stand
# for in the paper.
MATCHINGS = {
    "fmm": Matching("warp", mask=False, tradeoff=False, activation=False),
    "ofmm": Matching("warp", mask=True, tradeoff=True),
    "sym-conv": Matching("sym-conv", mask=True, tradeoff=True),
    "asym-conv": Matching("asym-conv", mask=True, tradeoff=True),
    "deform-plain": Matching("deform", mask=False, tradeoff=False),
    "deform-mask": Matching("deform", mask=True, tradeoff=False),
    "deform-tradeoff": Matching("deform", mask=False, tradeoff=True),
    "deform": Matching("deform", mask=True, tradeoff=True),
}
