"""What is trained where coarse levels alone are, and what masks learn that are told."""

import dataclasses

import mxnet as mx
import numpy as np
import pytest
from golden import fill_with_recipe, weights_of

from maskflownet.augmentation import Augmentation
from maskflownet.config import InputError, load_config, load_dataset_config
from maskflownet.config.schedule import with_schedule
from maskflownet.network import get_pipeline
from maskflownet.network.layers import warp
from maskflownet.network.loss import MaskLoss

pytestmark = pytest.mark.usefixtures("thin_networks")

SIZE = (64, 128)
COUNT = 2


def pipeline(name="MaskFlownet_S", mw=None, kernels=None, **optimizer):
    config = load_config(name)
    network = dataclasses.replace(config.network, mw=mw or config.network.mw)
    optimizer = dataclasses.replace(config.optimizer, **optimizer)
    config = dataclasses.replace(config, network=network, optimizer=optimizer)
    pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=config, kernels=kernels)
    fill_with_recipe(pipe.network)
    if name == "MaskFlownet":
        pipe.fix_head()
    return pipe


def batch(flow=3.0):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (COUNT, 3, *SIZE), np.uint8) for _ in "12"]
    return *images, np.full((COUNT, 2, *SIZE), flow, np.float32)


def step(pipe, *arrays, geo_aug=lambda *arrays: arrays, **occlusion):
    arrays = arrays or batch()
    return pipe.train_batch(*arrays, geo_aug, lambda *images: images, **occlusion)


def gradients(pipe):
    """Return the last step's mean gradients by name, of what was trained in it."""
    named = pipe.network._collect_params_with_prefix().items()
    return {name: one.grad().asnumpy() for name, one in named if one.grad_req != "null"}


def assert_alike(one, other):
    assert one.keys() == other.keys()
    for name, value in one.items():
        atol = 1e-4 * np.abs(other[name]).max() + 1e-9
        np.testing.assert_allclose(value, other[name], rtol=1e-3, atol=atol, err_msg=name)


@pytest.mark.parametrize("name", ["MaskFlownet_S", "MaskFlownet"])
@pytest.mark.parametrize("finest", [3, pytest.param(4, marks=pytest.mark.long), 6])
def test_coarse_levels_get_the_gradients_of_a_loss_that_has_no_others(operators, name, finest):
    coarse = pipeline(name, finest_level=finest)
    weights = load_config(name).network.mw
    levels = dict(zip((6, 5, 4, 3, 2), weights, strict=True))
    mw = tuple(weight if level >= finest else 0.0 for level, weight in levels.items())
    whole = pipeline(name, mw=mw)
    figures, expected = step(coarse), step(whole)
    assert figures["loss"] == pytest.approx(expected["loss"], rel=1e-4)
    own = gradients(coarse)
    assert_alike(own, {name: value for name, value in gradients(whole).items() if name in own})
    assert any(value.any() for value in own.values())


def test_what_finer_levels_have_stays_and_the_rest_is_trained(operators):
    pipe = pipeline(finest_level=4)
    before = weights_of(pipe.network)
    step(pipe)
    finer = ("conv3_", "conv2_", "pred_flow3", "pred_flow2", "pred_mask3", "upfeat3", "upfeat2")
    finer += ("deform3", "deform2", "conv3f", "conv2f", "dc_conv")
    for name, value in weights_of(pipe.network).items():
        if name.startswith(finer):
            np.testing.assert_array_equal(value, before[name], name)
        elif name.startswith(("conv1a", "conv6_0", "conv4_4", "deform4", "pred_flow4", "conv4f")):
            assert (value != before[name]).any(), name


@pytest.mark.parametrize("name", ["MaskFlownet_S", "MaskFlownet"])
@pytest.mark.parametrize("finest", [3, *(pytest.param(n, marks=pytest.mark.long) for n in (4, 6))])
def test_the_same_is_trained_whatever_operators_run(name, finest):
    trained = [
        [
            key
            for key, parameter in pipe.network._collect_params_with_prefix().items()
            if parameter.grad_req != "null"
        ]
        for pipe in (
            pipeline(name, kernels=kernels, finest_level=finest) for kernels in ("auto", "builtin")
        )
    ]
    assert trained[0] == trained[1]
    assert (
        "pred_mask6.weight" not in trained[0] if finest == 6 else "conv5_0.0.weight" in trained[0]
    )


def test_weight_decay_leaves_what_is_not_trained_alone(operators):
    pipe = pipeline(finest_level=4, weight_decay=1e-2)
    before = weights_of(pipe.network)
    step(pipe)
    for name in ("upfeat3.0.weight", "pred_mask4.weight", "conv3_0.0.weight"):
        np.testing.assert_array_equal(weights_of(pipe.network)[name], before[name])


def test_its_error_is_that_of_the_finest_trained_level(operators):
    pipe = pipeline(finest_level=5)
    image1, image2, flow = batch()
    images = [image.transpose(0, 2, 3, 1) for image in (image1, image2)]
    errors = [
        np.linalg.norm(levels[1] - [3, 3], axis=-1).mean()
        for levels in pipe.predict_levels(zip(*images, strict=True))
    ]
    # The step is without the centring of predictions' sizes: these are multiples of 64.
    assert step(pipe, image1, image2, flow)["epe"] == pytest.approx(np.mean(errors), rel=1e-3)


def test_levels_end_in_what_is_predicted(operators):
    pipe = pipeline()
    rng = np.random.default_rng(1)
    pair = [rng.integers(0, 256, (50, 90, 3), np.uint8) for _ in "12"]
    (levels,) = pipe.predict_levels([pair])
    (prediction,) = pipe.predict_pairs([pair])
    assert len(levels) == 5 and all(flow.shape == (50, 90, 2) for flow in levels)
    np.testing.assert_array_equal(levels[-1], prediction.flow)
    assert np.abs(levels[0] - levels[-1]).max() > 1e-4


def test_the_mask_loss_is_the_cross_entropy_with_each_cells_visible_share():
    rng = np.random.default_rng(2)
    occluded = (rng.random((COUNT, 1, *SIZE)) < 0.3).astype(np.float32)
    known = (rng.random((COUNT, 1, *SIZE)) < 0.8).astype(np.float32)
    known[:, :, :32, :32] = 0  # cells of which nothing is known
    masks = [
        rng.normal(0, 30, (COUNT, 1, SIZE[0] // s, SIZE[1] // s)).astype(np.float32)
        for s in (64, 32, 16, 8)
    ]
    got = MaskLoss()(*map(mx.nd.array, (occluded, known, *masks))).asnumpy()

    def cells(x, s):
        return x.reshape(COUNT, SIZE[0] // s, s, SIZE[1] // s, s).mean((2, 4))

    wanted = np.zeros(COUNT)
    for s, mask in zip((64, 32, 16, 8), masks, strict=True):
        share = cells(known[:, 0], s).astype(np.float64)
        visible = cells(known[:, 0] * (1 - occluded[:, 0]), s) / np.maximum(share, 1e-30)
        x = mask[:, 0].astype(np.float64)
        entropy = visible * np.logaddexp(0, -x) + (1 - visible) * np.logaddexp(0, x)
        wanted += (entropy * share).sum((1, 2)) / share.sum((1, 2))
    np.testing.assert_allclose(got, wanted, rtol=1e-5)


def test_a_sample_of_which_nothing_is_known_adds_nothing():
    masks = [mx.nd.ones((1, 1, 64 // s, 128 // s)) * 1e4 for s in (64, 32, 16, 8)]
    nothing = mx.nd.zeros((1, 1, *SIZE))
    assert MaskLoss()(nothing, nothing, *masks).asscalar() == 0


def test_what_leaves_the_frame_is_hidden():
    image1, image2, flow = batch(0.0)
    flow[0, 0, :, -10:] = 10  # to the right, beyond the last column
    flow[0, 1, :5] = -6  # up, beyond the first row
    flow[1, 0, 20, 20] = 30
    seen = told_by(pipeline(mask_weight=1.0), image1, image2, flow)
    wanted = np.zeros((COUNT, 1, *SIZE), bool)
    wanted[0, 0, :, -10:] = wanted[0, 0, :5] = True
    np.testing.assert_array_equal(seen[0], wanted)
    assert (seen[1] == 1).all()


def told_by(pipe, *arrays, **options):
    """Return what the masks are told in a step: what is hidden, and where that is known."""
    seen = []

    def note(occluded, known, *masks):
        seen.extend((occluded.asnumpy(), known.asnumpy()))
        return mx.nd.zeros(COUNT)

    pipe._step._mask_loss = note
    step(pipe, *arrays, **{"occluded": np.zeros((COUNT, 1, *SIZE), bool), **options})
    return seen


def mask_cross_entropy(pipe, occluded):
    image1, image2, _ = batch()
    images = [image.transpose(0, 2, 3, 1) for image in (image1, image2)]
    total = 0
    for prediction, hidden in zip(
        pipe.predict_pairs(zip(*images, strict=True)), occluded, strict=True
    ):
        mask = prediction.mask[..., 0].clip(1e-6, 1 - 1e-6)
        total -= np.log(np.where(hidden[0], 1 - mask, mask)).mean()
    return total


def left_half():
    occluded = np.zeros((COUNT, 1, *SIZE), bool)
    occluded[..., : SIZE[1] // 2] = True
    return occluded


def test_masks_that_are_told_learn_what_is_hidden(operators):
    occluded = left_half()
    pipe = pipeline(mask_weight=10.0)
    pipe.trainer.set_learning_rate(3e-3)
    before = mask_cross_entropy(pipe, occluded)
    for _ in range(12):
        assert step(pipe, occluded=occluded)["updated"]
    assert mask_cross_entropy(pipe, occluded) < 0.7 * before


def test_what_is_not_known_or_does_not_count_changes_nothing(operators):
    reference = pipeline()
    step(reference)
    occluded = left_half()
    for pipe, knows in (
        (pipeline(), None),
        (pipeline(mask_weight=1.0), np.zeros(COUNT, bool)),
    ):
        step(pipe, occluded=occluded, knows_occluded=knows)
        assert_alike(gradients(pipe), gradients(reference))
    told = pipeline(mask_weight=1.0)
    step(told, occluded=occluded)
    difference = gradients(told)["pred_mask3.weight"] - gradients(reference)["pred_mask3.weight"]
    assert np.abs(difference).max() > 0


@pytest.mark.parametrize(
    ("dataset", "share"),
    [
        ("kitti", 0.15),
        ("mmflow/chairs", 1),
        pytest.param("kitti", 1, marks=pytest.mark.long),
        pytest.param("mmflow/chairs", 0.15, marks=pytest.mark.long),
    ],
)
def test_what_is_hidden_is_so_however_few_pixels_are_known(dataset, share):
    config = dataclasses.replace(
        load_dataset_config(dataset), orig_shape=(96, 160), target_shape=SIZE
    )
    augmentation = Augmentation(config, seed=3)
    rng = np.random.default_rng(5)
    image1, image2 = (rng.integers(0, 256, (COUNT, 3, 96, 160), np.uint8) for _ in "12")
    flow = np.zeros((COUNT, 2, 96, 160), np.float32)

    def told(occluded, valid):
        geo_aug, _ = augmentation.callables(augmentation.draw(1, range(COUNT)))
        given = {"geo_aug": geo_aug, "occluded": occluded, "mask": valid}
        return told_by(pipeline(mask_weight=1.0), image1, image2, flow, **given)

    everywhere = np.full((COUNT, 1, 96, 160), 255, np.uint8)
    valid = np.where(rng.random(everywhere.shape) < share, everywhere, np.uint8(0))
    is_gone, _ = told(everywhere == 0, everywhere)
    for occluded in (valid == 0, valid > 0):  # of what is not known, the opposite is said
        hidden, known = told(occluded, valid)
        assert (known > 0.01).mean() > share / 2
        wanted = np.ones_like(hidden) if occluded[valid > 0].all() else is_gone
        np.testing.assert_allclose(hidden[known > 0.01], wanted[known > 0.01], atol=1e-4)


@pytest.mark.parametrize("dataset", ["synthetic", "mmflow/chairs"])
def test_what_is_hidden_goes_where_image_1_goes(dataset):
    """Image 1 is white where it is hidden: so it stays, whatever the augmentation does."""
    config = dataclasses.replace(
        load_dataset_config(dataset), orig_shape=(96, 160), target_shape=SIZE
    )
    augmentation = Augmentation(config, seed=3)
    rng = np.random.default_rng(4)
    occluded = np.zeros((COUNT, 1, 96, 160), bool)
    occluded[:, :, 20:60, 30:90] = True
    image1 = np.repeat(occluded, 3, 1).astype(np.uint8) * 255
    flow = np.zeros((COUNT, 2, 96, 160), np.float32)
    geo_aug, _ = augmentation.callables(augmentation.draw(1, range(COUNT)))
    moved = []

    def keep(*arrays):
        moved.extend(geo_aug(*arrays))
        return moved

    image2 = rng.integers(0, 256, image1.shape, np.uint8)
    pipe = pipeline(mask_weight=1.0)
    hidden, known = told_by(pipe, image1, image2, flow, geo_aug=keep, occluded=occluded)
    warped = moved[0].asnumpy()[:, 3:]
    # Where image 2 shows nothing, be it for its frame or for that of its source, it is hidden too.
    shows = warp(mx.nd, moved[1][:, 3:], mx.nd.flip(moved[2], axis=1)).asnumpy() >= 0.5
    assert 0 < warped.mean() < 1 and shows.mean() > 0.3
    assert (shows.mean() < 1) == (dataset == "synthetic")  # MMFlow's keeps the frame full
    np.testing.assert_array_equal(hidden, np.where(shows, warped, 1))
    if dataset == "synthetic":  # colours do not change in geo_aug
        np.testing.assert_allclose(moved[0].asnumpy()[:, :1], warped, atol=1e-5)
    np.testing.assert_allclose(known, moved[3].asnumpy())


def test_a_robust_exponent_takes_the_place_of_the_networks_own():
    assert scheduled("MaskFlownet_S", {}, q=0.3).optimizer.q == 0.3
    assert scheduled("MaskFlownet_S_sintel", {}).optimizer.q == 0.4
    with pytest.raises(InputError, match=r"synthetic\.yaml: optimizer\.q: expected no exponent"):
        scheduled("mmflow/MaskFlownet_S_chairs", {}, q=0.4)


@pytest.mark.parametrize(
    ("name", "change"),
    [("MaskFlownet", {}), ("MaskFlownet_S", {"matching": "fmm"})],
)
def test_networks_without_masks_to_train_are_refused(name, change):
    with pytest.raises(InputError, match=r"synthetic\.yaml: optimizer\.mask_weight: expected 0"):
        scheduled(name, change, mask_weight=0.1)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("MaskFlownet", {}),
        ("MaskFlownet_S", {"matching": "fmm"}),
        ("MaskFlownet_S", {"dialect": "mmflow"}),  # its cost volumes are sums
    ],
)
def test_networks_that_cannot_be_lifted_are_refused(name, change):
    with pytest.raises(InputError, match=r"synthetic\.yaml: optimizer\.start: lifted: expected a"):
        scheduled(name, change, start="lifted")
    assert scheduled("MaskFlownet_S", {}, start="lifted").optimizer.finest_level == 2


@pytest.mark.parametrize(
    ("name", "change"), [("MaskFlownet_S", {}), ("MaskFlownet", {"dialect": "mmflow"})]
)
def test_networks_without_a_first_stage_to_copy_are_refused(name, change):
    wanted = "expected a MaskFlownet with network.dialect: original, got "
    with pytest.raises(InputError, match=rf"synthetic\.yaml: optimizer\.start: copied: {wanted}"):
        scheduled(name, change, start="copied")
    assert scheduled("MaskFlownet", {"matching": "fmm"}, start="copied").network.is_cascade


def scheduled(name, change, **optimizer):
    data = load_dataset_config("synthetic")
    data = dataclasses.replace(data, optimizer=dataclasses.replace(data.optimizer, **optimizer))
    config = load_config(name)
    network = dataclasses.replace(config.network, **change)
    return with_schedule(dataclasses.replace(config, network=network), data)


@pytest.mark.parametrize(
    ("optimizer", "said"),
    [
        ({"mw": (0,) * 5}, r"synthetic\.yaml: optimizer\.mw: .* 6 to 2, got \[0, 0, 0, 0, 0\]"),
        (
            {"mw": (0, 0, 0, 1, 1), "finest_level": 4},
            r"optimizer\.mw: .*, 6 to 4, got \[0, 0, 0, 1,",
        ),
    ],
)
def test_a_training_that_would_learn_nothing_is_refused(optimizer, said):
    with pytest.raises(InputError, match=said):
        scheduled("MaskFlownet_S", {}, **optimizer)
    assert scheduled("MaskFlownet_S", {}, mask_weight=1.0, **optimizer).optimizer.mask_weight == 1
    with pytest.raises(InputError, match=r"^MaskFlownet_S: network\.mw: expected a weight above 0"):
        scheduled("MaskFlownet_S", {"mw": (0,) * 5})


def test_a_datasets_level_weights_take_the_place_of_the_networks():
    mw = (0.1, 0.2, 0.3, 0.4, 0.5)
    assert scheduled("MaskFlownet_S", {}, mw=mw).network.mw == mw
    default = load_config("MaskFlownet_S").network.mw
    assert scheduled("MaskFlownet_S", {}).network.mw == default
