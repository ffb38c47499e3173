"""How image 2's features are brought to image 1, before they are compared.

The rest of the matching, mask and trade-off term, stands in `MaskFlownet_S.decode`; which variant
has what, in the table `config.matching.MATCHINGS`. A way makes the layers that it needs as
attributes of the network, so that their names do not depend on this module, and has no state of
its own; `WAYS` holds one of each.
"""

from maskflownet.config.layout import LEVELS, PYRAMID_CHANNELS
from maskflownet.network.arrays import Array, Operators
from maskflownet.network.base import PyramidNetwork
from maskflownet.network.layers import conv

# At level 6 there is no flow yet: features are compared as they are.
MATCHED_LEVELS = LEVELS[1:]


class Warp:
    """Image 2's features are warped bilinearly along the flow, as in PWC-Net.

    Attributes
    ----------
    layers : str or None
        What the way's layers are called, before the level; None where it has none.
    """

    layers: str | None = None

    def make_layers(self, network: PyramidNetwork) -> None:
        """Make what the network needs; within its name scope."""

    def bring(
        self,
        F: Operators,
        network: PyramidNetwork,
        level: int,
        features1: Array,
        features2: Array,
        flow: Array,
    ) -> tuple[Array, Array]:
        """Bring image 2's features to image 1.

        Parameters
        ----------
        network : network.MaskFlownet_S
        level : int
        features1, features2 : (N, C, h, w)
        flow : (N, 2, h, w)
            (y, x) order, in units of the network's `scale`.

        Returns
        -------
        tuple of (N, C, h, w)
            Image 1's features as they are compared, and image 2's brought to image 1.
        """
        return features1, network.warp_features(F, level, features2, flow)


class SymmetricConv(Warp):
    """First a convolution on the features of both images, the same for both."""

    layers = "shared_conv"

    def make_layers(self, network: PyramidNetwork) -> None:
        """Make the convolutions, one per level."""
        make_level_convs(network, "shared_conv{}", PYRAMID_CHANNELS)

    def bring(
        self,
        F: Operators,
        network: PyramidNetwork,
        level: int,
        features1: Array,
        features2: Array,
        flow: Array,
    ) -> tuple[Array, Array]:
        """Bring image 2's features to image 1; see `Warp.bring`."""
        layer = network.layer("shared_conv", level)
        return super().bring(F, network, level, layer(features1), layer(features2), flow)


class AsymmetricConv(Warp):
    """First a convolution on the features of image 2 alone."""

    layers = "second_conv"

    def make_layers(self, network: PyramidNetwork) -> None:
        """Make the convolutions, one per level."""
        make_level_convs(network, "second_conv{}", PYRAMID_CHANNELS)

    def bring(
        self,
        F: Operators,
        network: PyramidNetwork,
        level: int,
        features1: Array,
        features2: Array,
        flow: Array,
    ) -> tuple[Array, Array]:
        """Bring image 2's features to image 1; see `Warp.bring`."""
        layer = network.layer("second_conv", level)
        return super().bring(F, network, level, features1, layer(features2), flow)


class Deform(Warp):
    """A deformable convolution of image 2's features along the flow (section 3.2, AsymOFMM)."""

    layers = "deform"

    def make_layers(self, network: PyramidNetwork) -> None:
        """Make the deformable convolutions, one per level."""
        network.make_deforms(MATCHED_LEVELS)

    def bring(
        self,
        F: Operators,
        network: PyramidNetwork,
        level: int,
        features1: Array,
        features2: Array,
        flow: Array,
    ) -> tuple[Array, Array]:
        """Bring image 2's features to image 1; see `Warp.bring`."""
        return features1, network.deform(F, level, features2, flow)


def make_level_convs(network: PyramidNetwork, name: str, in_channels: dict[int, int]) -> None:
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


WAYS = {
    "warp": Warp(),
    "sym-conv": SymmetricConv(),
    "asym-conv": AsymmetricConv(),
    "deform": Deform(),
}
