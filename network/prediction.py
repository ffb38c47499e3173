"""From pairs of images to flow, mask and warped image at their own size."""

import itertools
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from numbers import Integral
from typing import Any, NamedTuple

import mxnet as mx
import numpy as np

from maskflownet.config.errors import InputError
from maskflownet.config.layout import FINEST_STRIDE, STRIDES
from maskflownet.config.network_size import check_network_size
from maskflownet.network.images import checked_pair, network_inputs, to_device, to_numpy
from maskflownet.network.layers import flip_axes
from maskflownet.network.memory import Room
from maskflownet.network.network_size import check_batch, stretch
from maskflownet.reader.arrays import check_color_order, in_order

WANTED = ("flow", "mask", "warped")


class Prediction(NamedTuple):
    """What the network says of one pair; all float32, of the images' own size.

    What was not asked for is None.

    Attributes
    ----------
    flow : numpy.ndarray
        (H, W, 2), (u, v) = (x, y) in pixels.
    mask : numpy.ndarray or None
        (H, W, 1), the occlusion mask: near 1 where image 1 is visible in image 2, near 0 where
        it is occluded. None of a network without a mask (`config.NetworkConfig.has_mask`).
    warped : numpy.ndarray
        (H, W, 3) in [0, 1], image 2 warped to image 1, in the `color_order` of the images.
    """

    flow: np.ndarray | None
    mask: np.ndarray | None
    warped: np.ndarray | None


class PairPredictor:
    """Brings pairs of images to a network and what it says back to their own size.

    Parameters
    ----------
    network : HybridBlock
        What predicts.
    ctx : list of mxnet.Context
        The devices; a batch is split over them.
    room : network.memory.Room, optional
        Says whether a batch fits into memory; by default nobody asks.
    """

    def __init__(self, network: Any, ctx: Sequence[Any], room: Room | None = None):
        self._network = network
        self._ctx = ctx
        self._room = room

    def pairs(
        self,
        pairs: Iterable[Any],
        batch_size: int,
        resize: tuple[int, int] | None,
        wanted: Collection[str],
        color_order: str | None,
    ) -> Iterator[Prediction]:
        """Do what `Pipeline.predict_pairs` says."""
        if not isinstance(batch_size, Integral) or batch_size < 1:
            raise InputError(
                f"batch_size: expected a whole number of 1 or more, got {batch_size!r}"
            )
        if isinstance(wanted, str) or not set(wanted) <= set(WANTED):
            raise InputError(f"wanted: expected some of {list(WANTED)}, got {wanted!r}")
        if resize is not None:
            check_network_size(resize)
        check_color_order(color_order)
        half_pixel = self._network.dialect.half_pixel
        checked = (
            checked_pair(image1, image2, resize, half_pixel, color_order)
            for image1, image2 in pairs
        )
        for _, run in itertools.groupby(checked, key=lambda pair: pair.size.network_hw):
            while batch := list(itertools.islice(run, min(batch_size, sys.maxsize))):
                for flow, mask, warped in self._predict_batch(batch, wanted):
                    if warped is not None:
                        warped = in_order(warped, color_order)
                    yield Prediction(flow, mask, warped)

    def levels(self, pairs: Iterable[Any]) -> Iterator[list[np.ndarray]]:
        """Do what `Pipeline.predict_levels` says."""
        for image1, image2 in pairs:
            pair = checked_pair(image1, image2, None, self._network.dialect.half_pixel)
            if self._room:
                self._room.check([pair.size])
            outputs = self._network(*network_inputs([pair], self._ctx[0]))
            flows = zip(outputs[0], STRIDES.values(), strict=True)
            enlarged = (self._at_network_size(flow, stride) for flow, stride in flows)
            yield [to_numpy(flip_axes(mx.nd, pair.size.flow_back(flow))) for flow in enlarged]

    def _predict_batch(self, pairs, wanted):
        if self._room:
            self._room.check([pair.size for pair in pairs])
        share = -(-len(pairs) // len(self._ctx))
        check_batch([pair.size for pair in pairs[:share]])
        shares = [pairs[start : start + share] for start in range(0, len(pairs), share)]
        # MXNet computes asynchronously: all devices are at work before the first result is fetched.
        results = [
            self._predict_share(part, ctx, wanted)
            for part, ctx in zip(shares, self._ctx, strict=False)
        ]
        for outputs in itertools.chain(*results):
            yield map(to_numpy, outputs)

    def _predict_share(self, pairs, ctx, wanted):
        """Return [(flow, mask, warped)] as NDArrays (1, C, H, W), flow in (x, y) order."""
        outputs = self._network(*network_inputs(pairs, ctx))
        flows = self._at_network_size(outputs[0][-1])
        # The last output is the occlusion mask, if any; the cascade's second one is not.
        mask_wanted = "mask" in wanted and outputs[-1]
        masks = self._at_network_size(outputs[-1][0]) if mask_wanted else None
        results = []
        for index, pair in enumerate(pairs):
            one = slice(index, index + 1)
            flow = pair.size.flow_back(flows[one])
            warped = None
            if "warped" in wanted:
                image2 = to_device(pair.image2[None], ctx)
                network = self._network
                warped = network.steps.warp(mx.nd, network, image2, flow, repeat_border=True)
            results.append(
                (
                    flip_axes(mx.nd, flow) if "flow" in wanted else None,
                    pair.size.mask_back(masks[one]) if mask_wanted else None,
                    warped,
                )
            )
        return results

    def _at_network_size(self, prediction, stride=FINEST_STRIDE):
        """Enlarge a level's prediction, (N, C, H / stride, W / stride), to (N, C, H, W)."""
        if self._network.dialect.half_pixel:
            height, width = prediction.shape[2:]
            return stretch(prediction, (height * stride, width * stride), half_pixel=True)
        return self._network.steps.upsample(mx.nd, prediction, stride)
