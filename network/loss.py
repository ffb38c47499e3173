"""Training losses: the endpoint error at every pyramid level (PWC-Net, section 3); two ways."""

from collections.abc import Sequence
from typing import Any

from mxnet.gluon import nn

from maskflownet.config.layout import EPSILON, FLOW_UNIT, LEVELS, STRIDES
from maskflownet.network.arrays import Array, Operators
from maskflownet.network.layers import upsample

TINY = 1e-30  # below which a squared length counts as zero, whose root has a gradient of zero


def endpoint_error(F: Operators, prediction: Array, label: Array, q: float | None = None) -> Array:
    """Return the error per pixel, (N, 1, H, W): Euclidean, or (|dx| + |dy|)**q where q is given."""
    # Of two numbers MXNet's own sum over an axis is several times as slow.
    dy, dx = F.split(prediction - label, num_outputs=2, axis=1)
    if q is None:
        return F.sqrt(F.square(dy) + F.square(dx) + EPSILON)
    return (F.abs(dy) + F.abs(dx) + EPSILON) ** q


def masked_mean(F: Operators, error: Array, valid: Array) -> Array:
    """Return each sample's mean (N,) of `error` weighted by `valid`, both (N, 1, H, W).

    A sample without a valid pixel yields 0, not NaN, and so contributes no gradient.
    """
    total = F.sum(error * valid, axis=0, exclude=True)
    weight = F.sum(valid, axis=0, exclude=True)
    return total / F.where(weight > 0, weight, F.ones_like(weight))


def finest_error(F: Operators, label: Array, valid: Array, predictions: Sequence[Array]) -> Array:
    """Return the mean endpoint error (N,) in pixels of the last prediction, without a gradient."""
    stride = list(STRIDES.values())[len(predictions) - 1]
    full = upsample(F, F.stop_gradient(predictions[-1]), stride)
    return masked_mean(F, endpoint_error(F, full, label), valid)


class MultiscaleLoss(nn.HybridBlock):
    """Weighted sum over levels of the endpoint error at full size.

    Parameters
    ----------
    weights : sequence of float
        For levels 6 to 2.
    q : float, optional
        Robust exponent for fine-tuning (PWC-Net, equation 2); None for the Euclidean error.
    fast : bool
        Whether the fast operators of `kernels` compute it, where they can.

    Inputs
    ------
    label : (N, 2, H, W), pixels, (y, x) order as the predictions
    valid : (N, 1, H, W) in 0..1
    *predictions : (N, 2, H / s, W / s) for s = 64, 32, 16, 8, 4, or the first of these

    Outputs
    -------
    loss : (N,)
    error : (N,)
        The mean endpoint error of the finest prediction, which has no gradient.
    """

    def __init__(
        self, weights: Sequence[float], q: float | None = None, fast: bool = False, **kwargs: Any
    ):
        super().__init__(**kwargs)
        self._weights = tuple(weights)
        self._q = q
        self._fast = fast

    def hybrid_forward(
        self, F: Operators, label: Array, valid: Array, *predictions: Array
    ) -> tuple[Array, Array]:
        """Return the loss and the error per sample."""
        if self._fast:
            weights = ",".join(map(repr, self._weights[: len(predictions)]))
            loss, error = F.maskflownet_multiscale_loss(
                label, valid, *predictions, weights=weights, exponent=repr(self._q or 0.0)
            )
            return loss, error
        total = 0
        for level, weight, prediction in _by_level(self._weights, predictions):
            full = upsample(F, prediction, STRIDES[level])
            error = endpoint_error(F, full, label, self._q)
            total = total + weight * masked_mean(F, error, valid)
        return total, finest_error(F, label, valid, predictions)


class MaskLoss(nn.HybridBlock):
    """What masks that are told are trained by: their cross entropy, summed over levels.

    At each level the mask is compared with the share of its cell's known pixels that are visible.

    Inputs
    ------
    occluded : (N, 1, H, W) in 0..1
    known : (N, 1, H, W) in 0..1, where that is known
    *masks : (N, 1, H / s, W / s) for s = 64, 32, 16, 8 or the first of these, before their sigmoid

    Output
    ------
    (N,)
    """

    def hybrid_forward(self, F: Operators, occluded: Array, known: Array, *masks: Array) -> Array:
        """Return the loss per sample."""
        total = 0
        for level, mask in _by_level(masks):
            share = _cell_means(F, known, STRIDES[level])
            visible = _cell_means(F, known * (1 - occluded), STRIDES[level])
            visible = visible / F.maximum(share, TINY)
            # The cross entropy of sigmoid(x), written so that large x cannot overflow.
            entropy = (
                F.relu(mask) - mask * visible + F.Activation(-F.abs(mask), act_type="softrelu")
            )
            total = total + masked_mean(F, entropy, share)
        return total


def _by_level(*rows):
    """Yield (level, *one of each row), coarse to fine, for as many levels as the last row has."""
    return zip(LEVELS, *rows, strict=False)


def _cell_means(F, x, stride):
    return F.Pooling(x, pool_type="avg", kernel=(stride, stride), stride=(stride, stride))


class LevelLoss(nn.HybridBlock):
    """Weighted sum over levels and their pixels of the endpoint error at the level's own size.

    As in MMFlow: errors are in the network's unit of 20 pixels, the label is the mean over each
    cell of the level (known or not), and a cell counts if a pixel of it is known.

    Parameters
    ----------
    weights : sequence of float
        For levels 6 to 2.
    q : None
        This loss has no robust exponent.
    fast : bool
        No fast operator computes it.

    Inputs and outputs are those of `MultiscaleLoss`.
    """

    def __init__(
        self, weights: Sequence[float], q: float | None = None, fast: bool = False, **kwargs: Any
    ):
        super().__init__(**kwargs)
        del fast
        if q is not None:
            raise ValueError("q: the loss by levels has no robust exponent")
        self._weights = tuple(weights)

    def hybrid_forward(
        self, F: Operators, label: Array, valid: Array, *predictions: Array
    ) -> tuple[Array, Array]:
        """Return the loss and the error per sample."""
        known = valid >= 0.5
        total = 0
        for level, weight, prediction in _by_level(self._weights, predictions):
            cell = {"kernel": (STRIDES[level],) * 2, "stride": (STRIDES[level],) * 2}
            mean = F.Pooling(label, pool_type="avg", **cell)
            counts = F.Pooling(known, pool_type="max", **cell)
            difference = (prediction - mean) / FLOW_UNIT
            squared = F.sum(F.square(difference), axis=1, keepdims=True)
            error = F.sqrt(F.maximum(squared, TINY))
            total = total + weight * F.sum(error * counts, axis=0, exclude=True)
        return total, finest_error(F, label, valid, predictions)


LOSSES = {"full_size": MultiscaleLoss, "levels": LevelLoss}
