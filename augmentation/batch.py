"""The augmentation of a training batch, from random numbers to the callables of a training step."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import mxnet as mx
import numpy as np

from maskflownet.augmentation.affine import AffineDraws, affine_maps, draw_affine
from maskflownet.augmentation.color import ColorAugmentation, color_change
from maskflownet.augmentation.draws import ColorDraws, GeometryDraws, draw_color, draw_geometry
from maskflownet.augmentation.geometry import GeometricAugmentation, geometry_maps
from maskflownet.augmentation.jitter import JitterDraws, draw_jitter, jitter
from maskflownet.config import DatasetConfig


class Draws(NamedTuple):
    """What the augmentation does to each sample of a batch: NumPy arrays that can be pickled."""

    geometry: GeometryDraws | AffineDraws
    color: ColorDraws | JitterDraws


class Augmentation:
    """The augmentation of one training run, on any device.

    Use it once per batch:

        draws = augmentation.draw(step, range(len(image1)))
        geo_aug, color_aug = augmentation.callables(draws)
        pipe.train_batch(image1, image2, flow, geo_aug, color_aug, valid)

    Parameters
    ----------
    config : config.DatasetConfig
        Its `target_shape` counts, its `geometry` or (if there is one) `affine`, and its `color`
        or `jitter`.
    seed : int
        Of the run, not negative.
    fast : bool
        Whether the operators of `kernels` do it; only where `kernels.use_fast` says so.
    """

    def __init__(self, config: DatasetConfig, seed: int, fast: bool = False):
        self._config = config
        self._seed = seed
        self._geometry = GeometricAugmentation(config.target_shape, fast)
        self._color = ColorAugmentation(fast)
        for block in (self._geometry, self._color):
            block.hybridize()

    def draw(self, step: int, samples: Sequence[int]) -> Draws:
        """Draw the random numbers for samples of a step.

        MXNet is not used, so that a thread can draw for the next step while the device is at work
        on this one: the noise takes longest, and NumPy lets other threads run meanwhile.

        Parameters
        ----------
        step : int
            Not negative.
        samples : sequence of int
            Numbers, not negative, that tell the samples of the step apart: their positions in the
            whole batch, whatever parts of it come here. (Not their numbers in the dataset: a batch
            may hold a pair twice, which should not come out the same twice.)

        Returns
        -------
        Draws
            Row i depends on the run's seed, the step and samples[i] alone.
        """
        config, key = self._config, (self._seed, step, samples)
        geometry: GeometryDraws | AffineDraws
        color: ColorDraws | JitterDraws
        if config.affine:
            geometry = draw_affine(config.affine, *key)
        else:
            geometry = draw_geometry(config.geometry, *key)
        if config.jitter:
            color = draw_jitter(config.jitter, *key, config.orig_shape)
        else:
            color = draw_color(config.color, *key, config.target_shape)
        return Draws(geometry, color)

    def callables(self, draws: Draws) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return geo_aug and color_aug for the samples drawn for.

        A batch may come in parts, each on its own device: each callable takes as many samples as
        its images are, in the order of `draws`, and goes on with the next ones at the next call.

        Parameters
        ----------
        draws : Draws
            From `draw`.

        Returns
        -------
        geo_aug : callable
            (image1, image2, flow, valid) -> the four, of the config's target_shape. NDArrays
            (n, C, H, W) on one device; flow is (u, v) in pixels, valid in 0..1. What else is to
            go where an image goes may follow its three channels as more of them.
        color_aug : callable
            (image1, image2) -> the two, in [0, 1]; NDArrays (n, 3, h, w) of target_shape.

        Both raise ValueError when called for more samples than were drawn for.
        """
        next_geometry, next_color = _InTurn(draws.geometry), _InTurn(draws.color)

        def geo_aug(image1, image2, flow, valid):
            if self._config.jitter:  # it comes first, on the images as they were read
                images = image1, image2
                colors = _jittered(next_color(len(image1)), *(image[:, :3] for image in images))
                image1, image2 = (
                    mx.nd.concat(own, image[:, 3:], dim=1) if image.shape[1] > 3 else own
                    for own, image in zip(colors, images, strict=True)
                )
            own = next_geometry(len(image1))
            to_maps = affine_maps if self._config.affine else geometry_maps
            maps = to_maps(own, image1.shape[2:], self._config.target_shape)
            on_device = _to_device(maps, image1.context)
            return self._geometry(image1, image2, flow, valid, *on_device)

        def color_aug(image1, image2):
            if self._config.jitter:
                return image1, image2
            own = next_color(len(image1))
            on_device = _to_device(color_change(own), image1.context)
            return self._color(image1, image2, *on_device)

        return geo_aug, color_aug


class _InTurn:
    """Hands out the rows of a NamedTuple of arrays, in order, some at each call."""

    def __init__(self, arrays):
        self._arrays = arrays
        self._taken = 0

    def __call__(self, count):
        start, stop, drawn = self._taken, self._taken + count, len(self._arrays[0])
        if stop > drawn:
            raise ValueError(f"augmentation: expected {drawn} samples as drawn for, got {stop}")
        self._taken = stop
        return type(self._arrays)(*(array[start:stop] for array in self._arrays))


def _jittered(draws, *images):
    """Return images, NDArrays (n, 3, H, W) in [0, 1], after the colour jitter."""
    as_bytes = (
        np.rint(image.asnumpy() * 255).astype(np.uint8).transpose((0, 2, 3, 1)) for image in images
    )
    changed = jitter(draws, *map(np.ascontiguousarray, as_bytes))
    return _to_device((image.transpose((0, 3, 1, 2)) for image in changed), images[0].context)


def _to_device(arrays, ctx):
    return [mx.nd.array(array, ctx, np.float32) for array in arrays]
