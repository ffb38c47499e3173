"""The pipeline against the reference: predict, validate, losses, gradients and training steps."""

import itertools

import mxnet as mx
import numpy as np
import pytest
from golden import NETWORKS, golden, recipe_pipeline

from maskflownet import kernels
from maskflownet.config import load_config
from maskflownet.config.errors import InputError
from maskflownet.network import get_pipeline
from maskflownet.network.images import centralise
from maskflownet.network.loss import MultiscaleLoss

# Of a flow in pixels. The fast operators round otherwise.
TOLERANCE = {"builtin": 1e-4, "auto": 1e-3}


@pytest.fixture(scope="module", params=NETWORKS)
def pipe(request, operators):
    return recipe_pipeline(request.param)


def name_of(pipe):
    return pipe.config.network.class_name


def no_geometry(image1, image2, flow, valid):
    return image1, image2, flow, valid


def no_color(image1, image2):
    return image1, image2


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize(("resize", "kind"), [(None, "default"), ((192, 256), "resize")])
def test_predict_equals_the_reference(pipe, operators, resize, kind, batch_size):
    wanted = golden(f"predict_{name_of(pipe)}")
    predictions = list(pipe.predict(wanted["image1"], wanted["image2"], batch_size, resize))
    assert len(predictions) == 2
    for index, (flow, mask, warped) in enumerate(predictions):
        assert flow.dtype == mask.dtype == warped.dtype == np.float32
        tolerance = TOLERANCE[operators]
        np.testing.assert_allclose(flow, wanted[f"flow_{kind}"][index], atol=tolerance)
        np.testing.assert_allclose(warped, wanted[f"warped_{kind}"][index], atol=1e-4)
        assert mask.shape == wanted[f"mask_{kind}"][index].shape
        if name_of(pipe) == "MaskFlownet_S":
            np.testing.assert_allclose(mask, wanted[f"mask_{kind}"][index], atol=1e-4)


def test_the_cascade_predicts_its_first_stages_mask(thin_network, operators):
    images = golden("predict_MaskFlownet")
    cascade = recipe_pipeline("MaskFlownet")
    head = recipe_pipeline("MaskFlownet_S")
    for parameter, own in zip(
        head.network.collect_params().values(),
        cascade.network.MaskFlownet_S.collect_params().values(),
        strict=True,
    ):
        parameter.set_data(own.data())
    for one, other in zip(
        cascade.predict(images["image1"], images["image2"]),
        head.predict(images["image1"], images["image2"]),
        strict=True,
    ):
        np.testing.assert_allclose(one.mask, other.mask, atol=1e-6)


def test_builtin_operators_predict_beside_the_fast_ones(thin_network, operators, monkeypatch):
    pipe = recipe_pipeline("MaskFlownet")
    images = [golden("predict_MaskFlownet")[name][:1] for name in ("image1", "image2")]
    (own,), (builtin,) = pipe.predict(*images), pipe.on_builtin().predict(*images)
    monkeypatch.setenv(kernels.VARIABLE, "builtin")
    (plain,) = recipe_pipeline(pipe.config.name).predict(*images)
    np.testing.assert_array_equal(builtin.flow, plain.flow)
    assert np.array_equal(own.flow, builtin.flow) == (operators == "builtin")
    (again,) = pipe.predict(*images)
    np.testing.assert_array_equal(again.flow, own.flow)


def test_predict_splits_a_batch_over_devices(operators):
    images = golden("predict_MaskFlownet_S")
    three = [np.concatenate([images[key], images[key][:1]]) for key in ("image1", "image2")]
    two_devices = recipe_pipeline("MaskFlownet_S", ctx=[mx.cpu(0), mx.cpu(1)])
    for index, prediction in enumerate(two_devices.predict(*three, batch_size=3)):
        np.testing.assert_allclose(
            prediction.flow, images["flow_default"][index % 2], atol=TOLERANCE[operators]
        )


def test_validate_equals_the_reference(pipe):
    data = golden(f"validate_{name_of(pipe)}")
    arguments = [data[key] for key in ("image1", "image2", "flow", "valid")]
    for kind in ("epe", "kitti"):
        got = pipe.validate(*arguments, batch_size=1, return_type=kind)
        assert got == pytest.approx(float(data[f"{kind}_mask"]), rel=1e-5)
    everywhere = np.full_like(data["valid"], 255)
    assert pipe.validate(*arguments[:3]) == pytest.approx(pipe.validate(*arguments[:3], everywhere))


def _trainings():
    """Yield each training of the reference, with the operators that it shall run on."""
    for name, q, choice in itertools.product(NETWORKS, (None, 0.4), kernels.CHOICES):
        is_rare = q and choice == "builtin"  # the exponent is the loss's affair, which is tested
        yield pytest.param(name, q, choice, marks=[pytest.mark.long] if is_rare else [])


trainings = pytest.mark.parametrize(("name", "q", "choice"), list(_trainings()))


def reference_training(name, q):
    """Return a pipeline whose loss has the exponent q, and what the reference got from it."""
    pipe = recipe_pipeline(name if q is None else f"{name}_sintel")
    if name == "MaskFlownet":
        pipe.fix_head()
    return pipe, golden(f"train_{name}_q{'none' if q is None else q}")


@trainings
def test_loss_and_gradients_equal_the_reference(monkeypatch, name, q, choice):
    monkeypatch.setenv(kernels.VARIABLE, choice)
    pipe, wanted = reference_training(name, q)
    image1, image2, flow, valid = (
        mx.nd.array(wanted[key].astype(np.float32)) for key in ("image1", "image2", "flow", "valid")
    )
    image1, image2 = centralise(image1 / 255, image2 / 255)
    fast = choice == "auto"
    loss_of = MultiscaleLoss(pipe.config.network.mw, q, fast)
    with mx.autograd.record():
        predictions = pipe.network(image1, image2)[0]
        loss, _ = loss_of(flow.flip(axis=1), valid / 255, *predictions)
    loss.backward()
    np.testing.assert_allclose(loss.asnumpy(), wanted["loss"], rtol=1e-5)
    trained = {
        name: parameter
        for name, parameter in pipe.network._collect_params_with_prefix().items()
        if parameter.grad_req != "null"
    }
    assert list(trained) == list(wanted["grad_names"])
    norms = [parameter.grad().norm().asscalar() for parameter in trained.values()]
    np.testing.assert_allclose(norms, wanted["grad_norms"], rtol=1e-3, atol=1e-5)


@trainings
def test_training_steps_equal_the_reference(monkeypatch, name, q, choice):
    monkeypatch.setenv(kernels.VARIABLE, choice)
    pipe, wanted = reference_training(name, q)
    pipe.trainer.set_learning_rate(1e-4)
    batch = [wanted[key] for key in ("image1", "image2", "flow")]
    steps = [
        pipe.train_batch(*batch, no_geometry, no_color, mask=wanted["valid"])["epe"]
        for _ in range(2)
    ]
    np.testing.assert_allclose(steps, wanted["epe_steps"][:2], rtol=1e-3)


def test_two_devices_train_as_one(thin_network, operators):
    wanted = golden("train_MaskFlownet_S_qnone")
    batch = [wanted[key] for key in ("image1", "image2", "flow")]
    pipes = [recipe_pipeline("MaskFlownet_S", ctx) for ctx in ([mx.cpu()], [mx.cpu(0), mx.cpu(1)])]
    for _ in range(2):
        one, two = (
            pipe.train_batch(*batch, no_geometry, no_color, mask=wanted["valid"])["epe"]
            for pipe in pipes
        )
        assert two == pytest.approx(one, rel=1e-4)
    with pytest.raises(InputError, match="multiple of 2"):
        pipes[1].train_batch(*(array[:1] for array in batch), no_geometry, no_color)


def test_micro_batches_add_up_to_the_batch(thin_network, operators):
    """Gradients of the first step: Adam takes their sign, which near zero is chance."""
    wanted = golden("train_MaskFlownet_S_qnone")
    keys = ("image1", "image2", "flow", "valid")
    batch = {key: np.concatenate([wanted[key], wanted[key][::-1]]) for key in keys}
    results = []
    for micro_batch in (None, 2, 1):
        pipe = recipe_pipeline("MaskFlownet_S")
        figures, gradients = [], []
        for _ in range(2):
            figures.append(
                pipe.train_batch(
                    batch["image1"],
                    batch["image2"],
                    batch["flow"],
                    no_geometry,
                    no_color,
                    batch["valid"],
                    micro_batch,
                )
            )
            gradients.append(pipe.network.conv3a[0].weight.grad().asnumpy())
        results.append((gradients[0], [(one["epe"], one["loss"]) for one in figures]))
    whole_gradient, whole_figures = results[0]
    for gradient, figures in results[1:]:
        np.testing.assert_allclose(gradient, whole_gradient, atol=1e-5 * np.abs(gradient).max())
        np.testing.assert_allclose(figures, whole_figures, rtol=1e-6)
    with pytest.raises(InputError, match=r"micro-batches of \[1, 2, 4\]"):
        pipe.train_batch(
            batch["image1"], batch["image2"], batch["flow"], no_geometry, no_color, micro_batch=3
        )


def test_a_loss_that_is_not_finite_changes_no_weight(thin_network, operators):
    wanted = golden("train_MaskFlownet_S_qnone")
    pipe = recipe_pipeline("MaskFlownet_S")
    before = pipe.network.conv3a[0].weight.data().asnumpy()
    flow = wanted["flow"].copy()
    flow[0, 0, 3, 3] = np.nan
    figures = pipe.train_batch(wanted["image1"], wanted["image2"], flow, no_geometry, no_color)
    assert np.isnan(figures["loss"])
    np.testing.assert_array_equal(pipe.network.conv3a[0].weight.data().asnumpy(), before)
    pipe.train_batch(wanted["image1"], wanted["image2"], wanted["flow"], no_geometry, no_color)
    after = pipe.network.conv3a[0].weight.data().asnumpy()
    assert np.isfinite(after).all() and (after != before).any()


def test_black_images_and_huge_flow_stay_finite(thin_network, operators):
    pipe = recipe_pipeline("MaskFlownet_S")
    black = np.zeros((2, 3, 64, 64), np.uint8)
    flow = np.full((2, 2, 64, 64), 1000, np.float32)
    nothing_valid = np.zeros((2, 1, 64, 64), np.uint8)
    for mask in (None, nothing_valid):
        figures = pipe.train_batch(black, black, flow, no_geometry, no_color, mask)
        assert np.isfinite(figures["loss"])
        assert np.isnan(figures["epe"]) == (mask is nothing_valid)  # a mean of nothing
    for parameter in pipe.network.collect_params().values():
        assert np.isfinite(parameter.data().asnumpy()).all()


def test_schedule():
    pipe = recipe_pipeline("MaskFlownet_S")
    rates = {}
    for step in (1, 400_000, 400_001, 1_200_000):
        assert pipe.set_learning_rate(step)
        rates[step] = pipe.trainer.learning_rate
    assert rates == {1: 1e-4, 400_000: 1e-4, 400_001: 5e-5, 1_200_000: 6.25e-6}
    assert not pipe.set_learning_rate(1_200_001)


def test_only_a_cascade_has_a_head():
    pipe = recipe_pipeline("MaskFlownet_S")
    with pytest.raises(InputError, match="class MaskFlownet"):
        pipe.fix_head()


def test_an_unknown_pipeline_lists_the_known():
    with pytest.raises(InputError, match="MaskFlownet"):
        get_pipeline("PWCNet", ctx=[mx.cpu()], config=load_config("MaskFlownet_S"))
