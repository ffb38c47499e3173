"""What is arranged otherwise in ONNX than in MXNet computes the same."""

import mxnet as mx
import numpy as np
import pytest
from onnx_runs import run_graph

from maskflownet.exporting.cost_volume import cost_volume
from maskflownet.exporting.deformable import tied_deformable
from maskflownet.exporting.graph import Value
from maskflownet.exporting.layers import as_convolution
from maskflownet.exporting.operators import Operators
from maskflownet.exporting.steps import OnnxSteps
from maskflownet.network import layers

SIZES = [(1, 1), (1, 5), (2, 3), (3, 1), (4, 17), (9, 16)]


def arrays(*shapes, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("reach", [2, 4])
def test_cost_volume(size, reach):
    one, two = arrays((2, 5, *size), (2, 5, *size))
    got = run_graph(lambda graph, *values: cost_volume(graph, *values, reach), one, two)
    # Before the activation.
    wanted = mx.nd.Correlation(
        mx.nd.array(one),
        mx.nd.array(two),
        kernel_size=1,
        max_displacement=reach,
        pad_size=reach,
        is_multiply=1,
    )
    np.testing.assert_allclose(got, wanted.asnumpy(), atol=1e-5)


def deformed(features, flow_yx, weight):
    """What MXNet's deformable convolution makes of one offset for all taps."""
    offset = np.tile(flow_yx, (1, layers.KERNEL_TAPS, 1, 1))
    return mx.nd.contrib.DeformableConvolution(
        *map(mx.nd.array, (features, offset, weight)),
        kernel=(3, 3),
        pad=(1, 1),
        num_filter=len(weight),
        no_bias=True,
    ).asnumpy()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["near", "far", "whole", "just"])
def test_deformable_convolution_up_to_the_border_and_beyond(size, kind):
    features, weight, flow = arrays((2, 4, *size), (4, 4, 3, 3), (2, 2, *size))
    if kind == "far":
        flow *= 1e4
    elif kind == "whole":  # on pixels: where one cell ends and the next begins
        flow = np.round(3 * flow)
    elif kind == "just":  # a hair from pixels, also from the image's border
        flow = np.round(3 * flow) + np.where(flow > 0, 1e-3, -1e-3).astype(np.float32)
    else:
        flow *= 2
    got = run_graph(
        lambda graph, *values: tied_deformable(graph, *values, graph.constant(weight)),
        features,
        flow,
    )
    np.testing.assert_allclose(got, deformed(features, flow, weight), atol=2e-4)


def test_transposed_convolution_as_a_plain_one():
    x, weight, bias = arrays((2, 3, 4, 5), (3, 2, 4, 4), (2,))
    wanted = mx.nd.Deconvolution(
        *map(mx.nd.array, (x, weight, bias)),
        kernel=(4, 4),
        stride=(2, 2),
        pad=(1, 1),
        num_filter=2,
        no_bias=False,
    ).asnumpy()
    plain, plain_bias = map(mx.nd.array, as_convolution(weight, bias))
    parts = mx.nd.Convolution(
        mx.nd.array(x), plain, plain_bias, kernel=(3, 3), pad=(1, 1), num_filter=8
    )
    got = parts.reshape((2, 2, 2, 2, 4, 5)).transpose((0, 1, 4, 2, 5, 3)).reshape((2, 2, 8, 10))
    np.testing.assert_allclose(got.asnumpy(), wanted, atol=1e-5)


@pytest.mark.parametrize("factor", [1, 2, 4])
@pytest.mark.parametrize("size", [(1, 1), (2, 5)])
def test_upsampling(size, factor):
    (x,) = arrays((2, 3, *size))
    got = run_graph(
        lambda graph, value: OnnxSteps().upsample(Operators(graph), value * 1.5, factor), x
    )
    wanted = layers.upsample(mx.nd, 1.5 * mx.nd.array(x), factor).asnumpy()
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("repeat_border", [False, True])
def test_warping(repeat_border):
    image, flow_yx = arrays((2, 3, 5, 7), (2, 2, 5, 7))
    flow_yx *= 3
    got = run_graph(
        lambda graph, *values: layers.warp(Operators(graph), *values, repeat_border), image, flow_yx
    )
    wanted = layers.warp(mx.nd, mx.nd.array(image), mx.nd.array(flow_yx), repeat_border).asnumpy()
    np.testing.assert_allclose(got, wanted, atol=1e-4)


def test_operators_without_an_onnx_form_are_named():
    def write(graph, value):
        return Operators(graph).softmax(value)

    with pytest.raises(NotImplementedError, match="softmax: has no ONNX form yet"):
        run_graph(write, *arrays((1, 1, 1, 1)))


def test_equal_constants_are_kept_once():
    kept = []

    def write(graph, value):
        names = [graph.constant(np.ones((3, 3), np.float32), name) for name in ("one", "two", None)]
        kept.append((names, len(graph.constants)))
        return Value(graph, graph.node("Identity", value.name), value.channels)

    run_graph(write, *arrays((1, 1, 1, 1)))
    assert kept == [(["one"] * 3, 1)]
