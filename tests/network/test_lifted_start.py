"""The lifted start: what coarse levels find that begin as copies of level 3, and what stays."""

import mxnet as mx
import numpy as np
import pytest
from golden import weights_of

from maskflownet.config import load_config
from maskflownet.network import get_pipeline, starts
from maskflownet.network.scaled_start import scale_start
from maskflownet.reader.synthetic import SceneConfig, generate
from maskflownet.tasks.runs.shipped import shipped_weights

SIZE = (256, 320)
COARSE = ("conv4", "conv5", "conv6", "deform4", "deform5")
HEADS = ("pred_flow4", "pred_flow5", "pred_flow6", "pred_mask4", "pred_mask5", "pred_mask6")
UPFEATS = ("upfeat3", "upfeat4", "upfeat5")  # what levels 4 to 6 hand down
FAR_PX = 48  # beyond the reach of levels 3 and 2: 4 cells of 8 px and 4 of 4 px


def shipped():
    pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=load_config("MaskFlownet_S"))
    pipe.load(shipped_weights().path)
    return pipe


def scenes(size=SIZE):
    config = SceneConfig(shapes=(0, 0), max_motion_px=8)
    pairs = [generate(5, index, size, config) for index in range(2)]
    return [[getattr(pair, name) for pair in pairs] for name in ("image1", "image2")]


def moved(distance):
    """Return a textured image and the same moved to the right, cut from a larger one."""
    height, width = SIZE
    still = SceneConfig(shapes=(0, 0), max_motion_px=8)
    image = generate(9, 0, (height, width + distance), still).image1
    return image[:, distance:], image[:, :width]


def forget_coarse_levels(pipe):
    """Give levels 4 to 6 weights of which features come that say nothing."""
    for name, parameter in pipe.network._collect_params_with_prefix().items():
        if name.startswith((*COARSE, *HEADS, *UPFEATS)):
            parameter.set_data(parameter.data() * 1e-3)


def level_errors(pipe, distance):
    """Return each level's mean error in px where the true place is within the image."""
    (flows,) = pipe.predict_levels([moved(distance)])
    seen = np.s_[32:-32, 32 : -distance - 32]
    return {
        level: np.linalg.norm(flow[seen] - [distance, 0], axis=-1).mean()
        for level, flow in zip((6, 5, 4, 3, 2), flows, strict=True)
    }


def test_coarse_levels_that_say_nothing_find_far_motion_without_training():
    pipe = shipped()
    forget_coarse_levels(pipe)
    before = level_errors(pipe, FAR_PX)
    assert before[4] > 0.95 * FAR_PX
    starts.lift(pipe, *scenes(), seed=0)
    after = level_errors(pipe, FAR_PX)
    assert after[4] < 0.5 * FAR_PX


def test_all_other_layers_stay_as_they_are():
    pipe = shipped()
    before = weights_of(pipe.network)
    starts.lift(pipe, *scenes(), seed=0)
    for name, value in weights_of(pipe.network).items():
        lifted = name.startswith((*COARSE, *HEADS, *UPFEATS))
        assert (value != before[name]).any() == lifted, name


def test_features_are_those_of_level_3_at_half_the_size_and_as_large():
    pipe = shipped()
    starts.lift(pipe, *scenes(), seed=0)
    plain, image1, _ = starts.plain_inputs(pipe, *scenes())
    features = {level: maps.asnumpy() for level, maps in plain.pyramid(image1, "abc").items()}
    size = np.sqrt((features[3] ** 2).mean())
    for level in (4, 5, 6):
        own = features[level]
        assert np.sqrt((own[:, :64] ** 2).mean()) == pytest.approx(size, rel=1e-3)
        assert np.sqrt((own[:, 64:] ** 2).mean()) < size
    # LeakyReLU comes three times more, so that what is below zero nearly vanishes.
    blurred = np.maximum(features[3], 0)[:, :, ::2, ::2]
    for channel in range(64):
        if blurred[:, channel].std() > 0.1 * blurred.std():
            pair = features[4][:, channel, 2:-2, 2:-2], blurred[:, channel, 2:-2, 2:-2]
            assert np.corrcoef(*map(np.ravel, pair))[0, 1] > 0.5, channel


def test_the_seed_decides_what_is_random():
    pipes = [shipped() for _ in range(3)]
    for pipe, seed in zip(pipes, (1, 1, 2), strict=True):
        starts.lift(pipe, *scenes((128, 128)), seed=seed)
    one, again, other = (weights_of(pipe.network) for pipe in pipes)
    name = "conv5b.0.weight"
    np.testing.assert_array_equal(one[name], again[name])
    assert (one[name] != other[name]).any()


def test_it_stands_on_scaled_weights_too(monkeypatch):
    """From nothing it copies what cannot match yet; nothing is blown up."""
    pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=load_config("MaskFlownet_S"))
    scale_start(*starts.plain_inputs(pipe, *scenes((128, 128))))
    starts.lift(pipe, *scenes((128, 128)), seed=0)
    assert all(np.isfinite(value).all() for value in weights_of(pipe.network).values())
    assert max(level_errors(pipe, 8).values()) < 20
