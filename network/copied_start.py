"""A cascade's second stage that begins as a copy of its first one.

From random weights a second stage has to learn what features are and how a cost volume is read, all
of which its first stage knows. Here it begins with the first stage's own pyramid, decoders and
context network. They compare image 1 with image 2 warped by the first stage's flow, so what they
find is what that flow lacks; a part of it is added. Over the weights that come with the project
such a network is a little better than its first stage before it is trained at all. Its deformable
convolutions begin as the identity and are not listened to yet.

The first stage's cost volumes are of features that a deformable convolution, the mask and the
trade-off term have changed, and so may be larger or smaller than those of bare features, which the
copy reads: it reads them scaled to the same size.
"""

from collections.abc import Callable
from typing import Any

import mxnet as mx
import numpy as np

from maskflownet.config.layout import CONTEXT_LAYERS, DENSE_CHANNELS, LEVELS, PYRAMID_CHANNELS
from maskflownet.network import maskflownet, maskflownet_s
from maskflownet.network.arrays import Array
from maskflownet.network.scaled_start import identity_kernel

# How much of what a copied decoder finds is added. At whole strength it does more harm than good:
# it was never shown flow that is nearly right.
GAINS = {6: 0.2, 5: 0.2, 4: 0.2, 3: 0.4, 2: 0.4}
FROM_ABOVE = 0.1  # of the flow that is added to: the rest is the first stage's at this level
# Where the second stage's displacements stand among those of the first one's cost volume.
_REACH, _OWN = maskflownet_s.MAX_DISPLACEMENT, maskflownet.MAX_DISPLACEMENT
_SIDE = 2 * _REACH + 1
COST_CHANNELS = maskflownet.COST_CHANNELS  # of each of the second stage's cost volumes
_INNER = slice(_REACH - _OWN, _REACH + _OWN + 1)
MIDDLE = np.arange(_SIDE**2).reshape(_SIDE, _SIDE)[_INNER, _INNER].ravel()
FLOW = 2  # channels
SMALLEST = 1e-6  # a cost volume below it, as of images without texture, is not scaled by


def copy_start(network: Any, image1: Array, image2: Array) -> None:
    """Have a cascade's second stage begin as a copy of its first one, which stays as it is.

    Parameters
    ----------
    network : network.MaskFlownet
        Of plain steps, not hybridized, with a trained first stage; of the kind that
        `config.schedule` demands.
    image1, image2 : mxnet.ndarray.NDArray
        (N, 3, H, W), centralised; some sixteen pairs, which tell how large cost volumes are.
    """
    _Copy(network).run(image1, image2)


class _Copy:
    def __init__(self, network):
        self._network = network
        self._arrays = network._collect_params_with_prefix()
        self._unheard = COST_CHANNELS * (network.pyramids.cost_volumes - 1)  # its own comes last
        self._scales = {}

    def run(self, image1, image2):
        self._copy_pyramid()
        self._scales = self._measured_scales(image1, image2)
        for level in LEVELS:
            self._copy_decoder(level)
        self._copy_context()
        for name, parameter in self._arrays.items():
            if name.startswith("deform"):
                is_kernel = name.endswith(".weight")
                shape = parameter.shape
                parameter.set_data(identity_kernel(shape) if is_kernel else mx.nd.zeros(shape))

    def _get(self, name):
        """Return an array of the first stage."""
        parameter = self._arrays[f"MaskFlownet_S.{name}"]
        return parameter.data(parameter.list_ctx()[0]).asnumpy()

    def _put(self, name, values):
        self._arrays[name].set_data(mx.nd.array(values, dtype=np.float32))

    def _copy_pyramid(self):
        for level in PYRAMID_CHANNELS:
            for source, letter in zip("abc", "xyz", strict=True):
                weight = self._get(f"conv{level}{source}.0.weight")
                name = f"conv{level}{letter}.0"
                new = self._arrays[f"{name}.weight"].shape[1] - weight.shape[1]  # the mask
                self._put(f"{name}.weight", np.pad(weight, ((0, 0), (0, new), (0, 0), (0, 0))))
                self._put(f"{name}.bias", self._get(f"conv{level}{source}.0.bias"))

    def _measured_scales(self, image1, image2):
        """Return per level by what the second stage's own cost volume has to be multiplied."""
        first, second = (
            _Volumes(network, start)
            for network, start in (
                (self._network.MaskFlownet_S, lambda level: 0),
                (self._network, self._own_volume),
            )
        )
        self._network(image1, image2)
        wanted, own = first.sizes(MIDDLE), second.sizes(slice(COST_CHANNELS))
        return {
            level: wanted[level] / own[level] if own[level] > SMALLEST else 1.0 for level in LEVELS
        }

    def _own_volume(self, level):
        """Return the channel at which it begins, of what the second stage's dense block sees."""
        if level == LEVELS[0]:
            return self._unheard
        return PYRAMID_CHANNELS[level] + self._network.upfeat_channels[level] + self._unheard

    def _copy_decoder(self, level):
        for index, _ in enumerate(DENSE_CHANNELS):
            name, before = f"conv{level}_{index}.0", sum(DENSE_CHANNELS[:index])
            weight = self._get(f"{name}.weight")
            self._put(f"{name}.weight", self._rearranged(weight, before, level))
            self._put(f"{name}.bias", self._get(f"{name}.bias"))
        name = f"pred_flow{level}"
        weight = GAINS[level] * self._rearranged(
            self._get(f"{name}.weight"), sum(DENSE_CHANNELS), level
        )
        if level != LEVELS[0]:  # where the first stage's flow is what is added to
            above, own = (slice(-2 * FLOW, -FLOW), slice(-FLOW, None))
            kept = (1 - FROM_ABOVE) * np.eye(FLOW)
            weight[:, above, 1, 1] -= kept
            weight[:, own, 1, 1] += kept
        self._put(f"{name}.weight", weight)
        self._put(f"{name}.bias", GAINS[level] * self._get(f"{name}.bias"))
        if level != LEVELS[-1]:
            name = f"upfeat{level - 1}.0"  # whose weight is (in, out, 4, 4)
            weight = self._get(f"{name}.weight").swapaxes(0, 1)
            weight = self._rearranged(weight, sum(DENSE_CHANNELS), level)
            self._put(f"{name}.weight", weight.swapaxes(0, 1))
            self._put(f"{name}.bias", self._get(f"{name}.bias"))

    def _copy_context(self):
        for index, _ in enumerate(CONTEXT_LAYERS, start=1):
            name = f"dc_conv{index}.0"
            weight = self._get(f"{name}.weight")
            if index == 1:
                weight = self._rearranged(weight, sum(DENSE_CHANNELS), LEVELS[-1])
            self._put(f"{name}.weight", weight)
            self._put(f"{name}.bias", self._get(f"{name}.bias"))
        for part in ("weight", "bias"):
            name = f"dc_conv7.{part}"
            self._put(name, GAINS[LEVELS[-1]] * self._get(name))

    def _rearranged(self, weight, before, level):
        """Return a first stage's weight (out, in, k, k) for the second stage's order of inputs.

        Both begin with the outputs of `before` channels of earlier layers. Of the second stage's
        cost volumes the last is of its own pyramid: the one that the copy reads.
        """
        counts = [before, _SIDE**2]
        if level != LEVELS[0]:
            counts += [PYRAMID_CHANNELS[level], self._network.upfeat_channels[level]]
        earlier, volume, *others = np.split(weight, np.cumsum(counts), axis=1)
        unheard = np.zeros((len(weight), self._unheard, *weight.shape[2:]))
        volumes = [unheard, self._scales[level] * volume[:, MIDDLE]]
        stage_flow = np.zeros_like(weight[:, :FLOW])
        if level == LEVELS[0]:
            return np.concatenate([earlier, *volumes, stage_flow], axis=1)
        features, feat, flow = others
        return np.concatenate([earlier, features, feat, *volumes, flow, stage_flow], axis=1)


class _Volumes:
    """Watches the cost volumes that a network's dense blocks see, until their sizes are asked."""

    def __init__(self, network: Any, start: Callable[[int], int]):
        self._start = start
        self._seen: dict[int, Array] = {}
        self._hooks = [
            getattr(network, f"conv{level}_0").register_forward_hook(self._noting(level))
            for level in LEVELS
        ]

    def _noting(self, level):
        def note(block, inputs, output):
            self._seen[level] = inputs[0]

        return note

    def sizes(self, channels: Any) -> dict[int, float]:
        """Return the root mean square of these channels of each level's cost volume."""
        for hook in self._hooks:
            hook.detach()
        sizes = {}
        for level, maps in self._seen.items():
            volume = maps[:, self._start(level) :].asnumpy()[:, channels]
            sizes[level] = float(np.sqrt(np.square(volume).mean()))
        return sizes
