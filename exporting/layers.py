"""The networks' layers in ONNX, with the weights that they hold."""

import numpy as np
from mxnet.gluon import nn

from maskflownet.exporting.graph import Graph, Value


def array_of(parameter) -> np.ndarray:
    """Return the values of a Gluon parameter, float32."""
    return parameter.data(parameter.list_ctx()[0]).asnumpy()


class Layer:
    """A layer of a network, which adds itself to a graph when it is called.

    Parameters
    ----------
    graph : Graph
    block : mxnet.gluon.nn.HybridBlock
        A convolution, or a sequence of one and an activation.
    name : str
        Of its attribute: "conv1a".
    """

    def __init__(self, graph: Graph, block, name: str):
        self.graph = graph
        self.block = block
        self.name = name

    def __call__(self, x: Value) -> Value:
        """Return the layer's output for x (N, C, H, W), whose last channels may be zeros more."""
        sequence = isinstance(self.block, nn.HybridSequential)
        conv, *activations = self.block if sequence else [self.block]
        settings = conv._kwargs
        value = convolve(
            x,
            array_of(conv.weight),
            array_of(conv.bias),
            self.name,
            pads=settings["pad"] * 2,
            strides=settings["stride"],
            dilations=settings["dilate"],
        )
        return activated(value, activations[0]) if activations else value


def activated(value: Value, activation: nn.LeakyReLU) -> Value:
    """Return a value's LeakyReLU."""
    name = value.graph.node("LeakyRelu", value.name, alpha=activation._alpha)
    return Value(value.graph, name, value.channels)


def convolve(x: Value, weight: np.ndarray, bias: np.ndarray, name: str, **settings) -> Value:
    """Convolve with weight (outputs, inputs, height, width); x may have channels of zeros more."""
    missing = x.channels - weight.shape[1]
    weight = np.pad(weight, ((0, 0), (0, missing), (0, 0), (0, 0)))
    names = x.graph.constant(weight, f"{name}.weight"), x.graph.constant(bias, f"{name}.bias")
    node = x.graph.node("Conv", x.name, *names, name=name, **settings)
    return Value(x.graph, node, len(weight))


def joint_heads(x: Value, heads: list[Layer], up_conv: Layer | None = None) -> list[Value]:
    """Run what reads the same map as one convolution.

    Parameters
    ----------
    x : Value
        (N, C, H, W).
    heads : list of Layer
        Plain 3x3 convolutions.
    up_conv : Layer, optional
        A transposed convolution that doubles the size, with its activation.

    Returns
    -------
    list of Value
        The output of `up_conv`, if there is one, and those of the heads.
    """
    layers = [(head.name, *map(array_of, (head.block.weight, head.block.bias))) for head in heads]
    if up_conv:
        transposed, activation = up_conv.block
        arrays = as_convolution(array_of(transposed.weight), array_of(transposed.bias))
        layers.insert(0, (up_conv.name, *arrays))
    names, weights, biases = zip(*layers, strict=True)
    joint = convolve(
        x, np.concatenate(weights), np.concatenate(biases), "+".join(names), pads=(1, 1, 1, 1)
    )
    values = _split(joint, [len(bias) for bias in biases])
    if up_conv:
        name = x.graph.node("DepthToSpace", values[0].name, blocksize=2, mode="CRD")
        values[0] = activated(Value(x.graph, name, values[0].channels // 4), activation)
    return values


def _split(value, sizes):
    """Return parts of a value with so many channels each."""
    if len(sizes) == 1:
        return [value]
    graph = value.graph
    parts = graph.node("Split", value.name, graph.integers(*sizes), axis=1, outputs=len(sizes))
    return [Value(graph, part, size) for part, size in zip(parts, sizes, strict=True)]


def as_convolution(weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Turn a transposed convolution, kernel 4, stride 2, padding 1, into a plain 3x3 one.

    Parameters
    ----------
    weight, bias : numpy.ndarray
        (inputs, outputs, 4, 4) and (outputs,).

    Returns
    -------
    weight, bias : numpy.ndarray
        (4 * outputs, inputs, 3, 3) and (4 * outputs,): per output the four pixels, row by row, that
        a pixel becomes.
    """
    inputs, outputs = weight.shape[:2]
    result = np.zeros((outputs, 2, 2, inputs, 3, 3), weight.dtype)
    taps = {0: ((0, 3), (1, 1)), 1: ((1, 2), (2, 0))}  # of row 0 and 1: (tap here, tap there)
    for row, rows in taps.items():
        for column, columns in taps.items():
            for i, k in rows:
                for j, m in columns:
                    result[:, row, column, :, i, j] = weight[:, :, k, m].T
    return result.reshape(4 * outputs, inputs, 3, 3), np.repeat(bias, 4)
