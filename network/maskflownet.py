"""MaskFlownet: the cascade of two stages (Zhao et al., CVPR 2020, section 3.4, figure 4)."""

from network.base import LEVELS, PYRAMID_CHANNELS, PyramidNetwork, dense_width
from network.layers import cost_volume, leaky, upsample
from network.maskflownet_s import MaskFlownet_S

MAX_DISPLACEMENT = 2
COST_CHANNELS = (2 * MAX_DISPLACEMENT + 1) ** 2


class MaskFlownet(PyramidNetwork):
    """MaskFlownet_S, and a second stage that refines its flow with two cost volumes.

    One (u) compares the first stage's features again, deformed along the current flow; the other
    (v) compares new features of image 1 and of image 2 warped by the first stage's flow, with the
    occlusion mask as a fourth channel.

    Inputs
    ------
    image1, image2 : (N, 3, H, W)
        In [0, 1] less the pair's mean per channel; H and W multiples of 64.

    Outputs
    -------
    predictions : list of (N, 2, H / s, W / s) for s = 64, 32, 16, 8, 4
        Flow in pixels of the input, (y, x) order.
    masks : list of one (N, 1, H / 4, W / 4)
        What the reference returns as its mask: the first channel of the finest flow.
    occlusions : list of one (N, 1, H / 4, W / 4)
        The first stage's occlusion mask, as `MaskFlownet_S` returns it.
    """

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        in_channels = {6: 2 * COST_CHANNELS + 2}
        for level in LEVELS[1:]:
            upfeat = self.upfeat_channels[level]
            in_channels[level] = PYRAMID_CHANNELS[level] + upfeat + 2 * COST_CHANNELS + 4
        width = dense_width(in_channels)
        with self.name_scope():
            self.MaskFlownet_S = MaskFlownet_S(config)
            self.make_pyramid(4, "xyz")
            self.make_dense_blocks(in_channels)
            self.make_context(width[2])
            self.make_upfeats(width)
            self.make_heads("pred_flow", LEVELS, width, channels=2)
            self.make_deforms(LEVELS)

    def cost_volumes(self, F, level, stage, features3, features4, flow):
        """Return the two cost volumes of a level, (N, 25, ...) each."""
        deformed = leaky(F, self.deform(level, stage.features2[level], flow))
        volume_u = cost_volume(F, stage.features1[level], deformed, MAX_DISPLACEMENT)
        volume_v = cost_volume(F, features3[level], features4[level], MAX_DISPLACEMENT)
        return volume_u, volume_v

    def decode(self, F, stage, features3, features4):
        """Refine the first stage's flows from coarse to fine; return {level: (N, 2, ...)}."""
        flow = stage.flows[6]
        volumes = self.cost_volumes(F, 6, stage, features3, features4, flow)
        x = self.dense_block(F, 6, F.concat(*volumes, flow, dim=1))
        flows = {6: flow + self.pred_flow6(x)}
        for level in LEVELS[1:]:
            feat = self.layer("upfeat", level)(x)
            flow_up = upsample(F, flows[level + 1], 2)
            volumes = self.cost_volumes(F, level, stage, features3, features4, flow_up)
            x = F.concat(stage.features1[level], feat, *volumes, flow_up, stage.flows[level], dim=1)
            x = self.dense_block(F, level, x)
            flows[level] = flow_up + self.layer("pred_flow", level)(x)
        flows[2] = flows[2] + self.context(x)
        return flows

    def hybrid_forward(self, F, image1, image2):
        """Return (predictions, masks, occlusions)."""
        stage = self.MaskFlownet_S.first_stage(F, image1, image2)
        features3 = self.pyramid(stage.image1, "xyz")
        features4 = self.pyramid(stage.image2, "xyz")
        flows = self.decode(F, stage, features3, features4)
        # Parity: the reference returns this slice as the mask, though it is none.
        not_a_mask = F.slice_axis(flows[2], axis=1, begin=0, end=1)
        return self.predictions(flows), [not_a_mask], [stage.occlusion]
