"""The heavy steps of both networks on the fast CPU operators of `kernels`.

The parameters are those of the plain graph. What the operators want arranged otherwise (heads
merged into one convolution, channels padded) they arrange themselves whenever they run.
"""

from enum import IntEnum
from typing import Any

import mxnet as mx

from maskflownet.config.layout import (
    CONTEXT_LAYERS,
    DENSE_CHANNELS,
    LEAKY_SLOPE,
    LEVELS,
    PYRAMID_CHANNELS,
)
from maskflownet.network.arrays import Array, Levels, Operators
from maskflownet.network.plain_operators import LevelOutput, PlainSteps


class Products(IntEnum):
    """What convolutions multiply; see kernels/source/kernels.h."""

    FLOAT32 = 0
    SPLIT = 1
    ROUNDED = 2


class FastSteps(PlainSteps):
    """The steps of one network, a cascade's first stage included.

    Parameters
    ----------
    training : bool
        Whether gradients will be asked for. If not, activations are not kept.
    rounded : bool
        Whether what convolutions multiply is rounded to bf16; see `kernels.check_precision`.
    """

    def __init__(self, training: bool, rounded: bool = False):
        self._training = training
        if rounded:
            self._products = Products.ROUNDED
        else:
            # Near zero, an error of 1e-5 is enough to turn an activation's gradient.
            self._products = Products.FLOAT32 if training else Products.SPLIT
        self._networks = {}  # each one's parameters, and their grad_req when it was traced

    def prepare(self, network: Any) -> None:
        """Have a network traced anew when what is done with its gradients has changed.

        The traced graph depends on it: nothing is kept for frozen parameters, and gradients that
        add up need a copy.
        """
        if network not in self._networks:  # collecting them takes milliseconds
            self._networks[network] = list(network.collect_params().values()), None
        parameters, traced = self._networks[network]
        grad_reqs = [parameter.grad_req for parameter in parameters]
        if grad_reqs != traced:
            self._networks[network] = parameters, grad_reqs
            network._clear_cached_op()

    def pyramids(
        self, F: Operators, network: Any, image1: Array, image2: Array, letters: str
    ) -> tuple[Levels, Levels]:
        """Run all convolutions of both images' pyramids at once."""
        layers = [
            getattr(network, f"conv{level}{letter}")[0]
            for level in PYRAMID_CHANNELS
            for letter in letters
        ]
        outputs = F.maskflownet_pyramid(
            image1,
            image2,
            *_parameters(F, layers, image1),
            keep=int(self._keeps(network)),
            products=int(self._products),
            slope=LEAKY_SLOPE,
        )
        levels, count = sorted(LEVELS), len(LEVELS)
        features = list(outputs)  # of image 1, of image 2; then what is kept for gradients
        first, second = features[:count], features[count : 2 * count]
        return dict(zip(levels, first, strict=True)), dict(zip(levels, second, strict=True))

    def upsample(self, F: Operators, x: Array, factor: int) -> Array:
        """Enlarge bilinearly in one pass, where MXNet pads, deconvolves and cuts."""
        return x if factor == 1 else F.maskflownet_enlarge(x, factor=factor)

    def cost_volume(
        self, F: Operators, features1: Array, features2: Array, max_displacement: int
    ) -> Array:
        """Return the activated cost volume; see `network.layers.cost_volume`."""
        return F.maskflownet_cost_volume(
            features1, features2, max_displacement=max_displacement, slope=LEAKY_SLOPE
        )

    def deform(self, F: Operators, layer: Any, features: Array, flow_yx: Array) -> Array:
        """Run a `DeformableConv` as a plain convolution and one warp: its taps share the offset."""
        parameters = [layer.weight, *([] if layer.bias is None else [layer.bias])]
        return F.maskflownet_tied_deform(
            features,
            flow_yx,
            *(_value(F, parameter, features) for parameter in parameters),
            bias=int(layer.bias is not None),
            products=int(self._products),
        )

    def warp(
        self, F: Operators, network: Any, image: Array, flow_yx: Array, repeat_border: bool = False
    ) -> Array:
        """Do it in one pass where no gradient of the flow will be asked for."""
        if self._keeps(network):
            return super().warp(F, network, image, flow_yx, repeat_border)
        return F.maskflownet_image_warp(image, flow_yx, repeat_border=int(repeat_border))

    def trade_off(
        self,
        F: Operators,
        matched: Array,
        mask: Array | None,
        term: Array | None,
        activated: bool,
    ) -> Array:
        """Do all of it in one pass, and its gradients in another; parts of it as they are."""
        if mask is None or term is None or not activated:
            return super().trade_off(F, matched, mask, term, activated)
        return F.maskflownet_trade_off(matched, mask, term, slope=LEAKY_SLOPE)

    def decode_level(
        self, F: Operators, network: Any, level: int, maps: list[Array]
    ) -> LevelOutput:
        """Run a level's dense block, its heads and, at level 2, the context network at once."""
        has_mask = level in network.mask_levels
        layers = [
            getattr(network, f"conv{level}_{index}")[0] for index in range(len(DENSE_CHANNELS))
        ]
        layers.append(network.layer("pred_flow", level))
        if has_mask:
            layers.append(network.layer("pred_mask", level))
        if level > 2:
            layers.append(network.layer("upfeat", level - 1)[0])
        else:
            numbers = range(1, len(CONTEXT_LAYERS) + 1)
            layers += [getattr(network, f"dc_conv{number}")[0] for number in numbers]
            layers.append(network.dc_conv7)
        outputs = F.maskflownet_dense_block(
            *maps,
            *_parameters(F, layers, maps[0]),
            maps=len(maps),
            mask=int(has_mask),
            feat=int(level > 2),
            context=int(level == 2),
            keep=int(self._keeps(network)),
            products=int(self._products),
            slope=LEAKY_SLOPE,
        )
        flow, *rest = list(outputs) if has_mask or level > 2 else [outputs]
        return LevelOutput(
            flow,
            mask=rest.pop(0) if has_mask else None,
            feat=rest.pop(0) if level > 2 else None,
        )

    def _keeps(self, network):
        """Return whether activations are kept for the gradients of a network's parameters."""
        parameters = network.collect_params().values()
        return self._training and any(array.grad_req != "null" for array in parameters)


def _parameters(F, layers, like):
    """Return weight and bias of each layer; see `_value`."""
    return [_value(F, array, like) for layer in layers for array in (layer.weight, layer.bias)]


def _value(F, parameter, like):
    """Return a parameter's array on the device of `like`, or its symbol while a graph is traced.

    Where gradients add up it is a copy, whose own gradient may be written.
    """
    value = parameter.var() if F is mx.sym else parameter.data(like.context)
    return F.identity(value) if parameter.grad_req == "add" else value
