"""Both networks once more, in PyTorch, to train them there and to measure the project beside.

The graph is that of `network/`, in the operators that PyTorch has, and takes the same parameters by
the same (structured) names. Where PyTorch allows a faster way than the plain one, it goes that way:
a deformable convolution is an ordinary one and one warp, a cost volume has its own gradients. Under
torch.autocast only convolutions are rounded; flows, masks, warps, cost volumes and what reads flows
and masks off features stay float32.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskflownet.config.layout import (
    CONTEXT_LAYERS,
    DENSE_CHANNELS,
    FLOW_UNIT,
    LEAKY_SLOPE,
    LEVELS,
    PYRAMID_CHANNELS,
    STRIDES,
    dense_width,
)
from maskflownet.torch_training.cost_volume import CostVolume

UPFEAT_CHANNELS = 16
OUTSIDE = -9  # a place from which nothing of an image is seen
MULTIPLE = 8  # of channels that the tensor cores of a GPU take in

Features = dict[int, Tensor]


# The steps.


def leaky(x: Tensor) -> Tensor:
    """Return LeakyReLU(x)."""
    return F.leaky_relu(x, LEAKY_SLOPE)


def upsample(x: Tensor, factor: int) -> Tensor:
    """Return x (N, C, H, W) enlarged, (N, C, H * factor, W * factor).

    As `network.layers.upsample`: sample k comes to lie on sample k * factor, the last one repeats.
    """

    def weights(size):  # (size * factor, size)
        places = (torch.arange(size * factor, device=x.device) / factor).clamp(max=size - 1)
        distances = places[:, None] - torch.arange(size, device=x.device)
        return (1 - distances.abs()).clamp(min=0)

    with torch.autocast(x.device.type, enabled=False):  # products: their gradients add nothing up
        return weights(x.shape[2]) @ x.float() @ weights(x.shape[3]).T


def sample(x: Tensor, places_y: Tensor, places_x: Tensor) -> Tensor:
    """Return x (N, C, H, W) at places (N, h, w) in its pixels, bilinearly; zeros from outside."""
    height, width = x.shape[2:]
    grid = torch.stack(((2 * places_x + 1) / width - 1, (2 * places_y + 1) / height - 1), dim=3)
    return F.grid_sample(x, grid, align_corners=False)


def places(flow_yx: Tensor) -> tuple[Tensor, Tensor]:
    """Return the y and the x, (N, H, W) each, that each pixel's flow (N, 2, H, W) leads to."""
    rows, columns = (torch.arange(size, device=flow_yx.device) for size in flow_yx.shape[2:])
    return rows[:, None] + flow_yx[:, 0], columns + flow_yx[:, 1]


def cost_volume(features1: Tensor, features2: Tensor, reach: int) -> Tensor:
    """Return the activated cost volume (N, D, H, W) of two maps (N, C, H, W)."""
    maps = [one.float().permute(0, 2, 3, 1).contiguous() for one in (features1, features2)]
    return leaky(CostVolume.apply(*maps, reach).permute(0, 3, 1, 2))


class DeformableConv(nn.Module):
    """A 3x3 deformable convolution whose nine taps share one offset, the flow.

    A convolution, one pixel beyond the border too, and a warp: what MXNet's operator does but for
    taps within a pixel of the border, where MXNet repeats the last pixel or sees nothing. `exact`
    follows it there in nine warps, which take longer.
    """

    exact = False

    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels, channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, flow_yx: Tensor) -> Tensor:
        """Return (N, C, H, W), given such features and their flow (N, 2, H, W) in pixels."""
        y, x_places = places(flow_yx)
        if not self.exact:
            convolved = F.conv2d(x, self.weight, padding=2).float().contiguous()
            return sample(convolved, y + 1, x_places + 1) + self.bias[:, None, None]
        total, x = self.bias[:, None, None], x.float().contiguous()
        for tap in range(9):
            tap_y = _as_mxnet(y + tap // 3 - 1, x.shape[2])
            tap_x = _as_mxnet(x_places + tap % 3 - 1, x.shape[3])
            weight = self.weight[:, :, tap // 3, tap % 3, None, None]
            total = total + F.conv2d(sample(x, tap_y, tap_x), weight)
        return total


def _as_mxnet(place, size):
    """Return places along an axis as MXNet's deformable convolution takes them."""
    outside = (place < 0) | (place >= size)
    return torch.where(outside, torch.full_like(place, OUTSIDE), place.clamp(max=size - 1))


# The layers, which take in more channels than they have weights for: the rest are zeros.


class Conv(nn.Conv2d):
    """A convolution."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C_out, H', W')."""
        return self._conv_forward(x, _widened(self.weight, x, 1), self.bias)


class UpConv(nn.ConvTranspose2d):
    """A transposed convolution, 4x4 with stride 2."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        """Return (N, C_out, 2 H, 2 W)."""
        return F.conv_transpose2d(x, _widened(self.weight, x, 0), self.bias, 2, 1)


class Head(Conv):
    """A plain 3x3 convolution that reads a flow or a mask off features; always in float32."""

    def forward(self, x: Tensor) -> Tensor:
        """Return (N, C_out, H, W), float32."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def _widened(weight, x, axis):
    """Return weights with zeros for channels of x beyond their own."""
    more = x.shape[1] - weight.shape[axis]
    return F.pad(weight, (0, 0) * 2 + (0, 0) * (1 - axis) + (0, more)) if more else weight


# The networks.


def conv(in_channels: int, channels: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a 3x3 convolution with LeakyReLU."""
    layer = Conv(in_channels, channels, 3, stride, padding=dilation, dilation=dilation)
    return nn.Sequential(layer, nn.LeakyReLU(LEAKY_SLOPE, inplace=True))


def head(in_channels: int, channels: int) -> Head:
    """Return what reads a flow or a mask off features."""
    return Head(in_channels, channels, 3, padding=1)


class PyramidNetwork(nn.Module):
    """What both networks have in common; see `network.base.PyramidNetwork`."""

    def make_pyramid(self, in_channels: int, letters: str) -> None:
        """Make three convolutions per level."""
        for level, channels in PYRAMID_CHANNELS.items():
            for letter in letters:
                stride = 2 if letter == letters[0] else 1
                setattr(self, f"conv{level}{letter}", conv(in_channels, channels, stride))
                in_channels = channels

    def make_decoder(self, in_channels: dict[int, int]) -> None:
        """Make the dense blocks, what reads them, and the context network."""
        width = dense_width(in_channels)
        for level in LEVELS:
            before = in_channels[level]
            for index, channels in enumerate(DENSE_CHANNELS):
                setattr(self, f"conv{level}_{index}", conv(before, channels))
                before += channels
            setattr(self, f"pred_flow{level}", head(width[level], 2))
            if level > 2:
                up = UpConv(width[level], UPFEAT_CHANNELS, 4, 2, 1)
                up_conv = nn.Sequential(up, nn.LeakyReLU(LEAKY_SLOPE, inplace=True))
                setattr(self, f"upfeat{level - 1}", up_conv)
        before = width[2]
        for index, (channels, dilation) in enumerate(CONTEXT_LAYERS, start=1):
            setattr(self, f"dc_conv{index}", conv(before, channels, dilation=dilation))
            before = channels
        self.dc_conv7 = head(before, 2)

    def layer(self, name: str, level: int) -> Any:
        """Return the layer of that name at that level."""
        return getattr(self, f"{name}{level}")

    def pyramids(self, image1: Tensor, image2: Tensor, letters: str) -> tuple[Features, Features]:
        """Return both images' features, {level: (N, C, h, w)} each; as one batch."""
        x = torch.cat((image1, image2))
        both = {}
        for level in PYRAMID_CHANNELS:
            for letter in letters:
                x = getattr(self, f"conv{level}{letter}")(x)
            both[level] = x.chunk(2)
        first, second = ({level: both[level][index] for level in both} for index in (0, 1))
        return first, second

    def estimate(self, image1: Tensor, image2: Tensor) -> tuple[Features, Features]:
        """Return {level: flow}, (y, x) in units of 20 pixels, and {level: mask before its sigmoid}.

        Images are as for `forward`.
        """
        raise NotImplementedError

    def forward(self, image1: Tensor, image2: Tensor) -> tuple[list[Tensor], Tensor]:
        """Return the flows of levels 6 to 2 in pixels, (y, x) order, and the mask of level 2.

        Images are (N, 3, H, W), centred; H and W multiples of 64.
        """
        flows, masks = self.estimate(image1, image2)
        return [flows[level] * FLOW_UNIT for level in LEVELS], torch.sigmoid(masks[2])

    def dense_block(self, level: int, maps: list[Tensor]) -> Tensor:
        """Run a level's five convolutions, each one's output put in front of its input."""
        kind, device = maps[0].dtype, maps[0].device.type
        if torch.is_autocast_enabled(device):
            kind = torch.get_autocast_dtype(device)
            more = -sum(one.shape[1] for one in maps) % MULTIPLE
            maps = [*maps, maps[0].new_zeros(len(maps[0]), more, *maps[0].shape[2:])]
        x = torch.cat([one.to(kind) for one in maps], dim=1)
        for index in range(len(DENSE_CHANNELS)):
            x = torch.cat((getattr(self, f"conv{level}_{index}")(x), x), dim=1)
        return x

    def step(self, level: int, x: Tensor) -> Tensor:
        """Return what is added to the flow at a level, given its dense block's output."""
        flow = self.layer("pred_flow", level)(x)
        if level > 2:
            return flow
        for index in range(1, len(CONTEXT_LAYERS) + 1):
            x = self.layer("dc_conv", index)(x)
        return flow + self.dc_conv7(x)

    def deform(self, level: int, features: Tensor, flow_yx: Tensor) -> Tensor:
        """Bring features of image 2 to image 1 along the flow."""
        return self.layer("deform", level)(features, flow_yx * (FLOW_UNIT / STRIDES[level]))


class MaskFlownet_S(PyramidNetwork):
    """The first stage; see `network.maskflownet_s`."""

    def __init__(self):
        super().__init__()
        self.make_pyramid(3, "abc")
        widths = {level: 81 + PYRAMID_CHANNELS[level] + UPFEAT_CHANNELS + 2 for level in LEVELS}
        widths[6] = 81
        self.make_decoder(widths)
        for level in LEVELS[:-1]:
            setattr(self, f"pred_mask{level}", head(dense_width(widths)[level], 1))
        for level in LEVELS[1:]:
            channels = PYRAMID_CHANNELS[level]
            setattr(self, f"deform{level}", DeformableConv(channels))
            setattr(
                self, f"conv{level}f", nn.Sequential(Conv(UPFEAT_CHANNELS, channels, 3, padding=1))
            )

    def decode(self, features1: Features, features2: Features) -> tuple[Features, Features]:
        """Return {level: flow}, (y, x) in units of 20 pixels, and {level: mask before its sigmoid}.

        The mask of level 2 is that of level 3, enlarged.
        """
        x = self.dense_block(6, [cost_volume(features1[6], features2[6], 4)])
        flows, masks = {6: self.step(6, x)}, {6: self.pred_mask6(x)}
        for level in LEVELS[1:]:
            feat = self.layer("upfeat", level)(x)
            flow, mask = upsample(flows[level + 1], 2), upsample(masks[level + 1], 2)
            matched = self.deform(level, features2[level], flow) * torch.sigmoid(mask)
            matched = leaky(matched + getattr(self, f"conv{level}f")(feat))
            volume = cost_volume(features1[level], matched, 4)
            x = self.dense_block(level, [volume, features1[level], feat, flow])
            flows[level] = flow + self.step(level, x)
            masks[level] = self.layer("pred_mask", level)(x) if level > 2 else mask
        return flows, masks

    def estimate(self, image1: Tensor, image2: Tensor) -> tuple[Features, Features]:
        """Return flows and masks; see the base class."""
        return self.decode(*self.pyramids(image1, image2, "abc"))


class MaskFlownet(PyramidNetwork):
    """The cascade; see `network.maskflownet`. Its first stage is frozen."""

    def __init__(self):
        super().__init__()
        self.MaskFlownet_S = MaskFlownet_S().requires_grad_(False)
        self.make_pyramid(4, "xyz")
        widths = {level: PYRAMID_CHANNELS[level] + UPFEAT_CHANNELS + 54 for level in LEVELS}
        widths[6] = 52
        self.make_decoder(widths)
        for level in LEVELS:
            setattr(self, f"deform{level}", DeformableConv(PYRAMID_CHANNELS[level]))

    def second_images(
        self, image1: Tensor, image2: Tensor, flow: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return what the second pyramid sees, (N, 4, H, W) each."""
        warped = sample(image2, *places(upsample(flow, 4) * FLOW_UNIT))
        channel = torch.sigmoid(upsample(mask, 4)) - 0.5
        nothing = torch.zeros_like(channel)
        return torch.cat((image1, nothing), dim=1), torch.cat((warped, channel), dim=1)

    def estimate(self, image1: Tensor, image2: Tensor) -> tuple[Features, Features]:
        """Return the flows, and the first stage's masks; see the base class."""
        features1, features2 = self.MaskFlownet_S.pyramids(image1, image2, "abc")
        first, masks = self.MaskFlownet_S.decode(features1, features2)
        # Parity: as the released cascades; see `network.dialects`.
        second = {**features2, 2: features1[2], 3: features1[3]}
        images = self.second_images(image1, image2, first[2], masks[2])
        features3, features4 = self.pyramids(*images, "xyz")
        flows = {}
        for level in LEVELS:
            flow = first[6] if level == 6 else upsample(flows[level + 1], 2)
            deformed = leaky(self.deform(level, second[level], flow))
            volumes = [
                cost_volume(features1[level], deformed, 2),
                cost_volume(features3[level], features4[level], 2),
            ]
            if level == 6:
                x = self.dense_block(6, [*volumes, flow])
            else:
                feat = self.layer("upfeat", level)(x)
                maps = [features1[level], feat, *volumes, flow, first[level]]
                x = self.dense_block(level, maps)
            flows[level] = flow + self.step(level, x)
        return flows, masks
