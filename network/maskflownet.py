"""MaskFlownet: the cascade of two stages (Zhao et al., CVPR 2020, section 3.4, figure 4)."""

from network.base import LEVELS, PYRAMID_CHANNELS, PyramidNetwork, dense_width
from network.layers import leaky, upsample
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
            self.MaskFlownet_S = MaskFlownet_S(config, steps=self.steps)
            self.make_pyramid(4, "xyz")
            self.make_dense_blocks(in_channels)
            self.make_context(width[2])
            self.make_upfeats(width)
            self.make_heads("pred_flow", LEVELS, width, channels=2)
            self.make_deforms(LEVELS)

    def cost_volumes(self, F, level, stage, features3, features4, flow):
        """Return the two cost volumes of a level, (N, 25, ...) each."""
        deformed = leaky(F, self.deform(F, level, stage.features2[level], flow))
        return (
            self.cost_volume(F, stage.features1[level], deformed),
            self.cost_volume(F, features3[level], features4[level]),
        )

    def cost_volume(self, F, features1, features2):
        """Return the cost volume (N, 25, ...) of two feature maps, activated."""
        return self.steps.cost_volume(F, features1, features2, MAX_DISPLACEMENT)

    def decode(self, F, stage, features3, features4):
        """Refine the first stage's flows from coarse to fine; return {level: (N, 2, ...)}."""
        flow = stage.flows[6]
        volumes = self.cost_volumes(F, 6, stage, features3, features4, flow)
        out = self.steps.decode_level(F, self, 6, [*volumes, flow])
        flows = {6: flow + out.flow}
        for level in LEVELS[1:]:
            feat = out.feat
            flow_up = upsample(F, flows[level + 1], 2)
            volumes = self.cost_volumes(F, level, stage, features3, features4, flow_up)
            maps = [stage.features1[level], feat, *volumes, flow_up, stage.flows[level]]
            out = self.steps.decode_level(F, self, level, maps)
            flows[level] = flow_up + out.flow
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
