"""Both networks against the reference: parameters, forward pass, batch, GPU-neutrality."""

import mxnet as mx
import numpy as np
import pytest
from golden import NETWORKS, fill_with_recipe, golden, golden_parameters

from maskflownet.config import load_config
from maskflownet.network.pipeline import NETWORKS as CLASSES

RELATIVE = 1e-5  # of an output's largest value


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    block = CLASSES[request.param](load_config(request.param).network)
    block.initialize()
    fill_with_recipe(block)
    return block


def name_of(network):
    return type(network).__name__


def centred_pair(name):
    arrays = golden(f"forward_{name}")
    return [
        mx.nd.array(arrays[key].transpose(2, 0, 1)[None] / np.float32(255) - arrays["mean"])
        for key in ("image1", "image2")
    ]


def assert_close(got, wanted):
    assert got.shape == wanted.shape
    assert np.abs(got - wanted).max() <= RELATIVE * np.abs(wanted).max()


def test_parameters_have_the_reference_names_order_and_shapes(network):
    wanted = golden_parameters(name_of(network))
    created = [
        (parameter.name[len(network.prefix) :], list(parameter.shape))
        for parameter in network.collect_params().values()
    ]
    assert created == [(entry["legacy"], entry["shape"]) for entry in wanted]
    structured = {
        name: parameter.name[len(network.prefix) :]
        for name, parameter in network._collect_params_with_prefix().items()
    }
    assert structured == {entry["structured"]: entry["legacy"] for entry in wanted}


@pytest.mark.parametrize("hybridized", [False, True])
def test_forward_equals_the_reference(network, hybridized):
    network.hybridize(active=hybridized)
    outputs = network(*centred_pair(name_of(network)))
    wanted = golden(f"forward_{name_of(network)}")
    for level, flow in zip((6, 5, 4, 3, 2), outputs[0], strict=True):
        assert_close(flow.asnumpy(), wanted[f"flow{level}"])
    assert_close(outputs[1][0].asnumpy(), wanted["mask"])


def test_the_cascade_also_yields_the_first_stages_occlusion_mask():
    cascade = CLASSES["MaskFlownet"](load_config("MaskFlownet").network)
    cascade.initialize()
    fill_with_recipe(cascade)
    pair = centred_pair("MaskFlownet")
    own = cascade(*pair)[2][0].asnumpy()
    assert_close(own, cascade.MaskFlownet_S(*pair)[1][0].asnumpy())
    assert own.min() > 0 and own.max() < 1


def test_each_pair_of_a_batch_is_treated_alone(network):
    first, second = centred_pair(name_of(network))
    batch = network(
        mx.nd.concat(first, second, first, dim=0), mx.nd.concat(second, first, first, dim=0)
    )
    for index, pair in enumerate([(first, second), (second, first), (first, first)]):
        alone = network(*pair)
        assert_close(batch[0][-1][index].asnumpy(), alone[0][-1][0].asnumpy())
        assert_close(batch[-1][0][index].asnumpy(), alone[-1][0][0].asnumpy())


@pytest.mark.parametrize("hybridized", [False, True])
def test_everything_stays_on_the_context_of_the_input(network, hybridized):
    """A second CPU context stands in for a GPU: nothing may be made on the default device."""
    other = mx.cpu(1)
    block = CLASSES[name_of(network)](load_config(name_of(network)).network)
    block.initialize(ctx=other)
    block.hybridize(active=hybridized)
    outputs = block(mx.nd.ones((1, 3, 64, 64), ctx=other), mx.nd.ones((1, 3, 64, 64), ctx=other))
    assert outputs[0][-1].context == other
    assert np.isfinite(outputs[0][-1].asnumpy()).all()


def test_config_changes_the_network():
    config = load_config("MaskFlownet_S").network
    changed = type(config)(
        class_name="MaskFlownet_S", flow_multiplier=2.0, deform_bias=False, upfeat_ch=(16, 12, 8, 4)
    )
    block = CLASSES["MaskFlownet_S"](changed)
    shapes = {
        name: parameter.shape for name, parameter in block._collect_params_with_prefix().items()
    }
    assert "deform5.bias" not in shapes
    assert [shapes[f"upfeat{level}.0.weight"][1] for level in (5, 4, 3, 2)] == [16, 12, 8, 4]
    assert shapes["conv2f.0.weight"] == (32, 4, 3, 3)
    assert block.scale == 40
    block.initialize()
    assert block(mx.nd.ones((1, 3, 64, 64)), mx.nd.ones((1, 3, 64, 64)))[0][-1].shape[2:] == (
        16,
        16,
    )
