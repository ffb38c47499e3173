"""The steps in which MMFlow's networks differ from the original's; `config.NetworkConfig.dialect`.

The arrays of both have the same names and shapes, but weights trained in one dialect are of no use
in the other. A dialect has no state; `DIALECTS` holds one of each. docs/checkpoints.md says how
much each difference matters.
"""

from typing import Any

from maskflownet.network.arrays import Array, Levels, Operators
from maskflownet.network.layers import flip_axes
from maskflownet.network.plain_operators import PlainSteps

INSIDE = 0.9999  # what a bilinear footprint of ones sums up to where all of it is inside


class Original:
    """The original's steps."""

    name = "original"
    half_pixel = False  # whether resizing keeps the corners of the image in place, not of pixels
    color_order = None  # of all images; None: of each dataset's own

    def deform(
        self, F: Operators, steps: PlainSteps, layer: Any, features: Array, offset: Array
    ) -> Array:
        """Run a `DeformableConv` with its flow in pixels of the level; see `PlainSteps.deform`."""
        return steps.deform(F, layer, features, offset)

    def cost_volume(
        self,
        F: Operators,
        steps: PlainSteps,
        features1: Array,
        features2: Array,
        max_displacement: int,
        channels: int,
    ) -> Array:
        """Return the cost volume of features of so many channels; see `PlainSteps.cost_volume`."""
        del channels
        return steps.cost_volume(F, features1, features2, max_displacement)

    def warp_image(self, F: Operators, network: Any, image: Array, flow_yx: Array) -> Array:
        """Return image 2 warped to image 1 for the cascade; see `network.layers.warp`."""
        return network.steps.warp(F, network, image, flow_yx)

    def second_features(self, features1: Levels, features2: Levels) -> Levels:
        """Return {level: features} that the cascade deforms, given both images' of stage one."""
        # Parity: the released cascades were trained with image 1's features at levels 2 and 3.
        return {**features2, 2: features1[2], 3: features1[3]}

    def mask_channel(self, F: Operators, mask: Array) -> Array:
        """Return the cascade's fourth channel, given the mask (N, 1, H, W) before its sigmoid."""
        return F.sigmoid(mask) - 0.5

    def handed_flow(self, F: Operators, flow_yx: Array) -> Array:
        """Return the first stage's flow (N, 2, h, w) as the cascade's decoder takes it."""
        del F
        return flow_yx


class MMFlow:
    """MMFlow's steps, as of its version 0.5.2."""

    name = "mmflow"
    half_pixel = True
    color_order = "BGR"

    def deform(
        self, F: Operators, steps: PlainSteps, layer: Any, features: Array, offset: Array
    ) -> Array:
        """Run a `DeformableConv` on features with a border of zeros.

        MXNet's operator takes a sample that is above or left of the features, be it by a fraction,
        for zero, and repeats the last row and column for a pixel. Here a sample is interpolated
        with the zeros outside, on all sides.
        """
        border = {"mode": "constant", "constant_value": 0, "pad_width": (0, 0, 0, 0, 1, 1, 1, 1)}
        deformed = steps.deform(F, layer, F.pad(features, **border), F.pad(offset, **border))
        return F.slice(deformed, begin=(None, None, 1, 1), end=(None, None, -1, -1))

    def cost_volume(
        self,
        F: Operators,
        steps: PlainSteps,
        features1: Array,
        features2: Array,
        max_displacement: int,
        channels: int,
    ) -> Array:
        """Return the activated cost volume of sums over channels, where the original has means."""
        volume = steps.cost_volume(F, features1, features2, max_displacement)
        return volume * channels  # the activation is homogeneous

    def warp_image(self, F: Operators, network: Any, image: Array, flow_yx: Array) -> Array:
        """Return image 2 warped to image 1: zero wherever a part of the footprint is outside."""
        ones = F.ones_like(F.slice_axis(image, axis=1, begin=0, end=1))
        is_inside = network.steps.warp(F, network, ones, flow_yx) > INSIDE
        return F.broadcast_mul(network.steps.warp(F, network, image, flow_yx), is_inside)

    def second_features(self, features1: Levels, features2: Levels) -> Levels:
        """Return {level: features} that the cascade deforms: image 2's at all levels."""
        del features1
        return features2

    def mask_channel(self, F: Operators, mask: Array) -> Array:
        """Return the cascade's fourth channel: the mask without a sigmoid."""
        del F
        return mask

    def handed_flow(self, F: Operators, flow_yx: Array) -> Array:
        """Return the first stage's flow as the cascade's decoder takes it: (x, y) for (y, x)."""
        return flip_axes(F, flow_yx)


DIALECTS = {dialect.name: dialect for dialect in (Original(), MMFlow())}
