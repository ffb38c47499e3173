"""MaskFlownet_S: the first stage (Zhao et al., CVPR 2020, section 3, figure 3)."""

from typing import Any, NamedTuple

from maskflownet.config import NetworkConfig
from maskflownet.config.layout import LEVELS, PYRAMID_CHANNELS, dense_width
from maskflownet.config.matching import MATCHINGS
from maskflownet.network.arrays import Array, Levels, Operators
from maskflownet.network.base import PyramidNetwork
from maskflownet.network.matching import WAYS, make_level_convs

MAX_DISPLACEMENT = 4
COST_CHANNELS = (2 * MAX_DISPLACEMENT + 1) ** 2


class FirstStage(NamedTuple):
    """What the cascade takes from its first stage.

    Attributes
    ----------
    features1 : dict
        {level: (N, C, H / 2**level, W / 2**level)}, image 1's pyramid.
    features2 : dict
        The second features that the cascade matches with them.
    flows : dict
        {level: (N, 2, ...)}, in units of the network's `scale`; in (y, x) order, but as the
        dialect hands it over.
    mask : Any
        (N, 1, H / 4, W / 4), the occlusion mask before its sigmoid; None without a mask.
    warped : Any
        (N, 3, H, W), image 2 warped to image 1.
    """

    features1: dict
    features2: dict
    flows: dict
    mask: Any
    warped: Any


class MaskFlownet_S(PyramidNetwork):
    """Optical flow and, learned without supervision, an occlusion mask.

    Inputs
    ------
    image1, image2 : (N, 3, H, W)
        In [0, 1] less the pair's mean per channel; H and W multiples of 64.

    Outputs
    -------
    predictions : list of (N, 2, H / s, W / s) for s = 64, 32, 16, 8, 4
        Flow in pixels of the input, (y, x) order.
    masks : list of one (N, 1, H / 4, W / 4)
        The occlusion mask: near 1 where image 1 is visible in image 2, near 0 where occluded.
        Empty for a network without a mask (`config.has_mask`).
    """

    max_displacement = MAX_DISPLACEMENT

    def __init__(self, config: NetworkConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.matching = MATCHINGS[config.matching]
        self.way = WAYS[self.matching.way]
        if self.matching.mask:
            self.mask_levels = LEVELS[:-1]
        in_channels = {6: COST_CHANNELS}
        for level in LEVELS[1:]:
            upfeat = self.upfeat_channels[level]
            in_channels[level] = COST_CHANNELS + PYRAMID_CHANNELS[level] + upfeat + 2
        width = dense_width(in_channels)
        with self.name_scope():
            self.make_pyramid(3, "abc")
            self.make_dense_blocks(in_channels)
            self.make_context(width[2])
            self.make_upfeats(width)
            self.make_heads("pred_flow", LEVELS, width, channels=2)
            self.make_heads("pred_mask", self.mask_levels, width, channels=1)
            self.way.make_layers(self)
            if self.matching.tradeoff:
                make_level_convs(self, "conv{}f", self.upfeat_channels)

    def decode(
        self, F: Operators, features1: Levels, features2: Levels
    ) -> tuple[Levels, Levels, Array | None]:
        """Estimate flow and mask from coarse to fine.

        Parameters
        ----------
        features1, features2 : dict
            {level: (N, C, h, w)}, the images' pyramids; h and w are those of image / 2**level.

        Returns
        -------
        flows : dict
            {level: (N, 2, ...)} for levels 6 to 2, (y, x) order, in units of `scale`.
        masks : dict
            {level: (N, 1, ...)} for levels 6 to 3, before their sigmoid.
        mask : (N, 1, H / 4, W / 4)
            The finest mask before its sigmoid; None for a network without a mask.
        """
        matching, mask_up = self.matching, None
        volume = self.cost_volume(F, 6, features1[6], features2[6])  # (N, 81, h, w)
        out = self.steps.decode_level(F, self, 6, [volume])
        flows, masks = {6: out.flow}, {6: out.mask}  # (N, 2, h, w), (N, 1, h, w)
        for level in self.finer_levels:
            feat = out.feat  # (N, upfeat channels, h, w)
            flow_up = self.steps.upsample(F, flows[level + 1], 2)  # (N, 2, h, w)
            # Equation 4: image 2's features are brought to image 1; those that are occluded there
            # are faded out, and the trade-off term speaks where the mask is silent.
            compared, matched = self.way.bring(  # (N, C, h, w) each
                F, self, level, features1[level], features2[level], flow_up
            )
            if matching.mask:
                mask_up = self.steps.upsample(F, out.mask, 2)  # (N, 1, h, w), before its sigmoid
            term = getattr(self, f"conv{level}f")(feat) if matching.tradeoff else None
            matched = self.steps.trade_off(F, matched, mask_up, term, matching.activation)
            volume = self.cost_volume(F, level, compared, matched)  # (N, 81, h, w)
            maps = [volume, features1[level], feat, flow_up]
            out = self.steps.decode_level(F, self, level, maps)
            flows[level], masks[level] = flow_up + out.flow, out.mask
        # The finest level has no mask head: its mask is the one of level 3, enlarged.
        masks = {level: mask for level, mask in masks.items() if mask is not None}
        return flows, masks, mask_up

    def first_stage(self, F: Operators, image1: Array, image2: Array) -> FirstStage:
        """Run the network as the first stage of the cascade and return a `FirstStage`."""
        features1, features2 = self.steps.pyramids(F, self, image1, image2, "abc")
        flows, _, mask = self.decode(F, features1, features2)
        features2 = self.dialect.second_features(features1, features2)
        flow = self.steps.upsample(F, flows[2], 4) * self.scale
        warped = self.dialect.warp_image(F, self, image2, flow)
        flows = {level: self.dialect.handed_flow(F, flow) for level, flow in flows.items()}
        return FirstStage(features1, features2, flows, mask, warped)

    def hybrid_forward(
        self, F: Operators, image1: Array, image2: Array
    ) -> tuple[list[Array], list[Array]]:
        """Return (predictions, masks)."""
        features = self.steps.pyramids(F, self, image1, image2, "abc")
        flows, masks, mask = self.decode(F, *features)
        told = list(masks.values()) if self.tells_masks else self.masks(F, mask)
        return self.predictions(flows), told
