"""How the first stage brings image 2's features to image 1: the rows of the paper's ablation.

Each way makes the layers that it needs as attributes of the network, so that their names do not
depend on this module, and has no state of its own. `MATCHINGS` holds one of each; the config's
`network.matching` names it. docs/ablations.md says what they stand for.
"""

from typing import Any, NamedTuple

from maskflownet.network.base import LEVELS, PYRAMID_CHANNELS
from maskflownet.network.layers import conv, leaky

# At level 6 there is no flow yet: features are compared as they are.
MATCHED_LEVELS = LEVELS[1:]


class Matched(NamedTuple):
    """What is compared at a level, and how image 2's share of it came about; (N, C, h, w) each.

    Attributes
    ----------
    features1 : Any
        Image 1's features as they are compared.
    features2 : Any
        Image 2's features as they are compared.
    brought : Any
        Image 2's features brought to image 1, before the mask.
    visible : Any
        The same times the mask; as they are where there is none.
    tradeoff : Any
        The trade-off term, or None where there is none.
    """

    features1: Any
    features2: Any
    brought: Any
    visible: Any
    tradeoff: Any


class PlainWarp:
    """FMM: image 2's features warped bilinearly along the flow, as in PWC-Net; no layers.

    Nothing but interpolation happens to the features, so there is no activation either.
    """

    def make_layers(self, network):
        """Make what the network needs; within its name scope."""

    def match(self, F, network, level, features1, features2, flow, mask, feat):
        """Bring image 2's features to image 1.

        Parameters
        ----------
        network : network.MaskFlownet_S
        level : int
        features1, features2 : (N, C, h, w)
        flow : (N, 2, h, w)
            (y, x) order, in units of the network's `scale`.
        mask : (N, 1, h, w) or None
            Before its sigmoid; None for a network without a mask.
        feat : (N, upfeat channels, h, w)
            What the level above passes on.

        Returns
        -------
        Matched
        """
        warped = network.warp_features(F, level, features2, flow)
        return Matched(features1, warped, warped, warped, None)


class OcclusionAware:
    """The base of all others: features brought to image 1, occluded ones faded out (equation 4).

    They are multiplied by the mask, if the network has one; the trade-off term may then speak where
    the mask is silent.

    Parameters
    ----------
    tradeoff : bool
        Whether there is a trade-off term.
    """

    def __init__(self, tradeoff=True):
        self.tradeoff = tradeoff

    def make_layers(self, network):
        """Make what the network needs; within its name scope."""
        self.make_bringing_layers(network)
        if self.tradeoff:
            make_level_convs(network, "conv{}f", network.upfeat_channels)

    def match(self, F, network, level, features1, features2, flow, mask, feat):
        """Bring image 2's features to image 1; see `PlainWarp.match`."""
        features1, brought = self.bring(F, network, level, features1, features2, flow)
        visible = brought if mask is None else F.broadcast_mul(brought, F.sigmoid(mask))
        tradeoff = getattr(network, f"conv{level}f")(feat) if self.tradeoff else None
        total = visible + tradeoff if self.tradeoff else visible
        return Matched(features1, leaky(F, total), brought, visible, tradeoff)


class OcclusionAwareWarp(OcclusionAware):
    """OFMM: the features are warped bilinearly."""

    def make_bringing_layers(self, network):
        """Make the layers that bring features to image 1: none."""

    def bring(self, F, network, level, features1, features2, flow):
        """Return image 1's features as they are compared, and image 2's brought to it."""
        return features1, network.warp_features(F, level, features2, flow)


class SymmetricConv(OcclusionAwareWarp):
    """OFMM + sym-conv: first a convolution on the features of both images, the same for both."""

    def make_bringing_layers(self, network):
        """Make the convolutions, one per level."""
        make_level_convs(network, "shared_conv{}", PYRAMID_CHANNELS)

    def bring(self, F, network, level, features1, features2, flow):
        """Return image 1's features as they are compared, and image 2's brought to it."""
        layer = network.layer("shared_conv", level)
        return super().bring(F, network, level, layer(features1), layer(features2), flow)


class AsymmetricConv(OcclusionAwareWarp):
    """OFMM + asym-conv: first a convolution on the features of image 2 alone."""

    def make_bringing_layers(self, network):
        """Make the convolutions, one per level."""
        make_level_convs(network, "second_conv{}", PYRAMID_CHANNELS)

    def bring(self, F, network, level, features1, features2, flow):
        """Return image 1's features as they are compared, and image 2's brought to it."""
        layer = network.layer("second_conv", level)
        return super().bring(F, network, level, features1, layer(features2), flow)


class Deformable(OcclusionAware):
    """AsymOFMM (section 3.2): a deformable convolution of image 2's features along the flow."""

    def make_bringing_layers(self, network):
        """Make the deformable convolutions, one per level."""
        network.make_deforms(MATCHED_LEVELS)

    def bring(self, F, network, level, features1, features2, flow):
        """Return image 1's features as they are compared, and image 2's brought to it."""
        return features1, network.deform(F, level, features2, flow)


def make_level_convs(network, name, in_channels):
    """Make a plain convolution per level, with as many channels as the pyramid has there.

    Parameters
    ----------
    network : network.MaskFlownet_S
    name : str
        With {} where the level goes.
    in_channels : dict
        {level: channels}.
    """
    for level in MATCHED_LEVELS:
        own = name.format(level)
        layer = conv(own, in_channels[level], PYRAMID_CHANNELS[level], activation=False)
        setattr(network, own, layer)


# Whether there is a mask beside is the network's business: config.NetworkConfig.has_mask.
MATCHINGS = {
    "fmm": PlainWarp(),
    "ofmm": OcclusionAwareWarp(),
    "sym-conv": SymmetricConv(),
    "asym-conv": AsymmetricConv(),
    "deform-plain": Deformable(tradeoff=False),
    "deform-mask": Deformable(tradeoff=False),
    "deform-tradeoff": Deformable(),
    "deform": Deformable(),
}
