"""The ablations: each is what its row says, trains, and refuses the checkpoint of another."""

from types import SimpleNamespace

import mxnet as mx
import numpy as np
import pytest
from ablation_lists import array_list
from golden import DATA, golden_parameters

from maskflownet.config import load_config
from maskflownet.config.errors import InputError
from maskflownet.config.files import names_in_config
from maskflownet.config.layout import PYRAMID_CHANNELS
from maskflownet.config.matching import MATCHINGS
from maskflownet.config.network import PYRAMIDS as PYRAMID_NAMES
from maskflownet.network import get_pipeline
from maskflownet.network.files.parameters import load_parameters
from maskflownet.network.files.variant import network_keys
from maskflownet.network.layers import leaky, warp
from maskflownet.network.maskflownet import PYRAMIDS, MaskFlownet
from maskflownet.network.maskflownet_s import MaskFlownet_S
from maskflownet.network.matching import WAYS
from maskflownet.network.pipeline import NETWORKS as CLASSES
from maskflownet.network.plain_operators import LevelOutput, PlainSteps

FOLDER = "ablation/"
VARIANTS = [
    name.removeprefix(FOLDER) for name in names_in_config("network") if name.startswith(FOLDER)
]
DEFAULTS = {"deform": "MaskFlownet_S", "cascade-dual-mask": "MaskFlownet"}
LEVEL, STRIDE, CHANNELS, FEAT = 4, 16, 96, 16


def network_config(variant):
    return load_config(FOLDER + variant).network


def network_of(variant):
    config = network_config(variant)
    block = CLASSES[config.class_name](config)
    block.initialize(mx.init.Xavier())
    return block


def golden_list(variant):
    return (DATA / "ablation" / f"{variant}.txt").read_text().splitlines()


def shapes_in(variant, column):
    """Return {name: shape} of a golden list; column 0 has structured names, 1 legacy ones."""
    words = (line.split() for line in golden_list(variant))
    return {word[column]: tuple(map(int, word[2].split("x"))) for word in words}


def random(*shape, seed=0):
    return mx.nd.array(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def assert_same(one, other):
    np.testing.assert_allclose(one.asnumpy(), other.asnumpy(), atol=1e-5)


# --- configs and parameters -----------------------------------------------------------------------


def test_there_is_a_config_for_each_row():
    configs = [network_config(name) for name in VARIANTS]
    stages = [config for config in configs if config.class_name == "MaskFlownet_S"]
    assert sorted(config.matching for config in stages) == sorted(MATCHINGS)
    cascades = [config for config in configs if config.class_name == "MaskFlownet"]
    assert {(config.pyramids, config.mask_channel) for config in cascades} == {
        (pyramids, mask) for pyramids in PYRAMID_NAMES for mask in (True, False)
    }
    assert {config.matching for config in cascades} == {"deform"}
    assert len(configs) == 12


def test_the_names_in_configs_are_those_that_there_are():
    assert {matching.way for matching in MATCHINGS.values()} == set(WAYS)
    assert set(PYRAMIDS) == set(PYRAMID_NAMES)


@pytest.mark.parametrize("variant", VARIANTS)
def test_parameters_are_the_golden_list(variant):
    assert array_list(network_of(variant)) == golden_list(variant)


@pytest.mark.parametrize(("variant", "name"), DEFAULTS.items())
def test_the_last_row_is_the_default_network(variant, name):
    assert network_config(variant) == load_config(name).network
    wanted = [
        f"{entry['structured']} {entry['legacy']} {'x'.join(map(str, entry['shape']))}"
        for entry in golden_parameters(name)
    ]
    assert golden_list(variant) == wanted


# --- training and prediction ----------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_trains_a_step_and_predicts(thin_network, variant):
    mx.random.seed(0)
    pipe = get_pipeline("MaskFlownet", [mx.cpu()], load_config(FOLDER + variant))
    if isinstance(pipe.network, MaskFlownet):
        pipe.fix_head()
    parameters = pipe.network._collect_params_with_prefix()
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (1, 3, 64, 64), np.uint8) for _ in "12"]
    label = rng.normal(0, 4, (1, 2, 64, 64)).astype(np.float32)
    figures = pipe.train_batch(*images, label, lambda *all_: all_, lambda *pair: pair)
    assert figures["updated"] and np.isfinite(figures["loss"])
    moments = pipe.trainer._updaters[0].states
    for index, (name, parameter) in enumerate(parameters.items()):
        # At 64x64, level 6 is one pixel, and its deformed features come from outside of it.
        if parameter.grad_req != "null" and not name.startswith("deform6"):
            assert np.abs(moments[index][0].asnumpy()).max() > 0, f"{name} has no part in the loss"
    (prediction,) = pipe.predict(*([image[0, :, :60, :50].transpose(1, 2, 0)] for image in images))
    assert prediction.flow.shape == (60, 50, 2) and np.isfinite(prediction.flow).all()
    assert prediction.warped.shape == (60, 50, 3)
    if pipe.config.network.has_mask:
        assert prediction.mask.shape == (60, 50, 1)
        assert 0 < prediction.mask.min() <= prediction.mask.max() < 1
    else:
        assert prediction.mask is None
        assert not any("mask" in name for name in parameters)


# --- what is matched ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def level_inputs():
    """Return the two images' features, the flow, the mask before its sigmoid, and feat."""
    shapes = ((CHANNELS, 8, 8), (CHANNELS, 8, 8), (2, 8, 8), (1, 8, 8), (FEAT, 8, 8))
    features1, features2, flow, mask, feat = (
        random(1, *shape, seed=seed) for seed, shape in enumerate(shapes)
    )
    return features1, features2, flow, mask, feat


class OneLevel(PlainSteps):
    """Steps of a decoder that arrives at `LEVEL` with the flow, mask and features given."""

    def __init__(self, flow, mask, feat):
        self.out = LevelOutput(flow, mask, feat)

    def upsample(self, F, x, factor):
        return x

    def decode_level(self, F, network, level, maps):
        assert level > LEVEL
        return self.out if level == 6 else self.out._replace(flow=self.out.flow * 0)


class ComparedError(Exception):
    """Ends a decoder where features are compared."""


def matched(network, inputs):
    """Return image 1's and image 2's features as `decode` compares them at `LEVEL`."""
    features1, features2, *given = inputs
    network.steps = OneLevel(*given)
    compare = network.cost_volume

    def noted(F, level, *maps):
        if level == LEVEL:
            raise ComparedError(*maps)
        return compare(F, level, *maps)

    network.cost_volume = noted
    coarse = {level: random(1, PYRAMID_CHANNELS[level], 8, 8, seed=level) for level in (6, 5)}
    with pytest.raises(ComparedError) as end:
        network.decode(mx.nd, coarse | {LEVEL: features1}, coarse | {LEVEL: features2})
    return end.value.args


def in_pixels(flow):
    return flow * (20 / STRIDE)


@pytest.mark.parametrize("level", [5, 4, 3, 2])
def test_features_are_warped_by_the_pixels_of_their_level(level):
    features = random(1, 3, 8, 8)
    flow = mx.nd.zeros((1, 2, 8, 8))
    flow[:, 0], flow[:, 1] = 2**level / 20, 2 * 2**level / 20  # a pixel down, two to the right
    got = network_of("fmm").warp_features(mx.nd, level, features, flow)
    assert_same(got[:, :, :-1, :-2], features[:, :, 1:, 2:])


def test_fmm_warps_and_does_nothing_else(level_inputs):
    features1, features2, flow, _, _ = level_inputs
    one, other = matched(network_of("fmm"), level_inputs)
    assert one is features1
    assert_same(other, warp(mx.nd, features2, in_pixels(flow)))


@pytest.mark.parametrize("variant", ["ofmm", "sym-conv", "asym-conv"])
def test_ofmm_and_its_convolutions(variant, level_inputs):
    network = network_of(variant)
    features1, features2, flow, mask, feat = level_inputs
    one, other = matched(network, level_inputs)
    if variant == "sym-conv":
        features1 = network.shared_conv4(features1)
        features2 = network.shared_conv4(features2)
    if variant == "asym-conv":
        features2 = network.second_conv4(features2)
    warped = warp(mx.nd, features2, in_pixels(flow))
    assert_same(one, features1)
    assert_same(other, leaky(mx.nd, warped * mask.sigmoid() + network.conv4f(feat)))


@pytest.mark.parametrize("variant", ["deform", "deform-mask", "deform-tradeoff", "deform-plain"])
def test_asymofmm_with_and_without_its_terms(variant, level_inputs):
    network = network_of(variant)
    features1, features2, flow, mask, feat = level_inputs
    wanted = network.deform4(features2, in_pixels(flow))
    if variant in ("deform", "deform-mask"):
        wanted = wanted * mask.sigmoid()
    if variant in ("deform", "deform-tradeoff"):
        wanted = wanted + network.conv4f(feat)
    one, other = matched(network, level_inputs)
    assert one is features1
    assert_same(other, leaky(mx.nd, wanted))


# --- the cascade ----------------------------------------------------------------------------------


def test_one_pyramid_compares_its_own_features_alone():
    features3, features4 = ({LEVEL: random(1, CHANNELS, 8, 8, seed=seed)} for seed in (1, 2))
    network = network_of("cascade-single")
    image1_features, (volume,) = network.pyramids.compare(
        mx.nd, network, LEVEL, None, features3, features4, None
    )
    assert image1_features is features3[LEVEL]
    assert_same(volume, network.cost_volume(mx.nd, LEVEL, features3[LEVEL], features4[LEVEL]))


@pytest.mark.parametrize("variant", ["cascade-dual", "cascade-dual-mask"])
def test_the_mask_is_a_fourth_channel_or_none(variant):
    network = network_of(variant)
    image1, warped = random(1, 3, 8, 8, seed=1), random(1, 3, 8, 8, seed=2)
    stage = SimpleNamespace(mask=mx.nd.full((1, 1, 2, 2), -1.5), warped=warped)
    third, fourth = network.second_images(mx.nd, image1, stage)
    assert_same(third[:, :3], image1)
    assert_same(fourth[:, :3], warped)
    if variant == "cascade-dual":
        assert third.shape == fourth.shape == (1, 3, 8, 8)
    else:
        assert_same(third[:, 3], mx.nd.zeros((1, 8, 8)))
        assert_same(fourth[:, 3], mx.nd.full((1, 8, 8), 1 / (1 + np.exp(1.5)) - 0.5))


def test_a_cascade_over_a_first_stage_without_a_mask(tmp_path):
    path = tmp_path / "own.yaml"
    text = "network: {class: MaskFlownet, matching: fmm, mask_channel: %s}\n"
    schedule = "optimizer: {learning_rate: [[1, 1]]}\n"
    path.write_text(text % "true" + schedule)
    with pytest.raises(InputError, match=r"mask_channel: expected false over a first stage"):
        load_config(path)
    path.write_text(text % "false" + schedule)
    cascade = MaskFlownet(load_config(path).network)
    cascade.initialize()
    cascade.hybridize()
    outputs = cascade(mx.nd.ones((1, 3, 64, 64)), mx.nd.ones((1, 3, 64, 64)))
    assert len(outputs[0]) == 5 and outputs[-1] == []


# --- checkpoints of another variant ---------------------------------------------------------------


@pytest.mark.parametrize("column", [0, 1], ids=["structured", "legacy"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_files_arrays_tell_its_keys(variant, column):
    config = network_config(variant)
    wanted = {"matching": config.matching}
    if config.class_name == "MaskFlownet":
        wanted |= {"pyramids": config.pyramids, "mask_channel": config.mask_channel}
    assert network_keys(shapes_in(variant, column)) == wanted


@pytest.mark.parametrize(
    ("held", "wanted", "was", "now"),
    [
        ("fmm", "deform", "network.matching: fmm", "network.matching: deform"),
        ("sym-conv", "asym-conv", "network.matching: sym-conv", "network.matching: asym-conv"),
        ("deform-mask", "deform", "network.matching: deform-mask", "network.matching: deform"),
        (
            *("cascade-dual", "cascade-dual-mask"),
            *("network.mask_channel: false", "network.mask_channel: true"),
        ),
        (
            *("cascade-dual-mask", "cascade-single"),
            "network.pyramids: dual, network.mask_channel: true",
            "network.pyramids: single, network.mask_channel: false",
        ),
    ],
)
def test_another_variants_checkpoint_is_refused_by_name(held, wanted, was, now, tmp_path):
    path = tmp_path / "x.params"
    shapes = shapes_in(held, 0)
    mx.nd.save(str(path), {name: mx.nd.zeros(shape) for name, shape in shapes.items()})
    network = network_of(wanted)
    with pytest.raises(InputError) as caught:
        load_parameters(network, path)
    kind = type(network).__name__
    assert str(caught.value).startswith(
        f"{path}: holds a {kind} with {was}, but the configuration is of one with {now}; use "
    )


def test_a_legacy_checkpoint_is_refused_by_name(tmp_path):
    path = tmp_path / "x.params"
    shapes = shapes_in("deform", 1)
    mx.nd.save(str(path), {name: mx.nd.zeros(shape) for name, shape in shapes.items()})
    with pytest.raises(InputError, match=r"holds a MaskFlownet_S with network\.matching: deform"):
        load_parameters(network_of("ofmm"), path)


def test_a_first_stage_of_another_matching_is_no_head(tmp_path):
    path = tmp_path / "x.params"
    shapes = shapes_in("fmm", 0)
    mx.nd.save(str(path), {name: mx.nd.zeros(shape) for name, shape in shapes.items()})
    cascade = network_of("cascade-dual")
    assert isinstance(cascade.MaskFlownet_S, MaskFlownet_S)
    with pytest.raises(InputError, match=r"with network\.matching: fmm, but"):
        load_parameters(cascade.MaskFlownet_S, path)
