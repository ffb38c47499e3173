"""MaskFlownet: the cascade of two stages (Zhao et al., CVPR 2020, section 3.4, figure 4)."""

from typing import Any

from maskflownet.config import NetworkConfig
from maskflownet.config.layout import LEVELS, PYRAMID_CHANNELS, dense_width
from maskflownet.network.arrays import Array, Levels, Operators
from maskflownet.network.base import PyramidNetwork
from maskflownet.network.layers import leaky
from maskflownet.network.maskflownet_s import FirstStage, MaskFlownet_S

MAX_DISPLACEMENT = 2
COST_CHANNELS = (2 * MAX_DISPLACEMENT + 1) ** 2


class DualPyramids:
    """What the second stage compares: the first stage's features again, and those of its own.

    One cost volume (u) is of the first stage's features, deformed along the current flow; the other
    (v) of new features of image 1 and of image 2 warped by the first stage's flow.
    """

    cost_volumes = 2

    def make_layers(self, network: "MaskFlownet") -> None:
        """Make what the network needs; within its name scope."""
        network.make_deforms(LEVELS)

    def compare(
        self,
        F: Operators,
        network: "MaskFlownet",
        level: int,
        stage: FirstStage,
        features3: Levels,
        features4: Levels,
        flow: Array,
    ) -> tuple[Array, list[Array]]:
        """Return image 1's features that the dense block sees, and a list of the cost volumes.

        Parameters
        ----------
        network : MaskFlownet
        level : int
        stage : network.maskflownet_s.FirstStage
        features3, features4 : dict
            {level: (N, C, h, w)}, the new pyramid of image 1 and of image 2 warped.
        flow : (N, 2, h, w)
            (y, x) order, in units of the network's `scale`.
        """
        features1 = stage.features1[level]
        # The one volume is (N, 25, h, w), the other too.
        deformed = leaky(F, network.deform(F, level, stage.features2[level], flow))
        volume_u = network.cost_volume(F, level, features1, deformed)
        volume_v = network.cost_volume(F, level, features3[level], features4[level])
        return features1, [volume_u, volume_v]


class SinglePyramid:
    """What the second stage compares in the paper's ablation: its own features alone (v)."""

    cost_volumes = 1

    def make_layers(self, network: "MaskFlownet") -> None:
        """Make what the network needs: nothing."""

    def compare(
        self,
        F: Operators,
        network: "MaskFlownet",
        level: int,
        stage: FirstStage,
        features3: Levels,
        features4: Levels,
        flow: Array,
    ) -> tuple[Array, list[Array]]:
        """Return what `DualPyramids.compare` does, of the new pyramid alone."""
        return features3[level], [network.cost_volume(F, level, features3[level], features4[level])]


PYRAMIDS: dict[str, SinglePyramid | DualPyramids] = {
    "single": SinglePyramid(),
    "dual": DualPyramids(),
}


class MaskFlownet(PyramidNetwork):
    """MaskFlownet_S, and a second stage that refines its flow.

    The second stage has a pyramid of its own over image 1 and over image 2 warped by the first
    stage's flow, with the occlusion mask as a fourth channel; `DualPyramids` says what it compares.
    The ablations (`config.NetworkConfig`) are without the fourth channel, or with `SinglePyramid`.

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
        The first stage's occlusion mask, as `MaskFlownet_S` returns it; empty if it has none.
    """

    max_displacement = MAX_DISPLACEMENT

    def __init__(self, config: NetworkConfig, **kwargs: Any):
        super().__init__(config, **kwargs)
        self.pyramids = PYRAMIDS[config.pyramids]
        self.mask_channel = config.mask_channel
        volumes = self.pyramids.cost_volumes * COST_CHANNELS
        in_channels = {6: volumes + 2}
        for level in LEVELS[1:]:
            upfeat = self.upfeat_channels[level]
            in_channels[level] = PYRAMID_CHANNELS[level] + upfeat + volumes + 4
        width = dense_width(in_channels)
        with self.name_scope():
            self.MaskFlownet_S = MaskFlownet_S(config, steps=self.steps)
            self.make_pyramid(4 if self.mask_channel else 3, "xyz")
            self.make_dense_blocks(in_channels)
            self.make_context(width[2])
            self.make_upfeats(width)
            self.make_heads("pred_flow", LEVELS, width, channels=2)
            self.pyramids.make_layers(self)

    def second_images(self, F: Operators, image1: Array, stage: FirstStage) -> tuple[Array, Array]:
        """Return what the new pyramid sees: image 1 and image 2 warped, (N, 3 or 4, H, W) each.

        The fourth channel of image 1 is zero; that of image 2 is the occlusion mask.
        """
        if not self.mask_channel:
            return image1, stage.warped
        mask = self.dialect.mask_channel(F, self.steps.upsample(F, stage.mask, 4))
        return (
            F.concat(image1, F.zeros_like(mask), dim=1),
            F.concat(stage.warped, mask, dim=1),
        )

    def decode(
        self, F: Operators, stage: FirstStage, features3: Levels, features4: Levels
    ) -> Levels:
        """Refine the first stage's flows from coarse to fine; return {level: (N, 2, ...)}."""
        flow = stage.flows[6]  # (N, 2, h, w)
        _, volumes = self.pyramids.compare(F, self, 6, stage, features3, features4, flow)
        out = self.steps.decode_level(F, self, 6, [*volumes, flow])
        flows = {6: flow + out.flow}  # (N, 2, h, w)
        for level in self.finer_levels:
            feat = out.feat  # (N, upfeat channels, h, w)
            flow_up = self.steps.upsample(F, flows[level + 1], 2)  # (N, 2, h, w)
            features1, volumes = self.pyramids.compare(
                F, self, level, stage, features3, features4, flow_up
            )
            maps = [features1, feat, *volumes, flow_up, stage.flows[level]]
            out = self.steps.decode_level(F, self, level, maps)
            flows[level] = flow_up + out.flow  # (N, 2, h, w)
        return flows

    def hybrid_forward(
        self, F: Operators, image1: Array, image2: Array
    ) -> tuple[list[Array], list[Array], list[Array]]:
        """Return (predictions, masks, occlusions)."""
        stage = self.MaskFlownet_S.first_stage(F, image1, image2)
        image3, image4 = self.second_images(F, image1, stage)
        features3, features4 = self.steps.pyramids(F, self, image3, image4, "xyz")
        flows = self.decode(F, stage, features3, features4)
        # Parity: the reference returns this slice as the mask, though it is none.
        not_a_mask = F.slice_axis(flows[self.finest_level], axis=1, begin=0, end=1)
        return self.predictions(flows), [not_a_mask], self.masks(F, stage.mask)
