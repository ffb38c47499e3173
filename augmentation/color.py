"""Hue, saturation, noise, contrast, brightness and gamma of a pair, the same for both images."""

from typing import Any, NamedTuple

import numpy as np
from mxnet.gluon import nn

from maskflownet.augmentation.channels import mix_channels
from maskflownet.augmentation.draws import ColorDraws

# Mixing the channels by GREY + U * COSINE + V * SINE turns the hue by h and multiplies the
# saturation by S, where U = S cos h and V = S sin h: a rotation in the YIQ colour space.
# Parity: the rounding is the original's, and so are RGB weights for whatever order the channels
# have.
GREY = np.array([[0.299, 0.587, 0.114]] * 3)
COSINE = np.array([[0.701, -0.587, -0.114], [-0.299, 0.413, -0.114], [-0.300, -0.588, 0.886]])
SINE = np.array([[0.168, 0.330, -0.497], [-0.328, 0.035, 0.292], [1.25, -1.05, -0.203]])


class ColorChange(NamedTuple):
    """The colour augmentation of N samples as the numbers to apply; all float32.

    Attributes
    ----------
    matrix : numpy.ndarray
        (N, 3, 3), mixes the channels.
    gain, brightness, exponent : numpy.ndarray
        (N, 1, 1, 1): the factor for what differs from the mean, what is added, and the power.
    channel : numpy.ndarray
        (N, 3, 1, 1), a factor per channel.
    noise1, noise2 : numpy.ndarray
        (N, 3, H, W) or (N, 1, 1, 1), added to image 1 and to image 2.
    """

    matrix: np.ndarray
    gain: np.ndarray
    brightness: np.ndarray
    exponent: np.ndarray
    channel: np.ndarray
    noise1: np.ndarray
    noise2: np.ndarray


def color_change(draws: ColorDraws) -> "ColorChange":
    """Turn draws into the numbers that the block applies.

    Parameters
    ----------
    draws : augmentation.draws.ColorDraws
        Of N samples.

    Returns
    -------
    ColorChange
    """
    u = draws.saturation * np.cos(draws.hue)
    v = draws.saturation * np.sin(draws.hue)
    change = ColorChange(
        matrix=GREY + u[:, None, None] * COSINE + v[:, None, None] * SINE,
        gain=_per_sample(1 + draws.contrast),
        brightness=_per_sample(draws.brightness),
        exponent=_per_sample(np.exp(draws.gamma)),
        channel=draws.channel[:, :, None, None],
        noise1=draws.noise[:, 0],
        noise2=draws.noise[:, 1],
    )
    return ColorChange(*(array.astype(np.float32, copy=False) for array in change))


def _per_sample(values):
    return values[:, None, None, None]


class ColorAugmentation(nn.HybridBlock):
    """Applies the numbers of `color_change` to pairs.

    Parameters
    ----------
    fast : bool
        Whether an operator of `kernels` does it; only where `kernels.use_fast` says so.

    Inputs
    ------
    image1, image2 : (N, 3, H, W) in [0, 1]
    matrix, gain, brightness, exponent, channel, noise1, noise2 : see `ColorChange`

    Outputs
    -------
    image1, image2
        Again in [0, 1].
    """

    def __init__(self, fast: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        self._fast = fast

    def hybrid_forward(
        self,
        F: Any,
        image1: Any,
        image2: Any,
        matrix: Any,
        gain: Any,
        brightness: Any,
        exponent: Any,
        channel: Any,
        noise1: Any,
        noise2: Any,
    ) -> tuple[Any, Any]:
        """Return the two results."""
        if self._fast:
            numbers = matrix, gain, brightness, exponent, channel
            one = F.maskflownet_colours(image1, noise1, *numbers)
            return one, F.maskflownet_colours(image2, noise2, *numbers)
        results = []
        for image, noise in ((image1, noise1), (image2, noise2)):
            image = F.broadcast_add(mix_channels(F, matrix, image, channels=3), noise)
            mean = F.mean(image, axis=(2, 3), keepdims=True)
            contrasted = F.broadcast_mul(F.broadcast_sub(image, mean), gain)
            image = F.broadcast_mul(F.broadcast_add(contrasted, mean), channel)
            image = F.clip(F.broadcast_add(image, brightness), 0, 1)
            results.append(F.broadcast_power(image, exponent))
        return tuple(results)
