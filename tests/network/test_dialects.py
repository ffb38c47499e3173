"""MMFlow's networks and loss against golden numbers, and the ports of the original's weights."""

import mxnet as mx
import numpy as np
import pytest
from golden import NETWORKS, weights_of
from mxnet import autograd
from ports import mmflow_arrays, mmflow_names, port_arrays, port_golden, write_legacy, write_zip

from maskflownet.config import load_config
from maskflownet.network import get_pipeline
from maskflownet.network.images import checked_pair, network_inputs
from maskflownet.network.loss import LOSSES

MOST_PX = 1e-3
MMFLOW = {
    "MaskFlownet_S": "mmflow/MaskFlownet_S_things3d",
    "MaskFlownet": "mmflow/MaskFlownet_things3d",
}
LEVELS = (6, 5, 4, 3, 2)


@pytest.fixture(scope="module")
def golden():
    return port_golden()


@pytest.fixture(scope="module", params=NETWORKS)
def mmflow(request, operators, tmp_path_factory):
    """A pipeline that read a checkpoint of MMFlow's, as that writes it, and the network's name."""
    del operators
    path = tmp_path_factory.mktemp("mmflow") / "iter_500000.pth"
    write_zip(path, mmflow_arrays(request.param), wrap="state_dict")
    pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=load_config(MMFLOW[request.param]))
    pipe.load(path)
    return pipe, request.param


def endpoint_errors(flow, wanted, axis):
    assert flow.shape == wanted.shape
    return np.sqrt(np.square(flow - wanted).sum(axis=axis))


def inputs(golden, prefix=""):
    images = (golden[f"{prefix}image1"], golden[f"{prefix}image2"])
    return network_inputs([checked_pair(*images, None)], mx.cpu())


def test_flows_of_mmflow(mmflow, golden):
    pipe, name = mmflow
    flows = pipe.predictor(*inputs(golden))[0]
    for level in (6, 5, 2):
        flow = flows[LEVELS.index(level)].asnumpy()[0, ::-1]
        wanted = golden[f"mmflow_{name}_flow{level}"]
        assert endpoint_errors(flow, wanted, axis=0).max() < MOST_PX


def test_final_flows_of_mmflow(mmflow, golden):
    """At the image's own size, a multiple of 64 or not, resized as bytes by half pixels."""
    pipe, name = mmflow
    for prefix in ("", "odd_"):
        (prediction,) = pipe.predict([golden[f"{prefix}image1"]], [golden[f"{prefix}image2"]])
        wanted = golden[f"mmflow_{name}_{prefix}final"]
        assert endpoint_errors(prediction.flow[::4, ::4], wanted, axis=2).max() < MOST_PX
        assert prediction.mask.shape == (*prediction.flow.shape[:2], 1)


def test_loss_and_gradients_of_mmflow(mmflow, golden):
    """All arrays have gradients, the cascade's first stage too, which the recipes train."""
    pipe, name = mmflow
    loss = LOSSES[pipe.config.optimizer.loss](pipe.config.network.mw)
    label = golden["label"][None, ::-1].repeat(4, axis=2).repeat(4, axis=3)
    valid = golden["valid"][None, None].repeat(4, axis=2).repeat(4, axis=3)
    for key, known in (("loss_valid", valid), ("loss", np.ones_like(valid))):
        with autograd.record():
            predictions = pipe.network(*inputs(golden))[0]
            value, _ = loss(mx.nd.array(label), mx.nd.array(known), *predictions)
        value.backward()
        np.testing.assert_allclose(value.asnumpy(), golden[f"mmflow_{name}_{key}"], rtol=1e-5)
    parameters = pipe.network._collect_params_with_prefix()
    norms = [np.linalg.norm(parameters[ours].grad().asnumpy()) for _, ours, _ in mmflow_names(name)]
    np.testing.assert_allclose(norms, golden[f"mmflow_{name}_grad_norms"], rtol=5e-3)


@pytest.mark.parametrize("port", ["cattaneod", "ptlflow"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_ports_of_the_original_load_into_its_graph(port, name, golden, tmp_path):
    """Against what the graph must give with their weights, and near what they themselves give."""
    if port == "cattaneod":
        path = write_legacy(tmp_path / "5adNov03-0005_1000000.pth", port_arrays(name))
    else:
        path = write_zip(tmp_path / "a.ckpt", port_arrays(name), wrap="state_dict")
    pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=load_config(name))
    pipe.load(path)
    images = dict(golden)
    if (port, name) == ("ptlflow", "MaskFlownet_S"):  # it turns its images to RGB
        for key in ("image1", "image2"):
            images[key] = np.ascontiguousarray(golden[key][..., ::-1])
    outputs = pipe.predictor(*inputs(images))
    order = slice(None, None, -1 if port == "ptlflow" else 1)  # cattaneod has (y, x)
    for level in (6, 2):
        flow = outputs[0][LEVELS.index(level)].asnumpy()[0, order]
        ours, theirs = (golden[f"{port}_{name}_{who}flow{level}"] for who in ("ours_", ""))
        assert endpoint_errors(flow, ours, axis=0).max() < MOST_PX
        assert endpoint_errors(flow, theirs, axis=0).mean() < 0.01
    if port == "cattaneod":
        (prediction,) = pipe.predict([golden["odd_image1"]], [golden["odd_image2"]])
        wanted = golden[f"{port}_{name}_ours_odd_final"]
        assert endpoint_errors(prediction.flow[::4, ::4], wanted, axis=2).max() < MOST_PX


def test_weights_of_mmflow_are_not_used_as_the_originals(golden):
    """The dialects differ where it counts: by pixels, not by rounding."""
    config = load_config("MaskFlownet_S")
    pipe = get_pipeline("MaskFlownet", ctx=[mx.cpu()], config=config)
    arrays = dict(
        zip(
            (ours for _, ours, _ in mmflow_names("MaskFlownet_S")),
            mmflow_arrays("MaskFlownet_S").values(),
            strict=True,
        )
    )
    assert arrays.keys() == weights_of(pipe.network).keys()
    for name, parameter in pipe.network._collect_params_with_prefix().items():
        parameter.set_data(mx.nd.array(arrays[name].reshape(parameter.shape)))
    flow = pipe.predictor(*inputs(golden))[0][-1].asnumpy()[0, ::-1]
    assert endpoint_errors(flow, golden["mmflow_MaskFlownet_S_flow2"], axis=0).mean() > 1
