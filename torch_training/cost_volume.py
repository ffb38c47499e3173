"""Cost volumes in PyTorch, with gradients of their own: kernels in Triton on a GPU, else sums."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

try:
    import triton
    import triton.language as tl
except ImportError:  # PyTorch for CPUs comes without it
    triton = None

BLOCK = 4096  # values that a program of Triton keeps of a map

if triton:

    @triton.jit
    def _volume_kernel(
        features1,
        features2,
        volume,
        height,
        width,
        channels,
        REACH: tl.constexpr,
        CHANNELS: tl.constexpr,
        PIXELS: tl.constexpr,
    ):
        row = tl.program_id(0)
        y = row % height
        x = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
        c = tl.arange(0, CHANNELS)
        side: tl.constexpr = 2 * REACH + 1
        is_channel = (c < channels)[None, :]
        here = (row * width + x)[:, None] * channels + c[None, :]
        own = tl.load(features1 + here, mask=(x < width)[:, None] & is_channel, other=0.0)
        for index in range(side * side):
            at_y = y + 0 * x + (index // side - REACH)
            at_x = x + (index % side - REACH)
            inside = (at_y >= 0) & (at_y < height) & (at_x >= 0) & (at_x < width)
            there = ((row - y + at_y) * width + at_x)[:, None] * channels + c[None, :]
            other = tl.load(features2 + there, mask=inside[:, None] & is_channel, other=0.0)
            mean = tl.sum(own * other, 1) / channels
            tl.store(volume + (row * width + x) * (side * side) + index, mean, mask=x < width)

    @triton.jit
    def _gradient_kernel(
        gradient,
        features,
        out,
        height,
        width,
        channels,
        SIGN: tl.constexpr,
        REACH: tl.constexpr,
        CHANNELS: tl.constexpr,
        PIXELS: tl.constexpr,
    ):
        # SIGN 1: out[p] = sum over d of gradient[p, d] features[p + d];
        # SIGN -1: out[p] = sum over d of gradient[p - d, d] features[p - d].
        row = tl.program_id(0)
        y = row % height
        x = tl.program_id(1) * PIXELS + tl.arange(0, PIXELS)
        c = tl.arange(0, CHANNELS)
        side: tl.constexpr = 2 * REACH + 1
        is_channel = (c < channels)[None, :]
        total = tl.zeros((PIXELS, CHANNELS), tl.float32)
        for index in range(side * side):
            at_y = y + 0 * x + SIGN * (index // side - REACH)
            at_x = x + SIGN * (index % side - REACH)
            inside = (at_y >= 0) & (at_y < height) & (at_x >= 0) & (at_x < width)
            there = (row - y + at_y) * width + at_x
            source = row * width + x if SIGN == 1 else there
            value = tl.load(
                features + there[:, None] * channels + c[None, :],
                mask=inside[:, None] & is_channel,
                other=0.0,
            )
            weight = tl.load(
                gradient + source * (side * side) + index, mask=inside & (x < width), other=0.0
            )
            total += weight[:, None] * value
        here = (row * width + x)[:, None] * channels + c[None, :]
        tl.store(out + here, total / channels, mask=(x < width)[:, None] & is_channel)


def _blocks(width, channels):
    """Return the sizes of a Triton program's block: channels and pixels."""
    rounded = triton.next_power_of_2(channels)
    return rounded, max(16, min(triton.next_power_of_2(width), BLOCK // rounded))


def _displaced(x, reach):
    """Return x (N, H, W, C) moved by each displacement up to `reach` per axis, zeros moved in."""
    height, width = x.shape[1:3]
    padded = F.pad(x, (0, 0, reach, reach, reach, reach))
    steps = range(2 * reach + 1)
    return [padded[:, dy : dy + height, dx : dx + width] for dy in steps for dx in steps]


def _volume(features1, features2, reach):
    if not (triton and features1.is_cuda):
        return torch.stack([(features1 * at).mean(3) for at in _displaced(features2, reach)], 3)
    count, height, width, channels = features1.shape
    block, pixels = _blocks(width, channels)
    volume = features1.new_empty(count, height, width, (2 * reach + 1) ** 2)
    programs = (count * height, triton.cdiv(width, pixels))
    sizes = (height, width, channels, reach, block, pixels)
    _volume_kernel[programs](features1, features2, volume, *sizes)
    return volume


def _gradient(gradient, features, reach, sign):
    """Return a map's gradient, given that of the volume and the other map."""
    if triton and features.is_cuda:
        count, height, width, channels = features.shape
        block, pixels = _blocks(width, channels)
        out = torch.empty_like(features)
        programs = (count * height, triton.cdiv(width, pixels))
        sizes = (height, width, channels, sign, reach, block, pixels)
        _gradient_kernel[programs](gradient, features, out, *sizes)
        return out
    total, maps = torch.zeros_like(features), _displaced(features, reach)
    if sign == 1:
        for index, at in enumerate(maps):
            total += gradient[..., index, None] * at
    else:
        # Back from p + d to p: displaced by the opposite, which is the same place from the end.
        for index, (weight, at) in enumerate(zip(_displaced(gradient, reach), maps, strict=True)):
            total += weight[..., -1 - index, None] * at
    return total / features.shape[3]


class CostVolume(torch.autograd.Function):
    """Mean products of features at p and at p + d; maps are (N, H, W, C), volumes (N, H, W, D).

    float32. With gradients of its own: for PyTorch's it would keep the 81 products.
    """

    @staticmethod
    def forward(ctx: Any, features1: Tensor, features2: Tensor, reach: int) -> Tensor:
        """Return the volume for all D = (2 * reach + 1) ** 2 displacements."""
        ctx.reach = reach
        ctx.save_for_backward(features1, features2)
        return _volume(features1, features2, reach)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of both maps, given that of the volume."""
        features1, features2 = ctx.saved_tensors
        gradient = gradients[0].contiguous()
        first = _gradient(gradient, features2, ctx.reach, 1)
        return first, _gradient(gradient, features1, ctx.reach, -1), None
