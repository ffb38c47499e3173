"""The copied start: a cascade that begins as its first stage, and what it adds to its flow."""

import dataclasses

import mxnet as mx
import numpy as np
import pytest
from golden import weights_of

from maskflownet.config import load_config
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
    starts.copy_first_stage(cascade)
    return cascade, first


def scenes(count):
    config = SceneConfig(shapes=(3, 6), max_motion_px=12)
    return [generate(5, index, SIZE, config) for index in range(count)]


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


def test_the_first_stage_stays_and_the_second_is_of_finite_numbers():
    cascade, first = copied()
    own, wanted = weights_of(cascade.network), weights_of(first.network)
    for name, value in wanted.items():
        np.testing.assert_array_equal(own[f"MaskFlownet_S.{name}"], value)
    assert all(np.isfinite(value).all() for value in own.values())
    np.testing.assert_array_equal(own["conv3z.0.weight"], wanted["conv3c.0.weight"])


def test_the_middle_of_a_cost_volume_is_found_in_it():
    """The displacements of up to 2 px per axis, in the order of both cost volumes."""
    wide = np.array([(y, x) for y in range(-4, 5) for x in range(-4, 5)])
    own = np.array([(y, x) for y in range(-2, 3) for x in range(-2, 3)])
    np.testing.assert_array_equal(wide[copied_start.MIDDLE], own)
