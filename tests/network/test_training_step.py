"""A step's choices: weight decay, no update on a gradient that is not finite, sharing out."""

import dataclasses

import mxnet as mx
import numpy as np
import pytest
from golden import fill_with_recipe, weights_of

from maskflownet.config import load_config
from maskflownet.config.errors import InputError
from maskflownet.network import get_pipeline
from maskflownet.network.training_step import check_division, plain_layout

pytestmark = pytest.mark.usefixtures("thin_networks")

ONE, TWO = [mx.cpu(0)], [mx.cpu(0), mx.cpu(1)]


def pipeline(name="MaskFlownet_S", ctx=ONE, **optimizer):
    config = load_config(name)
    config = dataclasses.replace(
        config, optimizer=dataclasses.replace(config.optimizer, **optimizer)
    )
    pipe = get_pipeline("MaskFlownet", ctx=ctx, config=config)
    fill_with_recipe(pipe.network)
    if name == "MaskFlownet":
        pipe.fix_head()
    return pipe


def step(pipe, flow=3.0):
    rng = np.random.default_rng(0)
    count = len(pipe.ctx)
    images = [rng.integers(0, 256, (count, 3, 64, 64), np.uint8) for _ in "12"]
    label = np.full((count, 2, 64, 64), flow, np.float32)
    return pipe.train_batch(*images, label, lambda *arrays: arrays, lambda *images: images)


def means(pipe):
    """Return Adam's first moments by name."""
    names = list(pipe.network._collect_params_with_prefix())
    states = pipe.trainer._updaters[0].states
    return {names[index]: mean.asnumpy() for index, (mean, _) in states.items()}


def test_weight_decay_is_added_to_the_gradient_of_what_is_trained(operators):
    plain, decayed = pipeline("MaskFlownet"), pipeline("MaskFlownet", weight_decay=0.5)
    before = weights_of(plain.network)
    step(plain)
    step(decayed)
    without = means(plain)
    assert len(without) == 128
    for name, mean in means(decayed).items():
        np.testing.assert_allclose(mean - without[name], 0.05 * before[name], atol=1e-5)
    for name, value in weights_of(decayed.network).items():
        assert (value == before[name]).all() == name.startswith("MaskFlownet_S."), name


@pytest.mark.parametrize("ctx", [ONE, TWO])
def test_a_gradient_longer_than_its_limit_is_scaled_down_to_it(operators, ctx):
    """Adam's first means are a tenth of the mean gradient; here one image per device."""
    plain = pipeline(ctx=ctx)
    step(plain)
    gradients = {name: mean * 10 for name, mean in means(plain).items()}
    norm = np.sqrt(sum((g.astype(np.float64) ** 2).sum() for g in gradients.values()))
    for limit, expected in ((norm / 4, 0.25), (norm * 1.01, 1)):
        clipped = pipeline(ctx=ctx, clip_norm=float(limit))
        step(clipped)
        for name, mean in means(clipped).items():
            wanted = expected * gradients[name] / 10
            np.testing.assert_allclose(mean, wanted, rtol=1e-4, atol=1e-4 * np.abs(wanted).max())


def test_wd_is_not_applied():
    one, other = pipeline(wd=None), pipeline(wd=0.5)
    step(one)
    step(other)
    after = weights_of(other.network)
    for name, value in weights_of(one.network).items():
        np.testing.assert_array_equal(value, after[name])


def root_of_zero(label, valid, *predictions):
    """Return a loss of 0 whose gradient is not a number, and an error."""
    loss = (predictions[-1].mean(axis=0, exclude=True) * 0).sqrt()
    return loss, mx.nd.ones_like(loss)


def steep(label, valid, *predictions):
    """Return a loss whose gradient's squares are beyond float32, as Adam keeps them; an error."""
    loss = predictions[-1].mean(axis=0, exclude=True) * 1e30
    return loss, mx.nd.ones_like(loss)


@pytest.mark.parametrize("ctx", [ONE, TWO])
@pytest.mark.parametrize("loss", [root_of_zero, steep])
def test_a_gradient_beyond_float32_changes_nothing(operators, ctx, loss, monkeypatch):
    pipe = pipeline(ctx=ctx)
    assert step(pipe)["updated"] is True
    before, moments = weights_of(pipe.network), means(pipe)
    monkeypatch.setattr(pipe._step._loss, "forward", loss)
    figures = step(pipe)
    assert np.isfinite(figures["loss"]) and figures["updated"] is False
    after = weights_of(pipe.network)
    assert all((value == after[name]).all() for name, value in before.items())
    assert all((value == moments[name]).all() for name, value in means(pipe).items())
    monkeypatch.undo()
    assert step(pipe)["updated"] is True
    assert all(np.isfinite(value).all() for value in weights_of(pipe.network).values())


@pytest.mark.parametrize("name", ["MaskFlownet_S", "MaskFlownet"])
def test_weights_that_are_not_numbers_do_not_end_the_program(operators, name):
    """MXNet's deformable convolution would be asked for the gradient at places that are none."""
    pipe = pipeline(name)
    stage = pipe.network if name == "MaskFlownet_S" else pipe.network.MaskFlownet_S
    for level in (6, 4):
        getattr(stage, f"pred_flow{level}").bias.set_data(mx.nd.array([np.nan, np.inf]))
        figures = step(pipe)
        assert not np.isfinite(figures["loss"]) and figures["updated"] is False
    black = np.zeros((64, 64, 3), np.uint8)
    assert len(list(pipe.predict([black], [black]))) == 1


def test_a_loss_that_is_not_finite_is_told():
    pipe = pipeline()
    figures = step(pipe, flow=np.nan)
    assert np.isnan(figures["loss"]) and figures["updated"] is False


@pytest.mark.parametrize(
    ("batch", "part", "devices", "said"),
    [
        (8, 8, 3, "a multiple of 3, such as 6 or 9"),
        (1, 1, 2, r"a multiple of 2, such as 2 \("),
        (8, 3, 1, r"micro-batches of \[1, 2, 4, 8\]"),
        (8, 2, 4, r"micro-batches of \[4, 8\]"),
        (8, 16, 1, r"micro-batches of \[1, 2, 4, 8\]"),
    ],
)
def test_what_cannot_be_shared_out_says_what_can(batch, part, devices, said):
    with pytest.raises(InputError, match=said) as caught:
        check_division(batch, part, devices)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("batch", "part", "devices"), [(8, 8, 1), (8, 2, 2), (6, 3, 3)])
def test_what_can_be_shared_out_passes(batch, part, devices):
    check_division(batch, part, devices)


def test_weights_that_have_predicted_get_a_layout_that_all_of_mxnet_can_read():
    pipe = get_pipeline("MaskFlownet", [mx.cpu()], load_config("MaskFlownet_S"), kernels="builtin")
    fill_with_recipe(pipe.network)
    before = weights_of(pipe.network)
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    next(pipe.predict([image], [image]))
    array = pipe.network.conv1b[0].weight.data()
    with pytest.raises(mx.base.MXNetError, match="MKLDNN"):
        array[:] = array.asnumpy()
    plain_layout(pipe.network.collect_params().values())
    array[:] = array.asnumpy()
    for name, values in weights_of(pipe.network).items():
        np.testing.assert_array_equal(values, before[name])


def test_a_step_without_a_valid_pixel_has_no_error(operators):
    pipe = pipeline()
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (2, 3, 64, 64), np.uint8) for _ in "12"]
    label, mask = np.ones((2, 2, 64, 64), np.float32), np.zeros((2, 1, 64, 64), np.uint8)
    same = (lambda *arrays: arrays, lambda *images: images)
    figures = pipe.train_batch(*images, label, *same, mask)
    assert np.isnan(figures["epe"]) and figures["loss"] == 0 and figures["updated"]
    mask[1, 0, 5, 5] = 255
    assert pipe.train_batch(*images, label, *same, mask)["epe"] > 0
