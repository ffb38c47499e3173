"""One optimisation step: shared out over workers and devices, in parts, skipped when it is bad."""

from collections.abc import Callable, Sequence
from typing import Any

import mxnet as mx
import numpy as np
from mxnet import autograd

from maskflownet.config.errors import InputError
from maskflownet.config.layout import EPSILON
from maskflownet.network.fused_adam import FusedAdam, sums_of_squares
from maskflownet.network.images import centralise
from maskflownet.network.layers import flip_axes, warp
from maskflownet.network.loss import MaskLoss
from maskflownet.network.worker_group import Peers

MOST_SQUARES = float(np.finfo(np.float32).max)  # of an array's gradients; larger ones are bad


def check_division(batch: int, micro_batch: int, devices: int) -> None:
    """Raise InputError unless a batch can be shared out over devices, so many samples at a time.

    Parameters
    ----------
    batch, micro_batch, devices : int
        Samples per step, samples that all devices together hold at a time, and devices.
    """
    if batch % devices:
        fitting = sorted({max(batch // devices, 1) * devices, (batch // devices + 1) * devices})
        raise InputError(
            f"a batch of {batch} pairs does not divide among {devices} devices: expected a "
            f"multiple of {devices}, such as {' or '.join(map(str, fitting))} (--batch)"
        )
    if batch % micro_batch or micro_batch % devices:
        fitting = [n for n in range(devices, batch + 1, devices) if batch % n == 0]
        raise InputError(
            f"a batch of {batch} pairs on {devices} devices does not divide into micro-batches of "
            f"{micro_batch}: expected micro-batches of {fitting} (--micro_batch)"
        )


def plain_layout(parameters: Sequence[Any]) -> Any:
    """Give weights back the layout in memory that all of MXNet can read.

    A convolution that predicts on a CPU leaves its weight in oneDNN's own layout. The key-value
    store cannot read that: the first worker's weights would never be sent, the error be lost, and
    the server end with "init 0 first" when another worker asks for them.

    Parameters
    ----------
    parameters : iterable of mxnet.gluon.Parameter
        Initialised.
    """
    for parameter in parameters:
        for array in parameter.list_data():
            values = mx.nd.array(array.asnumpy(), array.context)
            array[:] = 0  # leaves that layout; a copy alone keeps to it
            array[:] = values


class TrainingStep:
    """Forward, backward and update of a network.

    Parameters
    ----------
    network : HybridBlock
    loss : network.loss.MultiscaleLoss
    trainer : mxnet.gluon.Trainer
    ctx : list of mxnet.Context
    peers : network.worker_group.Peers
        The workers that take each step together, each with its own samples.
    clip_norm : float, optional
        The largest norm of the mean gradient over a step's samples; larger ones are scaled down.
    mask_weight : float
        What the masks learn of the data's occlusion counts so much beside `loss`. If anything, the
        network's second output is all levels' masks before their sigmoid.
    """

    def __init__(
        self,
        network: Any,
        loss: Any,
        trainer: Any,
        ctx: Sequence[Any],
        peers: Peers,
        clip_norm: float | None = None,
        mask_weight: float = 0.0,
    ):
        self._network = network
        self._loss = loss
        self._trainer = trainer
        self._ctx = ctx
        self._peers = peers
        self._clip_norm = clip_norm
        self._mask_weight = mask_weight
        self._mask_loss = MaskLoss()
        self._has_joined = False
        for block in (self._loss, self._mask_loss):
            block.hybridize()

    def run(
        self,
        arrays: Sequence[np.ndarray],
        geo_aug: Callable[..., Any],
        color_aug: Callable[..., Any],
        micro_batch: int,
    ) -> dict[str, float]:
        """Take a step with the arrays image1, image2, label, mask, occluded and knows_occluded.

        `micro_batch` samples are in memory at a time; the rest is as in `Pipeline.train_batch`.
        """
        count = len(arrays[0])
        check_division(count, micro_batch, len(self._ctx))
        self._join()
        self._prepare_gradients(accumulate=micro_batch < count)
        losses, errors = [], []
        for start in range(0, count, micro_batch):
            own = [array[start : start + micro_batch] for array in arrays]
            loss, error = self._add_gradients(own, geo_aug, color_aug)
            losses.append(loss)
            errors.append(error)
        losses, errors = np.concatenate(losses), np.concatenate(errors)
        bad = not (np.isfinite(losses).all() and self._gradients_are_finite())
        # Where one worker must not make this update, none does: their weights stay equal.
        loss, error, counted, bad = self._peers.total(
            [losses.sum(), errors.sum(), errors.size, bad]
        )
        everywhere = count * self._peers.size
        if not bad:
            self._update(everywhere)
        epe = float(error / counted) if counted else float("nan")
        return {"epe": epe, "loss": float(loss / everywhere), "updated": not bad}

    def _join(self):
        """Have all workers begin with equal weights.

        The Trainer would do so at its first update. Then the weights that one worker still waits
        for may be overwritten by the gradients that another one sends already.
        """
        if self._has_joined or self._peers.size == 1:
            return
        if not self._trainer._kv_initialized:
            self._trainer._init_kvstore()
        plain_layout(self._network.collect_params().values())
        self._peers.wait_for(self._trainer._init_params)
        self._peers.wait_for(mx.nd.waitall)
        self._has_joined = True

    def _update(self, count):
        """Update with the gradients of all workers' samples; all or nothing."""
        self._trainer.allreduce_grads()
        if self._peers.size > 1:
            gradients = [one.grad(ctx) for one in self._trained() for ctx in self._ctx]
            self._peers.wait_for(lambda: [gradient.wait_to_read() for gradient in gradients])
        self._trainer.update(count * self._too_large(count))

    def _too_large(self, count):
        """Return by what factor the mean gradient over the samples exceeds its limit; at least 1.

        Updating as if there were more samples by that factor clips it (Adam's moments too).
        """
        if self._clip_norm is None:
            return 1
        norm = float(np.sqrt(sum(squares.sum() for squares in self._squares(self._ctx[:1]))))
        return max(1.0, norm / (count * self._clip_norm))

    def _trained(self):
        """Return the parameters that are not frozen."""
        parameters = self._network.collect_params().values()
        return [parameter for parameter in parameters if parameter.grad_req != "null"]

    def _gradients_are_finite(self):
        # Sums of squares are ten times faster to be had than MXNet's own test of every value.
        # Beyond float32 Adam's second moments would be infinite, and stay so.
        return all((squares < MOST_SQUARES).all() for squares in self._squares(self._ctx))

    def _squares(self, contexts):
        """Return each device's sums of squares of the trained arrays' gradients, float64."""
        gradients = [[one.grad(ctx) for one in self._trained()] for ctx in contexts]
        if isinstance(self._trainer.optimizer, FusedAdam):
            return [sums_of_squares(own) for own in gradients]
        sums = [mx.nd.multi_sum_sq(*own, num_arrays=len(own)) for own in gradients]
        return [one.asnumpy().astype(np.float64) for one in sums]

    def _prepare_gradients(self, accumulate):
        """Make backward passes add to zeroed gradients, or (cheaper) overwrite them."""
        wanted = "add" if accumulate else "write"
        for parameter in self._trained():
            if parameter.grad_req != wanted:
                parameter.grad_req = wanted
            if accumulate:
                parameter.zero_grad()

    def _add_gradients(self, arrays, geo_aug, color_aug):
        """Run forward and backward; return the losses, and the errors of samples that have one."""
        shares = zip(*(np.split(array, len(self._ctx)) for array in arrays), self._ctx, strict=True)
        outputs = [self._forward_share(share, ctx, geo_aug, color_aug) for *share, ctx in shares]
        loss, error, has_valid = (
            np.concatenate([output.asnumpy() for output in kind])
            for kind in zip(*outputs, strict=True)
        )
        # For offsets that are not numbers, the backward pass of MXNet's deformable convolution
        # reads anywhere in memory. The loss is then no number either.
        if np.isfinite(loss).all():
            autograd.backward([loss for loss, _, _ in outputs])
            mx.nd.waitall()  # the next one must not begin before the memory of this one is free
        return loss, error[has_valid > 0]

    def _forward_share(self, arrays, ctx, geo_aug, color_aug):
        """Return one device's losses, endpoint errors and whether there is a valid pixel, (n,)."""
        image1, image2, label, valid, occluded, knows_occluded = (
            mx.nd.array(array, ctx, np.float32) for array in arrays
        )
        images = image1 / 255, image2 / 255
        if self._mask_weight:  # what is occluded goes where image 1 does, and image 2 may end early
            more = occluded * valid / 255, mx.nd.ones_like(occluded)
            images = [mx.nd.concat(*own, dim=1) for own in zip(images, more, strict=True)]
        image1, image2, label, valid = geo_aug(*images, label, valid / 255)
        label = flip_axes(mx.nd, label)
        if self._mask_weight:
            is_gone = warp(mx.nd, image2[:, 3:], label) < 0.5
            # A pixel's mean over what of its neighbours is known, as its flow is.
            hidden = mx.nd.minimum(image1[:, 3:] / mx.nd.maximum(valid, EPSILON), 1)
            occluded = mx.nd.maximum(hidden, is_gone)
            image1, image2 = image1[:, :3], image2[:, :3]
        image1, image2 = centralise(*color_aug(image1, image2))
        with autograd.record():
            predictions, masks, *_ = self._network(image1, image2)
            loss, error = self._loss(label, valid, *predictions)
            if self._mask_weight:
                known = valid * knows_occluded.reshape((-1, 1, 1, 1))
                loss = loss + self._mask_weight * self._mask_loss(occluded, known, *masks)
        return loss, error, valid.max(axis=0, exclude=True)
