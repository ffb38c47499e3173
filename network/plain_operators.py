"""The heavy steps of both networks on MXNet's own operators, as the paper has them."""

from typing import Any, NamedTuple

from maskflownet.network import layers
from maskflownet.network.arrays import Array, Levels, Operators


class LevelOutput(NamedTuple):
    """What a decoder level reads off its dense block.

    Attributes
    ----------
    flow : Any
        (N, 2, h, w), what is added to the flow so far; at level 2 the context network's share too.
    mask : Any
        (N, 1, h, w) before its sigmoid, or None where the level has no mask head.
    feat : Any
        (N, upfeat channels, 2h, 2w), the features that the next finer level gets; None at level 2.
    """

    flow: Any
    mask: Any
    feat: Any


class PlainSteps:
    """The steps that have faster variants (`network.fast_operators`), which do the same."""

    def prepare(self, network: Any) -> None:
        """Get ready for a forward pass of that network."""

    def pyramids(
        self, F: Operators, network: Any, image1: Array, image2: Array, letters: str
    ) -> tuple[Levels, Levels]:
        """Return both images' features, {level: (N, C_level, h, w)} each, for levels 2 to 6.

        The letters name the layers of a level; see `network.base.PyramidNetwork.make_pyramid`.
        """
        return network.pyramid(image1, letters), network.pyramid(image2, letters)

    def upsample(self, F: Operators, x: Array, factor: int) -> Array:
        """Return `x` enlarged; see `network.layers.upsample`."""
        return layers.upsample(F, x, factor)

    def cost_volume(
        self, F: Operators, features1: Array, features2: Array, max_displacement: int
    ) -> Array:
        """Return the activated cost volume; see `network.layers.cost_volume`."""
        return layers.cost_volume(F, features1, features2, max_displacement)

    def deform(self, F: Operators, layer: Any, features: Array, flow_yx: Array) -> Array:
        """Run a `DeformableConv` with its flow (N, 2, h, w) in pixels of the level."""
        return layer(features, flow_yx)

    def warp(
        self, F: Operators, network: Any, image: Array, flow_yx: Array, repeat_border: bool = False
    ) -> Array:
        """Return what `image` shows where a network's flow points; see `network.layers.warp`."""
        del network
        return layers.warp(F, image, flow_yx, repeat_border)

    def trade_off(
        self,
        F: Operators,
        matched: Array,
        mask: Array | None,
        term: Array | None,
        activated: bool,
    ) -> Array:
        """Dim `matched` (N, C, h, w) by the mask (N, 1, h, w), and add the trade-off term.

        The mask is given before its sigmoid; LeakyReLU follows (the paper's equation 4). Variants
        of the network lack one of these or another.
        """
        if mask is not None:
            matched = F.broadcast_mul(matched, F.sigmoid(mask))
        if term is not None:
            matched = matched + term
        return layers.leaky(F, matched) if activated else matched

    def decode_level(
        self, F: Operators, network: Any, level: int, maps: list[Array]
    ) -> LevelOutput:
        """Run a level's dense block on the concatenated maps and read its outputs off it.

        Parameters
        ----------
        network : network.base.PyramidNetwork
        level : int
        maps : list of (N, C_i, h, w)

        Returns
        -------
        LevelOutput
        """
        x = maps[0] if len(maps) == 1 else F.concat(*maps, dim=1)
        x = network.dense_block(F, level, x)
        flow = network.layer("pred_flow", level)(x)
        mask = network.layer("pred_mask", level)(x) if level in network.mask_levels else None
        if level == 2:
            return LevelOutput(flow + network.context(x), mask, None)
        return LevelOutput(flow, mask, network.layer("upfeat", level - 1)(x))
