"""The scaled start: what each layer makes of the pairs afterwards, in all networks."""

import mxnet as mx
import numpy as np
import pytest
from golden import weights_of

from maskflownet.config import load_config
from maskflownet.network import get_pipeline, scaled_start, starts
from maskflownet.network.images import centralise
from maskflownet.network.layers import DeformableConv, upsample
from maskflownet.network.pipeline import NETWORKS
from maskflownet.network.scaled_start import DECODER_SIZE, TRADEOFF_SIZE, scale_start
from maskflownet.reader.synthetic import SceneConfig, generate

pytestmark = pytest.mark.usefixtures("thin_networks")

SIZE = (128, 128)
SCENE = SceneConfig(max_motion_px=8)
CONFIGS = ("MaskFlownet_S", "MaskFlownet")
LEVELS_WITH_TRADEOFF = "5432"


@pytest.fixture(scope="module")
def images():
    """Four pairs as the network wants them."""
    scenes = [generate(1, index, SIZE, SCENE) for index in range(4)]
    stacks = (np.stack([getattr(scene, name) for scene in scenes]) for name in ("image1", "image2"))
    return centralise(*(mx.nd.array(stack.transpose(0, 3, 1, 2)) / 255 for stack in stacks))


def fresh(name):
    config = load_config(name).network
    network = NETWORKS[config.class_name](config)
    mx.random.seed(3)
    network.initialize(mx.init.MSRAPrelu(slope=0.1))
    return network


def outputs_of(network, images):
    """Return {layer: what it made of image 1, before its activation}."""
    seen, hooks = {}, []
    for name, block in network._children.items():
        inside = block[0] if isinstance(block, mx.gluon.nn.HybridSequential) else block
        if not isinstance(inside, (mx.gluon.nn.Conv2D, mx.gluon.nn.Conv2DTranspose)):
            continue

        def note(block, inputs, output, name=name):
            seen.setdefault(name, output.asnumpy())

        hooks.append(inside.register_forward_hook(note))
    predictions = network(*images)[0]
    for hook in hooks:
        hook.detach()
    return seen, [prediction.asnumpy() for prediction in predictions]


def is_of_size(output, size):
    mean, spread = output.mean(axis=(0, 2, 3)), output.std(axis=(0, 2, 3))
    np.testing.assert_allclose(mean, 0, atol=2e-2 * size)
    np.testing.assert_allclose(spread, size, rtol=2e-2)
    return True


@pytest.fixture(scope="module", params=CONFIGS)
def scaled(request, images):
    """A network, its weights before, and what its layers make of the pairs afterwards."""
    network = fresh(request.param)
    before = weights_of(network)
    scale_start(network, *images)
    return network, before, *outputs_of(network, images)


def test_features_are_of_unit_size_and_decoder_layers_small(scaled):
    _, _, outputs, _ = scaled
    letters = "xyz" if "conv1x" in outputs else "abc"
    for level in range(1, 7):
        assert all(is_of_size(outputs[f"conv{level}{letter}"], 1) for letter in letters)
    decoder = [name for name in outputs if name.startswith("upfeat") or "_" in name]
    decoder = [name for name in decoder if not name.startswith(("pred_", "dc_conv7"))]
    assert len(decoder) == 25 + 4 + 6
    assert all(is_of_size(outputs[name], DECODER_SIZE) for name in decoder)
    tradeoff = [f"conv{level}f" for level in LEVELS_WITH_TRADEOFF if letters == "abc"]
    assert all(is_of_size(outputs[name], TRADEOFF_SIZE) for name in tradeoff)


def test_the_original_start_is_far_from_that(images):
    outputs, _ = outputs_of(fresh("MaskFlownet_S"), images)
    assert outputs["conv6c"].std() < 0.05


def test_deformable_kernels_are_the_identity(scaled):
    network, *_ = scaled
    layers = [block for block in network._children.values() if isinstance(block, DeformableConv)]
    assert len(layers) == (5 if "MaskFlownet_S" in network._children else 4)
    features = mx.nd.array(np.random.default_rng(0).normal(size=(1, layers[-1]._channels, 6, 8)))
    still = mx.nd.zeros((1, 2, 6, 8))
    np.testing.assert_allclose(layers[-1](features, still).asnumpy(), features.asnumpy(), atol=1e-6)
    for layer in layers:
        weight = layer.weight.data().asnumpy()
        np.testing.assert_array_equal(weight[:, :, 1, 1], np.eye(layer._channels))
        assert np.count_nonzero(weight) == layer._channels


def test_little_flow_is_predicted_or_added_to_the_first_stages(scaled, images):
    network, _, _, predictions = scaled
    assert len(predictions) == 5
    start = mx.nd.zeros((4, 2, 2, 2))
    if "MaskFlownet_S" in network._children:
        start = network.MaskFlownet_S(*images)[0][0]
    for flow in predictions:  # pixels
        factor = flow.shape[2] // 2
        assert 0 < np.abs(flow - upsample(mx.nd, start, factor).asnumpy()).mean() < 0.5


def test_only_the_layers_of_its_own_are_scaled(scaled):
    network, before, *_ = scaled
    after = weights_of(network)
    first_stage = {name for name in before if name.startswith("MaskFlownet_S.")}
    assert bool(first_stage) == ("MaskFlownet_S" in network._children)
    for name in first_stage:
        np.testing.assert_array_equal(after[name], before[name])
    for name in before.keys() - first_stage:
        if name.endswith("weight"):
            assert (after[name] != before[name]).any(), name
    heads = ("pred_flow", "pred_mask", "dc_conv7")
    for name in (name for name in before.keys() - first_stage if name.startswith(heads)):
        factor = 0.02 if name.endswith("weight") else 1
        np.testing.assert_allclose(after[name], factor * before[name], rtol=1e-5)


@pytest.mark.parametrize(
    ("variant", "layers"), [("fmm", []), ("ofmm", []), ("sym-conv", ["shared_conv"])]
)
def test_the_variants_extra_layers_are_of_unit_size(images, variant, layers):
    network = fresh(f"ablation/{variant}")
    scale_start(network, *images)
    outputs, predictions = outputs_of(network, images)
    extra = [f"{layer}{level}" for layer in layers for level in LEVELS_WITH_TRADEOFF]
    assert all(is_of_size(outputs[name], 1) for name in [*extra, "conv2c", "conv6c"])
    assert all(np.abs(flow).mean() < 0.5 for flow in predictions)


def test_a_convolution_of_image_2_alone_is_the_identity(images):
    network = fresh("ablation/asym-conv")
    scale_start(network, *images)
    for level in LEVELS_WITH_TRADEOFF:
        layer = getattr(network, f"second_conv{level}")
        features = mx.nd.random.normal(shape=(1, layer[0].weight.shape[1], 6, 8))
        np.testing.assert_allclose(layer(features).asnumpy(), features.asnumpy(), atol=1e-6)


@pytest.mark.parametrize("variant", ["deform-plain", "cascade-single", "cascade-single-mask"])
def test_variants_without_masks_or_a_second_pyramid_are_scaled_too(images, variant):
    network = fresh(f"ablation/{variant}")
    scale_start(network, *images)
    outputs, _ = outputs_of(network, images)
    letter = "z" if "conv6z" in outputs else "c"
    assert is_of_size(outputs[f"conv6{letter}"], 1) and is_of_size(outputs["conv2_4"], DECODER_SIZE)


@pytest.mark.parametrize("images", ["black", "grey"])
def test_images_without_anything_in_them_blow_nothing_up(images):
    level = {"black": 0.0, "grey": 0.3}[images]
    # Three, so that a mean of what is all the same is rounded, and the spread not quite zero.
    flat = mx.nd.full((3, 3, 64, 64), level)
    network = fresh("MaskFlownet_S")
    scale_start(network, flat, flat)
    for name, weight in weights_of(network).items():
        assert np.isfinite(weight).all() and np.abs(weight).max() < 100, name
    assert all(np.isfinite(flow).all() for flow in outputs_of(network, (flat, flat))[1])


def scenes_for_pipe():
    scenes = [generate(2, index, (64, 64), SCENE) for index in range(2)]
    return [[getattr(scene, name) for scene in scenes] for name in ("image1", "image2")]


@pytest.fixture(scope="module")
def pipes():
    """The same start in pipelines of fast and of plain operators, and once more."""
    made = []
    for kernels in ("auto", "builtin", "builtin"):
        mx.random.seed(4)
        config = load_config("MaskFlownet_S")
        pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=config, kernels=kernels)
        before = next(pipe.predict(*scenes_for_pipe())).flow
        starts.scale(pipe, *scenes_for_pipe())
        made.append((pipe, before))
    return made


@pytest.mark.parametrize(
    ("size", "seen"), [((64, 64), (256, 256)), ((128, 320), (256, 320)), ((300, 100), (320, 256))]
)
def test_small_images_are_enlarged_first(monkeypatch, size, seen):
    """Else the coarsest level would be a pixel or two, all of it border."""
    given = []
    monkeypatch.setattr(scaled_start, "scale_start", lambda network, *images: given.extend(images))
    pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=load_config("MaskFlownet_S"))
    black, white = np.zeros((*size, 3), np.uint8), np.full((*size, 3), 255, np.uint8)
    starts.scale(pipe, 3 * [black], 3 * [white])
    assert [images.shape for images in given] == 2 * [(3, 3, *seen)]
    assert given[0].max() < 0 < given[1].min()


def test_the_same_seed_gives_the_same_weights(pipes):
    first, *others = (weights_of(pipe.network) for pipe, _ in pipes)
    for other in others:
        for name, weight in first.items():
            np.testing.assert_array_equal(other[name], weight)


def test_what_predicts_and_what_trains_see_the_scaled_weights(pipes):
    """Each graph was traced with the weights of before."""
    flows = []
    for pipe, before in pipes:
        prediction = next(pipe.predict(*scenes_for_pipe()))
        assert np.abs(prediction.flow - before).max() > 1e-6
        flows.append(prediction.flow)
        inputs = (mx.nd.random.normal(shape=(1, 3, 64, 64)) for _ in "12")
        plain = NETWORKS["MaskFlownet_S"](pipe.config.network, params=pipe.network.collect_params())
        inputs = list(inputs)
        one, other = (network(*inputs)[0][-1].asnumpy() for network in (pipe.network, plain))
        np.testing.assert_allclose(one, other, atol=1e-4 * np.abs(other).max() + 1e-6)
    np.testing.assert_allclose(flows[0], flows[1], atol=1e-4)
