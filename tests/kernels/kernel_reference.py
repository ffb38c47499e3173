"""What the kernels compute, by the formulas in numpy and float64; and random inputs."""

from typing import NamedTuple

import numpy as np

DILATIONS = (1, 2, 4, 8, 16, 1, 1)
TAPS = [(i, j) for i in range(3) for j in range(3)]


def leaky(x, slope):
    return np.where(x > 0, x, slope * x)


def shifted(x, dy, dx):
    """Return y with y[..., i, j] = x[..., i + dy, j + dx], zeros from outside."""
    H, W = x.shape[2:]
    margin_y, margin_x = abs(dy), abs(dx)
    sides = ((0, 0), (0, 0), (margin_y, margin_y), (margin_x, margin_x))
    padded = np.pad(x, sides)
    return padded[..., margin_y + dy : margin_y + dy + H, margin_x + dx : margin_x + dx + W]


def cost_volume(features1, features2, max_displacement, slope):
    steps = range(-max_displacement, max_displacement + 1)
    shifts = [(features1 * shifted(features2, dy, dx)).mean(1) for dy in steps for dx in steps]
    return leaky(np.stack(shifts, axis=1), slope)


def convolve(x, weight, dilation=1, stride=1):
    """Return the 3x3 convolution, padded so that its first output lies on the first pixel."""
    taps = [shifted(x, (i - 1) * dilation, (j - 1) * dilation) for i, j in TAPS]
    columns = np.stack([tap[..., ::stride, ::stride] for tap in taps], axis=2)
    N, _, _, H, W = columns.shape
    product = weight.reshape(len(weight), -1) @ columns.reshape(N, -1, H * W)
    return product.reshape(N, -1, H, W)


def convolution_gradients(x, weight, gradient):
    """Return the gradients of a convolution's input and weight."""
    turned = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    own = np.empty_like(weight)
    for i, j in TAPS:
        own[:, :, i, j] = np.einsum("nohw,nchw->oc", gradient, shifted(x, i - 1, j - 1))
    return convolve(gradient, turned), own


def up_convolve(x, weight):
    """Return the transposed convolution: weight (C, O, 4, 4), stride 2, padding 1."""
    N, _, H, W = x.shape
    out = np.zeros((N, weight.shape[1], 2 * H + 2, 2 * W + 2), x.dtype)
    for i in range(4):
        for j in range(4):
            part = np.einsum("nchw,co->nohw", x, weight[:, :, i, j], optimize=True)
            out[:, :, i : i + 2 * H : 2, j : j + 2 * W : 2] += part
    return out[:, :, 1:-1, 1:-1]


def sample(image, y, x):
    """Sample (C, H, W) at (h, w) places: bilinear, neighbours clamped; zero outside [0, size)."""
    H, W = image.shape[1:]
    inside = (y >= 0) & (x >= 0) & (y < H) & (x < W)
    y, x = np.where(inside, y, 0), np.where(inside, x, 0)
    y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
    y1, x1 = np.minimum(y0 + 1, H - 1), np.minimum(x0 + 1, W - 1)
    dy, dx = y - y0, x - x0
    upper = (1 - dx) * image[:, y0, x0] + dx * image[:, y0, x1]
    lower = (1 - dx) * image[:, y1, x0] + dx * image[:, y1, x1]
    return ((1 - dy) * upper + dy * lower) * inside


def trade_off(matched, mask, term, slope):
    return leaky(matched / (1 + np.exp(-mask)) + term, slope)


def enlarged(x, stride):
    """Return (N, C, h, w) at `stride` times the size: sample k lies on k * stride."""
    for axis in (2, 3):
        size = x.shape[axis]
        place = np.arange(size * stride) / stride
        low = np.floor(place).astype(int)
        share = (place - low).reshape([-1 if one == axis else 1 for one in range(4)])
        next_one = np.minimum(low + 1, size - 1)
        x = (1 - share) * x.take(low, axis) + share * x.take(next_one, axis)
    return x


def multiscale_loss(label, valid, predictions, strides, weights, exponent):
    """Return the loss per sample and the last level's end-point error, (N,) each."""

    def mean(error):
        return (error * valid).sum((1, 2, 3)) / np.maximum(valid.sum((1, 2, 3)), 1e-30)

    loss = 0
    for prediction, stride, weight in zip(predictions, strides, weights, strict=True):
        difference = enlarged(prediction, stride) - label
        length = np.sqrt((difference**2).sum(1, keepdims=True) + 1e-8)
        robust = (np.abs(difference).sum(1, keepdims=True) + 1e-8) ** exponent
        loss = loss + weight * mean(robust if exponent else length)
    return loss, mean(length)


def deformable_convolution(features, flow, weight):
    """Return the 3x3 deformable convolution whose taps share the offset `flow` (y, x)."""
    H, W = features.shape[2:]
    rows, columns = np.mgrid[:H, :W].astype(flow.dtype)
    result = np.zeros((len(features), len(weight), H, W), features.dtype)
    for n, (image, (dy, dx)) in enumerate(zip(features, flow, strict=True)):
        for i, j in TAPS:
            tap = sample(image, rows + i - 1 + dy, columns + j - 1 + dx)
            result[n] += np.einsum("chw,oc->ohw", tap, weight[:, :, i, j])
    return result


class Form(NamedTuple):
    """What a dense block is made of: channels of its inputs and of its layers' outputs."""

    maps: tuple[int, ...]
    dense: tuple[int, ...]
    mask: bool = False
    feat: int = 0
    context: tuple[int, ...] = ()

    @property
    def outputs(self):
        """The names of what it returns."""
        return ["flow"] + ["mask"] * self.mask + ["feat"] * (self.feat > 0)

    def output_shapes(self, N, H, W):
        shapes = {"flow": (N, 2, H, W), "mask": (N, 1, H, W), "feat": (N, self.feat, 2 * H, 2 * W)}
        return [shapes[name] for name in self.outputs]

    def weight_shapes(self):
        """Yield the shapes of the weights, in the order of the operator's inputs."""
        width = sum(self.maps)
        for channels in self.dense:
            yield channels, width, 3, 3
            width += channels
        yield from ((outputs, width, 3, 3) for outputs in [2] + [1] * self.mask)
        if self.feat:
            yield width, self.feat, 4, 4
        for channels in self.context:
            yield channels, width, 3, 3
            width = channels

    def bias_shapes(self):
        heads = [2] + [1] * self.mask + [self.feat] * (self.feat > 0)
        return [(channels,) for channels in (*self.dense, *heads, *self.context)]


def dense_block(inputs, form, slope):
    """Return the outputs of a dense block; `inputs` as the operator takes them."""
    maps, parameters = inputs[: len(form.maps)], iter(inputs[len(form.maps) :])

    def bias():
        return next(parameters)[:, None, None]

    x = np.concatenate(maps, axis=1)
    for _ in form.dense:
        x = np.concatenate([leaky(convolve(x, next(parameters)) + bias(), slope), x], axis=1)
    flow = convolve(x, next(parameters)) + bias()
    mask = [convolve(x, next(parameters)) + bias()] if form.mask else []
    feat = [leaky(up_convolve(x, next(parameters)) + bias(), slope)] if form.feat else []
    for index, dilation in enumerate(DILATIONS[: len(form.context)]):
        x = convolve(x, next(parameters), dilation) + bias()
        x = leaky(x, slope) if index < 6 else x
    return [flow + x if form.context else flow, *mask, *feat]


def pyramid_shapes(N, H, W, channels):
    """Return the shapes of the outputs of a pyramid, given the channels of its levels 1 to 6."""
    shapes = []
    for level, outputs in enumerate(channels, start=1):
        H, W = -(-H // 2), -(-W // 2)
        shapes += [(N, outputs, H, W)] if level > 1 else []
    return 2 * shapes


def pyramid(inputs, slope):
    """Return the outputs of both images' pyramids; `inputs` as the operator takes them."""
    images, parameters = inputs[:2], inputs[2:]
    features = []
    for x in images:
        for i, (weight, bias) in enumerate(zip(parameters[::2], parameters[1::2], strict=True)):
            x = convolve(x, weight, stride=2 if i % 3 == 0 else 1) + bias[:, None, None]
            x = leaky(x, slope)
            features += [x] if i % 3 == 2 and i > 2 else []
    return features


# --- Random inputs --------------------------------------------------------------------------------


def random_block(rng, form, N, H, W, clear=False):
    """Return random inputs of a dense block, float32.

    With `clear`, biases outweigh everything, so that no activation is near zero, where rounding
    could turn LeakyReLU's derivative; each channel then has one sign throughout.
    """
    maps = [rng.standard_normal((N, channels, H, W)) for channels in form.maps]
    parameters = _random_layers(rng, form.weight_shapes(), form.bias_shapes(), clear)
    return [array.astype(np.float32) for array in (*maps, *parameters)]


def random_pyramid(rng, N, C, H, W, channels, clear=False):
    """Return random inputs of a pyramid, float32; `clear` as for `random_block`."""
    images = [rng.standard_normal((N, C, H, W)) for _ in "12"]
    outputs = [one for one in channels for _ in "abc"]
    shapes = [(one, before, 3, 3) for before, one in zip([C, *outputs[:-1]], outputs, strict=True)]
    parameters = _random_layers(rng, shapes, [(one,) for one in outputs], clear)
    return [array.astype(np.float32) for array in (*images, *parameters)]


def _random_layers(rng, shapes, bias_shapes, clear):
    """Return weights and biases in turn."""
    parameters = []
    for shape, bias_shape in zip(shapes, bias_shapes, strict=True):
        fan_in = np.prod(shape) / bias_shape[0]
        weight = rng.standard_normal(shape) * np.sqrt(1 / fan_in)
        bias = rng.standard_normal(bias_shape) * 0.1
        if clear:
            weight, bias = 0.15 * weight, np.sign(bias)
        parameters += [weight, bias]
    return parameters
