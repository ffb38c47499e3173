"""Coarse levels that begin as copies of a finer one, where training has left them without a use.

A training on small images or of few steps may teach levels 3 and 2 to match and leave levels 6 to
4, whose error hardly counts in the loss, with features that say nothing: flow of more than some
40 px is then never found (docs/training.md tells how to see it). An image of half the size moves by
half as many pixels. So level 3, which sees an eighth of the image, is of use at a sixteenth too:
here level 4 begins with features that are level 3's at half the size, and with what level 3 does
with them, and levels 5 and 6 likewise. What level 3 gets from the level above it is left out of the
copy, for it has learned nothing from there.
"""

from typing import Any

import mxnet as mx
import numpy as np

from maskflownet.config.layout import DENSE_CHANNELS, PYRAMID_CHANNELS
from maskflownet.network.arrays import Array
from maskflownet.network.maskflownet_s import COST_CHANNELS

SOURCE = 3  # the level that is copied
COPIES = (4, 5, 6)
# Of what level 3 does not have, relative to a layer that keeps its input's size: random, and small
# enough to change little.
NEW_FEATURES, NEW_INPUTS, NEW_MASK, NEW_TERM = 0.3, 0.05, 0.02, 0.1
UPFEAT_SIZE = 0.3
VISIBLE = 3.5  # the masks' bias: all is visible, to begin with
BLUR = np.outer([1, 2, 1], [1, 2, 1]) / 16  # the kernel of a convolution that halves features
POINT = np.outer([0, 1, 0], [0, 1, 0])  # and of one that changes nothing


def lift_start(network: Any, image1: Array, image2: Array, rng: np.random.Generator) -> None:
    """Have levels 4 to 6 begin as copies of level 3; all other layers stay as they are.

    Parameters
    ----------
    network : network.MaskFlownet_S
        Of plain steps, not hybridized, with weights whose level 3 can match; of the kind that
        `config.schedule` demands.
    image1, image2 : mxnet.ndarray.NDArray
        (N, 3, H, W), centralised; some sixteen pairs, which tell how large features are.
    rng : numpy.random.Generator
        Of what level 3 has nothing to copy for.
    """
    _Lift(network, image1, image2, rng).run()


class _Lift:
    def __init__(self, network, image1, image2, rng):
        self._network, self._images, self._rng = network, (image1, image2), rng
        self._arrays = network._collect_params_with_prefix()
        self._shared = PYRAMID_CHANNELS[SOURCE]  # channels that a copy has in common with level 3

    def run(self):
        size, term = self._features_size(SOURCE, slice(None)), self._mean_term()
        for level in COPIES:
            self._lift_pyramid(level, size)
            self._lift_decoder(level)
            if level < COPIES[-1]:
                self._lift_matching(level, term)

    def _get(self, name):
        return self._arrays[name].data(self._images[0].context).asnumpy()

    def _put(self, name, values):
        self._arrays[name].set_data(mx.nd.array(values, dtype=np.float32))

    def _noise(self, shape, size):
        """Return random weights that make outputs of `size` times a convolution's inputs."""
        return self._rng.normal(0, size / np.sqrt(np.prod(shape[1:])), shape)

    def _features_size(self, level, channels):
        """Return the root mean square of image 1's features at a level."""
        features = self._network.pyramid(self._images[0], "abc")[level][:, channels]
        return float(features.square().mean().sqrt().asscalar())

    def _mean_term(self):
        """Return the mean of level 3's trade-off term, per channel."""
        means = []
        hook = self._network.conv3f.register_forward_hook(
            lambda block, inputs, output: means.append(output.mean((0, 2, 3)).asnumpy())
        )
        self._network(*self._images)
        hook.detach()
        return means[0]

    def _lift_pyramid(self, level, size):
        """Make features: first the level before's at half the size, then new ones."""
        shared, channels = slice(self._shared), range(self._shared)
        for letter, kernel, new in (
            ("a", BLUR, NEW_FEATURES),
            ("b", POINT, 1.0),
            ("c", POINT, 1.0),
        ):
            name = f"conv{level}{letter}.0"
            weight = self._noise(self._arrays[f"{name}.weight"].shape, new)
            weight[shared] = 0
            weight[channels, channels] = kernel
            self._put(f"{name}.weight", weight)
            self._put(f"{name}.bias", np.zeros(len(weight)))
        name = f"conv{level}a.0.weight"
        weight = self._get(name)
        for part, wanted in ((shared, size), (slice(self._shared, None), NEW_FEATURES * size)):
            weight[part] *= wanted / self._features_size(level, part)
        self._put(name, weight)

    def _lift_decoder(self, level):
        for index, _ in enumerate(DENSE_CHANNELS):
            source, name = (f"conv{number}_{index}.0" for number in (SOURCE, level))
            before = sum(DENSE_CHANNELS[:index])
            self._put(f"{name}.weight", self._widened(f"{source}.weight", before, level))
            self._put(f"{name}.bias", self._get(f"{source}.bias"))
        times = 2 ** (level - SOURCE)  # so much longer is a step from cell to cell
        weight = self._widened("pred_flow3.weight", sum(DENSE_CHANNELS), level)
        self._put(f"pred_flow{level}.weight", weight * times)
        self._put(f"pred_flow{level}.bias", self._get("pred_flow3.bias") * times)
        shape = self._arrays[f"pred_mask{level}.weight"].shape
        self._put(f"pred_mask{level}.weight", self._noise(shape, NEW_MASK))
        self._put(f"pred_mask{level}.bias", np.full(1, VISIBLE))
        name = f"upfeat{level - 1}.0"
        shape = self._arrays[f"{name}.weight"].shape  # (in, out, 4, 4): 4 of 16 taps meet a pixel
        spread = UPFEAT_SIZE / np.sqrt(4 * shape[0])
        self._put(f"{name}.weight", self._rng.normal(0, spread, shape))
        self._put(f"{name}.bias", np.zeros(shape[1]))

    def _widened(self, name, before, level):
        """Return the weight of a layer of level 3's dense block for a level's inputs.

        These are the outputs of `before` channels of earlier layers, the cost volume, features and
        what comes from the level above. A cost volume is a mean over channels: of more of them, of
        which the new ones are small, it is that much smaller.
        """
        weight = self._get(name)
        earlier, volume, features, _ = np.split(
            weight, np.cumsum([before, COST_CHANNELS, self._shared]), axis=1
        )
        parts = [earlier, volume * PYRAMID_CHANNELS[level] / self._shared]
        if level < COPIES[-1]:
            from_above = self._network.upfeat_channels[level] + 2
            new = PYRAMID_CHANNELS[level] - self._shared, from_above
            shapes = [(len(weight), count, 3, 3) for count in new]
            parts += [features, *(self._noise(shape, NEW_INPUTS) for shape in shapes)]
        return np.concatenate(parts, axis=1)

    def _lift_matching(self, level, term):
        channels, shared = PYRAMID_CHANNELS[level], self._shared
        weight, bias = np.zeros((channels, channels, 3, 3)), np.zeros(channels)
        weight[:shared, :shared] = self._get("deform3.weight")
        rest = range(shared, channels)
        weight[rest, rest, 1, 1] = 1
        self._put(f"deform{level}.weight", weight)
        if f"deform{level}.bias" in self._arrays:
            bias[:shared] = self._get("deform3.bias")
            self._put(f"deform{level}.bias", bias)
        name = f"conv{level}f.0"
        self._put(f"{name}.weight", self._noise(self._arrays[f"{name}.weight"].shape, NEW_TERM))
        bias = np.zeros(channels)
        bias[:shared] = term
        self._put(f"{name}.bias", bias)
