"""The building blocks of both networks, on MXNet's own operators.

Inside the network a flow is ordered (y, x), because it is used as the offset of a deformable
convolution, whose offset channels are ordered so. Everything outside is (x, y).
"""

from typing import Any

from mxnet import init
from mxnet.gluon import nn
from mxnet.symbol import Symbol

from maskflownet.config.layout import LEAKY_SLOPE
from maskflownet.network.arrays import Array, Operators

KERNEL_TAPS = 9  # of a 3x3 kernel


def leaky(F: Operators, x: Array) -> Array:
    """Return LeakyReLU(x), the networks' one activation, slope 0.1."""
    return F.LeakyReLU(x, act_type="leaky", slope=LEAKY_SLOPE)


def flip_axes(F: Operators, flow: Array) -> Array:
    """Turn (N, 2, H, W) flow from (y, x) to (x, y) order or back."""
    return F.flip(flow, axis=1)


def conv(
    name: str,
    in_channels: int,
    channels: int,
    stride: int = 1,
    dilation: int = 1,
    activation: bool = True,
) -> nn.HybridSequential:
    """Return a 3x3 convolution that keeps the size (at stride 1), with LeakyReLU unless told not.

    `name` becomes part of the legacy parameter name. The sequence around the one layer is what
    released checkpoints know: it makes `conv1a.0.weight` and `hybridsequential0_conv1aweight`.
    """
    block = nn.HybridSequential()
    with block.name_scope():
        block.add(
            nn.Conv2D(
                channels,
                kernel_size=3,
                strides=stride,
                padding=dilation,
                dilation=dilation,
                in_channels=in_channels,
                prefix=name,
            )
        )
        if activation:
            block.add(nn.LeakyReLU(LEAKY_SLOPE))
    return block


def up_conv(name: str, in_channels: int, channels: int) -> nn.HybridSequential:
    """Return a 4x4 transposed convolution that doubles the size, with LeakyReLU."""
    block = nn.HybridSequential()
    with block.name_scope():
        block.add(
            nn.Conv2DTranspose(
                channels,
                kernel_size=4,
                strides=2,
                padding=1,
                in_channels=in_channels,
                prefix=name,
            )
        )
        block.add(nn.LeakyReLU(LEAKY_SLOPE))
    return block


def head(name: str, in_channels: int, channels: int) -> nn.Conv2D:
    """Return a plain 3x3 convolution: the last layer before a flow or a mask."""
    return nn.Conv2D(channels, kernel_size=3, padding=1, in_channels=in_channels, prefix=name)


class DeformableConv(nn.HybridBlock):
    """A 3x3 deformable convolution (Dai et al., ICCV 2017) whose offset is an input.

    Gluon's block of that name makes the offset itself from its input; here the flow is the offset,
    the same one for all nine taps.

    Inputs
    ------
    x : (N, C, H, W)
    flow_yx : (N, 2, H, W), in pixels of x, (y, x) order.

    Output
    ------
    (N, C, H, W)
    """

    def __init__(self, channels: int, use_bias: bool = True, **kwargs: Any):
        super().__init__(**kwargs)
        self._channels = channels
        with self.name_scope():
            self.weight = self.params.get("weight", shape=(channels, channels, 3, 3))
            self.bias = (
                self.params.get("bias", shape=(channels,), init=init.Zero()) if use_bias else None
            )

    def hybrid_forward(
        self, F: Operators, x: Array, flow_yx: Array, weight: Array, bias: Array | None = None
    ) -> Array:
        """Return the deformed features."""
        offset = F.repeat(F.expand_dims(flow_yx, axis=1), KERNEL_TAPS, axis=1)  # (N, 9, 2, H, W)
        offset = F.reshape(offset, (0, -3, -2))  # (N, 18, H, W): y, x, y, x, ...
        weights = [weight] if bias is None else [weight, bias]
        return F.contrib.DeformableConvolution(
            x,
            offset,
            *weights,
            kernel=(3, 3),
            pad=(1, 1),
            num_filter=self._channels,
            no_bias=bias is None,
        )


def cost_volume(F: Operators, features1: Array, features2: Array, max_displacement: int) -> Array:
    """Return the cost volume of two feature maps, activated.

    The mean over channels of the product of features1 at p and features2 at p + d, for every
    displacement d of at most `max_displacement` per axis (PWC-Net, section 3).

    Parameters
    ----------
    features1, features2 : (N, C, H, W)
    max_displacement : int

    Returns
    -------
    (N, (2 * max_displacement + 1) ** 2, H, W)
    """
    volume = F.Correlation(
        features1,
        features2,
        kernel_size=1,
        max_displacement=max_displacement,
        pad_size=max_displacement,
        stride1=1,
        stride2=1,
        is_multiply=1,
    )
    return leaky(F, volume)


def _counting(F, size, like):
    """Return 0, 1, ..., size - 1 on the device of `like`; a symbol has no device yet."""
    device = {} if isinstance(like, Symbol) else {"ctx": like.context}
    return F.arange(0, size, **device)


def _square_kernel(F, weights, size):
    """Return the (1, 1, size, size) kernel that is the outer product of weights (size,)."""
    column = F.reshape(weights, (1, 1, size, 1))
    row = F.reshape(weights, (1, 1, 1, size))
    return F.broadcast_mul(column, row)


def _channels_to_batch(F, x):
    """Reshape (N, C, H, W) to (N * C, 1, H, W), for operations on each channel alone."""
    return F.expand_dims(F.reshape(x, (-3, -2)), axis=1)


def _batch_to_channels(F, x, like):
    """Undo `_channels_to_batch`: the first two axes come from `like`, the last two from x."""
    return F.reshape_like(x, like, lhs_begin=0, lhs_end=2, rhs_begin=0, rhs_end=2)


def upsample(F: Operators, x: Array, factor: int) -> Array:
    """Return `x` enlarged bilinearly by an integer factor.

    Sample k of x comes to lie on sample k * factor of the result; the last row and column repeat.

    Parameters
    ----------
    x : (N, C, H, W)
    factor : int

    Returns
    -------
    (N, C, H * factor, W * factor)
    """
    if factor == 1:
        return x
    size = 2 * factor - 1
    triangle = 1 - F.abs(factor - 1 - _counting(F, size, like=x)) / factor
    channel = _channels_to_batch(F, x)
    channel = F.pad(channel, mode="edge", pad_width=(0, 0, 0, 0, 0, 1, 0, 1))
    channel = F.Deconvolution(
        channel,
        _square_kernel(F, triangle, size),
        kernel=(size, size),
        stride=(factor, factor),
        pad=(factor - 1, factor - 1),
        num_filter=1,
        no_bias=True,
    )
    channel = F.slice(channel, begin=(None, None, None, None), end=(None, None, -1, -1))
    return _batch_to_channels(F, channel, like=x)


def warp(F: Operators, image: Array, flow_yx: Array, repeat_border: bool = False) -> Array:
    """Return what `image` shows where the flow points: the second image brought to the first.

    Parameters
    ----------
    image : (N, C, H, W)
    flow_yx : (N, 2, H, W), pixels, (y, x) order.
    repeat_border : bool
        What lies outside of the image: zeros, or (True) the nearest border pixel.

    Returns
    -------
    (N, C, H, W)
    """
    grid = F.GridGenerator(flip_axes(F, flow_yx), transform_type="warp")
    if repeat_border:
        grid = F.clip(grid, -1, 1)
    return F.BilinearSampler(image, grid)
