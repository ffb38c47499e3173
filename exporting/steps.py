"""The heavy steps of both networks in ONNX: the third kind beside the plain and the fast ones.

The parameters are those of the plain graph, arranged as suits the runtimes: dense blocks work on
multiples of 16 channels, which their layouts hold in blocks, and what reads the same map is one
convolution.
"""

import numpy as np

from maskflownet.exporting.cost_volume import cost_volume
from maskflownet.exporting.deformable import tied_deformable
from maskflownet.exporting.graph import Value
from maskflownet.exporting.layers import array_of, joint_heads
from maskflownet.network.layers import leaky
from maskflownet.network.plain_operators import LevelOutput, PlainSteps

BLOCK = 16  # channels


class OnnxSteps(PlainSteps):
    """See `network.plain_operators.PlainSteps`, which says what each step does."""

    def upsample(self, F, x, factor):
        """Enlarge; the triangle of `network.layers.upsample` is linear interpolation."""
        del F
        return self.enlarge(x, factor, "asymmetric") if factor > 1 else x

    def enlarge(self, x, factor, mode):
        """Enlarge by interpolation, where `mode` is ONNX's name for what stays in place."""
        scales = x.graph.constant(np.array([1, 1, factor, factor], np.float32))
        name = x.graph.node(
            "Resize", x.name, "", scales, mode="linear", coordinate_transformation_mode=mode
        )
        return Value(x.graph, name, x.channels)

    def cost_volume(self, F, features1, features2, max_displacement):
        """Return the activated cost volume."""
        return leaky(F, cost_volume(F.graph, features1, features2, max_displacement))

    def deform(self, F, layer, features, flow_yx):
        """Run a `DeformableConv` whose taps share the flow as their offset."""
        block = layer.block
        weight = F.graph.constant(array_of(block.weight), layer.name + ".weight")
        deformed = tied_deformable(F.graph, features, flow_yx, weight)
        if block.bias is None:
            return deformed
        bias = F.graph.constant(array_of(block.bias).reshape(1, -1, 1, 1), layer.name + ".bias")
        return Value(F.graph, F.graph.node("Add", deformed.name, bias), deformed.channels)

    def decode_level(self, F, network, level, maps):
        """Run a level's dense block on the maps and read its outputs off it."""
        x = _filled(F, maps)
        x = network.dense_block(F, level, x)
        heads = [network.layer("pred_flow", level)]
        if level in network.mask_levels:
            heads.append(network.layer("pred_mask", level))
        if level == 2:
            flow, *mask = joint_heads(x, heads)
            return LevelOutput(flow + network.context(x), mask[0] if mask else None, None)
        upfeat = network.layer("upfeat", level - 1)
        feat, flow, *mask = joint_heads(x, heads, upfeat)
        return LevelOutput(flow, mask[0] if mask else None, feat)


def _filled(F, maps):
    """Join maps, and zeros to a multiple of `BLOCK` channels."""
    *others, last = maps
    missing = -sum(x.channels for x in maps) % BLOCK
    if missing:
        sizes = F.graph.integers(0, 0, 0, 0, 0, missing, 0, 0)
        name = F.graph.node("Pad", last.name, sizes)
        last = Value(F.graph, name, last.channels + missing)
    return F.concat(*others, last, dim=1) if others else last
