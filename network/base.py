"""What the two networks have in common: pyramid, dense blocks, context network, flow heads.

Legacy checkpoints name a layer by the order in which it was made, group by group (the whole
pyramid, then all dense blocks, ...), so the order of the `make_*` calls is part of the format.
"""

import warnings
from collections.abc import Sequence
from typing import Any

from mxnet.gluon import nn

from maskflownet.config import NetworkConfig
from maskflownet.config.layout import (
    CONTEXT_LAYERS,
    DENSE_CHANNELS,
    FLOW_UNIT,
    LEVELS,
    PYRAMID_CHANNELS,
    STRIDES,
)
from maskflownet.network.arrays import Array, Levels, Operators
from maskflownet.network.dialects import DIALECTS
from maskflownet.network.layers import DeformableConv, conv, head, up_conv, warp
from maskflownet.network.plain_operators import PlainSteps


class PyramidNetwork(nn.HybridBlock):
    """Base of the coarse-to-fine flow networks.

    Parameters
    ----------
    config : config.NetworkConfig
        `flow_multiplier`, `deform_bias`, `upfeat_ch` and `dialect` are used.
    steps : network.plain_operators.PlainSteps, optional
        How the heavy steps are computed.

    Attributes
    ----------
    mask_levels : tuple of int
        The levels that have a mask head.
    max_displacement : int
        Of the cost volumes, in pixels of the level.
    dialect : network.dialects.Original
        The steps in which the original and MMFlow differ.
    flow_multiplier : float
        See `config.NetworkConfig`; `scale` is that many times 20 pixels.
    finest_level : int
        Where decoding ends: at level 2, or before it while the coarse levels alone are trained.
    tells_masks : bool
        Whether the outputs are all levels' masks before their sigmoid, coarse to fine, in place of
        the finest one: what masks that are told what is occluded are trained by.
    """

    mask_levels: tuple[int, ...] = ()
    max_displacement = 0
    finest_level = LEVELS[-1]
    tells_masks = False

    def __init__(self, config: NetworkConfig, steps: PlainSteps | None = None, **kwargs: Any):
        super().__init__(**kwargs)
        self.steps = steps or PlainSteps()
        self.dialect = DIALECTS[config.dialect]
        self.flow_multiplier = config.flow_multiplier
        self.scale = FLOW_UNIT * config.flow_multiplier
        self._deform_bias = config.deform_bias
        self.upfeat_channels = dict(zip((5, 4, 3, 2), config.upfeat_ch, strict=True))

    # Making the layers. Each is an attribute, so that its structured name is `conv1a.0.weight`.

    def make_pyramid(self, in_channels: int, letters: str) -> None:
        """Make three convolutions per level, the first of stride 2: `conv1a`, `conv1b`, ..."""
        for level, channels in PYRAMID_CHANNELS.items():
            for letter in letters:
                name = f"conv{level}{letter}"
                stride = 2 if letter == letters[0] else 1
                setattr(self, name, conv(name, in_channels, channels, stride=stride))
                in_channels = channels

    def make_dense_blocks(self, in_channels: dict[int, int]) -> None:
        """Make five convolutions per decoder level, whose input grows by each one's output."""
        for level in LEVELS:
            width = in_channels[level]
            for index, channels in enumerate(DENSE_CHANNELS):
                name = f"conv{level}_{index}"
                setattr(self, name, conv(name, width, channels))
                width += channels

    def make_context(self, in_channels: int) -> None:
        """Make the chain of dilated convolutions that refines the finest flow."""
        for index, (channels, dilation) in enumerate(CONTEXT_LAYERS, start=1):
            name = f"dc_conv{index}"
            setattr(self, name, conv(name, in_channels, channels, dilation=dilation))
            in_channels = channels
        self.dc_conv7 = head("dc_conv7", in_channels, 2)

    def make_upfeats(self, dense_width: dict[int, int]) -> None:
        """Make the layers that carry features from the level above to levels 5 to 2."""
        for level in LEVELS[1:]:
            name = f"upfeat{level}"
            layer = up_conv(name, dense_width[level + 1], self.upfeat_channels[level])
            setattr(self, name, layer)

    def make_heads(
        self, prefix: str, levels: Sequence[int], dense_width: dict[int, int], channels: int
    ) -> None:
        """Make the plain convolutions that read a flow or a mask off a dense block's output."""
        for level in levels:
            name = f"{prefix}{level}"
            setattr(self, name, head(name, dense_width[level], channels))

    def make_deforms(self, levels: Sequence[int]) -> None:
        """Make the deformable convolutions that bring image 2's features to image 1."""
        for level in levels:
            name = f"deform{level}"
            layer = DeformableConv(PYRAMID_CHANNELS[level], use_bias=self._deform_bias, prefix=name)
            setattr(self, name, layer)

    # The steps of the forward pass.

    @property
    def finer_levels(self) -> tuple[int, ...]:
        """The levels below the coarsest that are decoded, coarse to fine."""
        return tuple(level for level in LEVELS[1:] if level >= self.finest_level)

    def forward(self, *images: Array) -> Any:
        """Run `hybrid_forward` on two images, arrays or symbols."""
        self.steps.prepare(self)
        if self.finest_level == LEVELS[-1] or self._cached_op is not None:
            return super().forward(*images)
        with warnings.catch_warnings():  # while it is traced Gluon names all that finer levels have
            warnings.filterwarnings("ignore", message=".*is not used by any computation")
            return super().forward(*images)

    def layer(self, name: str, level: int) -> Any:
        """Return the layer of that name at that level."""
        return getattr(self, f"{name}{level}")

    def pyramid(self, image: Array, letters: str) -> Levels:
        """Return {level: features}: (N, C_level, H / 2**level, W / 2**level) for levels 2 to 6."""
        features = {}
        x = image
        for level in PYRAMID_CHANNELS:
            for letter in letters:
                x = getattr(self, f"conv{level}{letter}")(x)
            features[level] = x
        return {level: features[level] for level in LEVELS}

    def dense_block(self, F: Operators, level: int, x: Array) -> Array:
        """Run a level's five convolutions, each one's output put in front of its input."""
        for index in range(len(DENSE_CHANNELS)):
            x = F.concat(getattr(self, f"conv{level}_{index}")(x), x, dim=1)
        return x

    def context(self, x: Array) -> Array:
        """Return the correction (N, 2, H / 4, W / 4) that the context network makes at level 2."""
        for index in range(1, len(CONTEXT_LAYERS) + 1):
            x = getattr(self, f"dc_conv{index}")(x)
        return self.dc_conv7(x)

    def deform(self, F: Operators, level: int, features: Array, flow_yx: Array) -> Array:
        """Bring `features` of image 2 to image 1 by a deformable convolution along the flow.

        The flow is in units of `scale` pixels of the image; the offset in pixels of this level.
        """
        offset = flow_yx * (self.scale / STRIDES[level])
        return self.dialect.deform(F, self.steps, self.layer("deform", level), features, offset)

    def cost_volume(self, F: Operators, level: int, features1: Array, features2: Array) -> Array:
        """Return the activated cost volume of two feature maps of a level."""
        channels = PYRAMID_CHANNELS[level]
        maps = (features1, features2)
        return self.dialect.cost_volume(F, self.steps, *maps, self.max_displacement, channels)

    def warp_features(self, F: Operators, level: int, features: Array, flow_yx: Array) -> Array:
        """Bring `features` of image 2 to image 1 bilinearly along the flow; zeros from outside.

        The flow is in units of `scale` pixels of the image.
        """
        return warp(F, features, flow_yx * (self.scale / STRIDES[level]))

    def predictions(self, flows: Levels) -> list[Array]:
        """Return the flows of all decoded levels, coarse to fine, in pixels of the image."""
        return [flow * self.scale for flow in flows.values()]

    def masks(self, F: Operators, mask: Array | None) -> list[Array]:
        """Return a list of the occlusion mask (N, 1, H / 4, W / 4), given it before its sigmoid.

        It is empty for None, that is, without a mask.
        """
        return [] if mask is None else [F.sigmoid(mask)]
