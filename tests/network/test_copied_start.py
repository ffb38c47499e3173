"""The copied start: a cascade that begins as its first stage, and what it adds to its flow."""

import dataclasses
import re

import mxnet as mx
import numpy as np
import pytest
from golden import weights_of

from maskflownet.config import load_config
from maskflownet.config.layout import LEVELS, PYRAMID_CHANNELS
from maskflownet.network import copied_start, get_pipeline, starts
from maskflownet.reader.synthetic import SceneConfig, generate
from maskflownet.tasks.runs.shipped import shipped_weights

SIZE = (128, 192)


def pipeline(name, **network):
    config = load_config(name)
    config = dataclasses.replace(config, network=dataclasses.replace(config.network, **network))
    return get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=config)


def copied(**network):
    """Return a cascade over the weights that come with the project, and these alone."""
    first = pipeline("MaskFlownet_S")
    first.load(shipped_weights().path)
    cascade = pipeline("MaskFlownet", **network)
    cascade.load_head(shipped_weights().path)
    starts.copy_first_stage(cascade, *images_of(scenes(4)))
    return cascade, first


def scenes(count):
    config = SceneConfig(shapes=(3, 6), max_motion_px=12)
    return [generate(5, index, SIZE, config) for index in range(count)]


def images_of(samples):
    return [[getattr(one, name) for one in samples] for name in ("image1", "image2")]


def flows_of(pipe, samples):
    """Return each pair's flows of levels 6 to 2."""
    return [next(pipe.predict_levels([(one.image1, one.image2)])) for one in samples]


@pytest.mark.parametrize(
    "network",
    [{}, {"pyramids": "single"}, {"mask_channel": False}],
    ids=["dual", "single", "no-mask-channel"],
)
def test_without_what_it_adds_it_is_its_first_stage(network, monkeypatch):
    monkeypatch.setattr(copied_start, "GAINS", dict.fromkeys((6, 5, 4, 3, 2), 0))
    monkeypatch.setattr(copied_start, "FROM_ABOVE", 0)
    cascade, first = copied(**network)
    for own, wanted in zip(flows_of(cascade, scenes(2)), flows_of(first, scenes(2)), strict=True):
        for flow, stage_flow in zip(own, wanted, strict=True):
            np.testing.assert_allclose(flow, stage_flow, atol=2e-3)


def test_untrained_it_is_better_than_its_first_stage():
    samples = scenes(8)
    errors = [
        np.mean(
            [
                np.linalg.norm(flows[-1] - one.flow, axis=-1).mean()
                for flows, one in zip(flows_of(pipe, samples), samples, strict=True)
            ]
        )
        for pipe in copied()
    ]
    assert errors[0] < 0.99 * errors[1]


def test_what_it_finds_is_read_off_the_cost_volume_of_its_own_pyramid(monkeypatch):
    """At whole strength, where image 2 is shifted against its first stage's flow, it sees that."""
    monkeypatch.setattr(copied_start, "GAINS", dict.fromkeys((6, 5, 4, 3, 2), 1))
    cascade, _ = copied()
    for parameter in cascade.network.MaskFlownet_S.collect_params().values():
        if "pred_flow" in parameter.name or "dc_conv7" in parameter.name:
            parameter.set_data(mx.nd.zeros(parameter.shape))  # a first stage that finds nothing
    texture = generate(9, 0, (SIZE[0], SIZE[1] + 6), SceneConfig(shapes=(0, 0))).image1
    pair = texture[:, 6:], texture[:, :-6]  # which moves by 6 px, in reach of level 2's 2 cells
    (flows,) = cascade.predict_levels([pair])
    middle = flows[-1][32:-32, 32:-32]
    assert np.linalg.norm(middle - [6, 0], axis=-1).mean() < 3


@pytest.mark.parametrize(
    "network",
    [
        {},
        {"pyramids": "single", "matching": "fmm", "mask_channel": False},
        {"upfeat_ch": (2, 3, 5, 7), "deform_bias": False, "matching": "sym-conv"},
    ],
    ids=["default", "single", "other-layers"],
)
def test_decoders_and_pyramids_find_what_their_originals_find(network, monkeypatch):
    scales = {6: 0.5, 5: 2, 4: 3, 3: 1, 2: 0.7}
    monkeypatch.setattr(copied_start._Copy, "_measured_scales", lambda self, *images: scales)
    mx.random.seed(3)
    pipe = pipeline("MaskFlownet", **network)
    starts.copy_first_stage(pipe, *images_of(scenes(1)))
    cascade = pipe.plain_network()
    cascade.hybridize(False)
    first, rng = cascade.MaskFlownet_S, np.random.default_rng(3)

    def maps(channels):
        return mx.nd.array(rng.normal(0, 1, (1, channels, 4, 6)))

    for level in LEVELS:
        own, flow, stage_flow = maps(25), maps(2), maps(2)
        wide = np.zeros((1, 9, 9, 4, 6))
        wide[:, 2:-2, 2:-2] = scales[level] * own.asnumpy().reshape(1, 5, 5, 4, 6)
        wide = mx.nd.array(wide.reshape(1, 81, 4, 6))
        others = [maps(25)] * (cascade.pyramids.cost_volumes - 1)
        if level == 6:
            seen, seen_first = [*others, own, stage_flow], [wide]
        else:
            above = [maps(PYRAMID_CHANNELS[level]), maps(first.upfeat_channels[level])]
            seen = [*above, *others, own, flow, stage_flow]
            seen_first = [wide, *above, flow]
        out, wanted = (
            stage.steps.decode_level(mx.nd, stage, level, inputs)
            for stage, inputs in ((cascade, seen), (first, seen_first))
        )
        kept = (1 - copied_start.FROM_ABOVE) * (stage_flow - flow) if level < 6 else 0
        found = (out.flow - kept).asnumpy() / copied_start.GAINS[level]
        assert_alike(found, wanted.flow.asnumpy(), rtol=1e-4)
        if level > 2:
            assert_alike(out.feat.asnumpy(), wanted.feat.asnumpy(), rtol=1e-5)

    image = mx.nd.array(rng.normal(0, 0.3, (1, 3, *SIZE)))
    mask = [mx.nd.ones((1, 1, *SIZE))] * cascade.mask_channel
    own = cascade.pyramid(mx.nd.concat(image, *mask, dim=1), "xyz")
    for level, wanted in first.pyramid(image, "abc").items():
        assert_alike(own[level].asnumpy(), wanted.asnumpy(), rtol=1e-5)


def assert_alike(own, wanted, rtol):
    np.testing.assert_allclose(own, wanted, rtol=0, atol=rtol * np.abs(wanted).max())


def test_it_does_not_matter_how_large_the_first_stages_cost_volumes_are():
    """Those of levels 5 to 2 a tenth, and read ten times as strongly: the same first stage."""
    (cascade, first), (_, other) = copied(), copied()
    arrays = other.network._collect_params_with_prefix()
    for name, parameter in arrays.items():
        if re.match(r"deform|conv[2-5]f", name):
            parameter.set_data(parameter.data() / 10)
    for level in (5, 4, 3, 2):
        inputs = arrays[f"conv{level}_0.0.weight"].shape[1]
        for name, axis in readers(level):
            values = arrays[name].data().asnumpy().swapaxes(0, axis)
            before = len(values) - inputs
            values[before : before + 81] *= 10
            arrays[name].set_data(mx.nd.array(values.swapaxes(0, axis)))
    again = pipeline("MaskFlownet")
    for name, parameter in again.network.MaskFlownet_S._collect_params_with_prefix().items():
        parameter.set_data(arrays[name].data())
    starts.copy_first_stage(again, *images_of(scenes(4)))
    samples = scenes(1)
    flows = [flows_of(pipe, samples)[0][-1] for pipe in (first, other, cascade, again)]
    np.testing.assert_allclose(flows[1], flows[0], atol=1e-2)
    np.testing.assert_allclose(flows[3], flows[2], atol=1e-2)


def readers(level):
    """Return the weights that read what a level's dense block has gathered, with the axis."""
    names = [f"conv{level}_{index}.0" for index in range(5)] + [f"pred_flow{level}"]
    names.append("dc_conv1.0" if level == 2 else f"pred_mask{level}")
    upfeat = [(f"upfeat{level - 1}.0.weight", 0)] if level > 2 else []
    return [(f"{name}.weight", 1) for name in names] + upfeat


def test_the_first_stage_stays_and_the_second_is_of_finite_numbers():
    cascade, first = copied()
    own, wanted = weights_of(cascade.network), weights_of(first.network)
    for name, value in wanted.items():
        np.testing.assert_array_equal(own[f"MaskFlownet_S.{name}"], value)
    assert all(np.isfinite(value).all() for value in own.values())
    for level in LEVELS:
        weight = own[f"deform{level}.weight"]
        np.testing.assert_array_equal(weight[:, :, 1, 1], np.eye(len(weight)))
        assert np.abs(weight).sum() == len(weight) and not own[f"deform{level}.bias"].any()


def test_the_middle_of_a_cost_volume_is_found_in_it():
    """The displacements of up to 2 px per axis, in the order of both cost volumes."""
    wide = np.array([(y, x) for y in range(-4, 5) for x in range(-4, 5)])
    own = np.array([(y, x) for y in range(-2, 3) for x in range(-2, 3)])
    np.testing.assert_array_equal(wide[copied_start.MIDDLE], own)
