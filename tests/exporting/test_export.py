"""Exported networks compute what the network does, whatever it is made of, in all runtimes."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import mxnet as mx
import numpy as np
import onnx
import onnxruntime
import pytest
from golden import fill_with_recipe, recipe_pipeline
from processes import no_file_over

import maskflownet
from maskflownet.config import InputError, load_config
from maskflownet.config.files import names_in_config
from maskflownet.exporting import check as checking
from maskflownet.exporting.check import check, make_pairs
from maskflownet.network import get_pipeline

pytestmark = pytest.mark.usefixtures("thin_networks")

MMFLOW = ["mmflow/MaskFlownet_S_chairs", "mmflow/MaskFlownet_chairs"]
ABLATIONS = [name for name in names_in_config("network") if name.startswith("ablation/")]
NETWORKS = ("MaskFlownet_S", "MaskFlownet")
RUNTIMES = ["onnxruntime", "openvino"]


@pytest.fixture(scope="module")
def pipes():
    return {name: recipe_pipeline(name) for name in NETWORKS}


def runtimes_of(differences):
    return [one.runtime.split()[0] for one in differences]


@pytest.mark.parametrize("name", ABLATIONS + MMFLOW)
def test_every_variant(name, tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "NETWORK_CASES", ((2, 64, 128),))
    monkeypatch.setitem(sys.modules, "openvino", None)  # which takes its time
    pipe = recipe_pipeline(name)
    maskflownet.export(pipe, tmp_path / "network.onnx")
    (difference,) = check(pipe, tmp_path / "network.onnx")
    assert difference.runtime.startswith("onnxruntime")
    assert difference.largest > 3
    assert (difference.mask is not None) == pipe.config.network.has_mask
    assert difference.mask is None or difference.mask < 1e-5


@pytest.mark.parametrize("name", NETWORKS)
def test_model_of_images_does_what_predict_does(name, pipes, tmp_path, monkeypatch):
    if name == "MaskFlownet":  # which takes its time
        monkeypatch.setattr(checking, "IMAGE_CASES", ((2, 61, 100), (1, 64, 65)))
    path = tmp_path / "images.onnx"
    maskflownet.export(pipes[name], path, images=True)
    assert runtimes_of(check(pipes[name], path, images=True)) == RUNTIMES


@pytest.mark.long
def test_model_of_images_at_a_given_size(pipes, tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "IMAGE_CASES", ((1, 61, 100), (2, 70, 200)))
    pipe, path = pipes["MaskFlownet_S"], tmp_path / "images.onnx"
    maskflownet.export(pipe, path, images=True, resize=(64, 192))
    check(pipe, path, images=True, resize=(64, 192))
    with pytest.raises(InputError, match=r"its flow in onnxruntime .* is off by .* px"):
        check(pipe, path, images=True)


def test_model_says_what_it_is(pipes, tmp_path):
    path = tmp_path / "images.onnx"
    maskflownet.export(pipes["MaskFlownet_S"], path, images=True)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert [(one.domain, one.version) for one in model.opset_import] == [("", 20)]
    assert model.ir_version == 9
    assert {node.domain for node in model.graph.node} == {""}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    described = [
        (one.name, one.type, one.shape) for one in (*session.get_inputs(), *session.get_outputs())
    ]
    size = ["batch", "height", "width"]
    assert described == [
        ("image1", "tensor(uint8)", [*size, 3]),
        ("image2", "tensor(uint8)", [*size, 3]),
        ("flow", "tensor(float)", [*size, 2]),
        ("mask", "tensor(float)", [*size, 1]),
    ]
    about = session.get_modelmeta().custom_metadata_map
    assert about["config"] == about["network"] == "MaskFlownet_S"
    assert "BGR" in about["inputs"] and "pixels" in about["outputs"]


def test_weights_are_held_once(pipes, tmp_path):
    path = tmp_path / "network.onnx"
    maskflownet.export(pipes["MaskFlownet_S"], path)
    arrays = pipes["MaskFlownet_S"].network.collect_params().values()
    assert path.stat().st_size < 1.5 * 4 * sum(np.prod(array.shape) for array in arrays)


@pytest.mark.parametrize("name", MMFLOW)
def test_mmflows_dialect_in_mxnets_own_form_but_not_of_images(name, tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "NETWORK_CASES", ((2, 64, 128),))
    pipe = recipe_pipeline(name)
    maskflownet.export(pipe, tmp_path)
    assert runtimes_of(check(pipe, tmp_path)) == ["mxnet"]
    again = maskflownet.load(tmp_path / f"{pipe.config.network.class_name}-0000.params")
    assert again.network.dialect.name == "mmflow"
    with pytest.raises(InputError, match="MMFlow resizes images as bytes"):
        maskflownet.export(pipe, tmp_path / "a.onnx", images=True)


def test_a_name_that_is_no_text_is_run_too(pipes, tmp_path):
    path = tmp_path / os.fsdecode(b"a\xff.onnx")
    maskflownet.export(pipes["MaskFlownet_S"], path)
    assert runtimes_of(check(pipes["MaskFlownet_S"], path)) == RUNTIMES


def test_a_folder_whose_name_mxnet_cannot_write_is_not_made(pipes, tmp_path):
    with pytest.raises(InputError, match=r"udce9.*: expected a name in UTF-8"):
        maskflownet.export(pipes["MaskFlownet_S"], tmp_path / "d\udce9")
    assert not list(tmp_path.iterdir())


def test_another_unit_of_flow_is_known_to_what_is_exported(tmp_path, monkeypatch):
    monkeypatch.setattr(checking, "NETWORK_CASES", ((1, 64, 128),))
    config = load_config("MaskFlownet_S")
    network = dataclasses.replace(config.network, flow_multiplier=0.5)
    pipe = get_pipeline("MaskFlownet", [mx.cpu()], dataclasses.replace(config, network=network))
    fill_with_recipe(pipe.network)
    for path in (tmp_path, tmp_path / "a.onnx"):
        maskflownet.export(pipe, path)
        check(pipe, path)
    again = maskflownet.load(tmp_path / "MaskFlownet_S-0000.params")
    assert again.config.network.flow_multiplier == 0.5
    for form in (".pth", ".ckpt", ".safetensors"):
        with pytest.raises(InputError, match=f"{form} .*flow_multiplier 1 alone.* has 0.5"):
            maskflownet.export(pipe, tmp_path / f"a{form}")
        assert not (tmp_path / f"a{form}").exists()


PLAIN_MXNET = """
import sys
import numpy as np
from maskflownet import runtime  # NumPy's old names, which MXNet 1.9.1 uses
import mxnet as mx

prefix, images, outputs = sys.argv[1:]
symbol, arrays, _ = mx.model.load_checkpoint(prefix, 0)
inputs = {name: mx.nd.array(array) for name, array in np.load(images).items()}
flow, mask = symbol.bind(mx.cpu(), {**arrays, **inputs}).forward()
np.savez(outputs, flow=flow.asnumpy(), mask=mask.asnumpy())
ours = {name.removeprefix("maskflownet.") for name in sys.modules if "maskflownet." in name}
assert ours == {"runtime", "mxnet_import"}, ours
"""


@pytest.mark.parametrize("name", NETWORKS)
def test_mxnets_own_form_runs_in_plain_mxnet(name, pipes, tmp_path):
    pipe = pipes[name]
    maskflownet.export(pipe, tmp_path / "out")
    (image1, image2), *_ = make_pairs(1, 64, 128)
    centred = [
        image.astype(np.float32).transpose(2, 0, 1)[None] / 255 for image in (image1, image2)
    ]
    mean = np.concatenate(centred, axis=2).mean(axis=(2, 3), keepdims=True)
    np.savez(tmp_path / "in.npz", image1=centred[0] - mean, image2=centred[1] - mean)
    names = [str(tmp_path / part) for part in (f"out/{name}", "in.npz", "out.npz")]
    environment = {**os.environ, "PYTHONPATH": str(Path(maskflownet.__file__).parents[1])}
    command = [sys.executable, "-c", PLAIN_MXNET, *names]
    subprocess.run(command, check=True, cwd=tmp_path, env=environment)
    (expected,) = pipe.predict([image1], [image2])
    with np.load(tmp_path / "out.npz") as outputs:
        np.testing.assert_allclose(outputs["flow"][0].transpose(1, 2, 0), expected.flow, atol=1e-3)
        np.testing.assert_allclose(outputs["mask"][0].transpose(1, 2, 0), expected.mask, atol=1e-5)


def test_mxnets_own_form_has_the_structured_names(pipes, tmp_path):
    pipe = pipes["MaskFlownet"]
    maskflownet.export(pipe, tmp_path)
    arrays = mx.nd.load(str(tmp_path / "MaskFlownet-0000.params"))
    names = pipe.network._collect_params_with_prefix()
    assert set(arrays) == {f"arg:{name}" for name in names}
    symbol = mx.sym.load(str(tmp_path / "MaskFlownet-symbol.json"))
    assert set(symbol.list_arguments()) == {*names, "image1", "image2"}
    assert symbol.list_outputs() == ["flow_output", "mask_output"]


@pytest.mark.parametrize("lacking", [100, 600, 200_000])
def test_mxnets_own_form_on_a_full_disk(lacking, pipes, tmp_path):
    maskflownet.export(pipes["MaskFlownet_S"], tmp_path)
    path = tmp_path / "MaskFlownet_S-0000.params"
    before = path.read_bytes()
    with (
        no_file_over(len(before) - lacking),
        pytest.raises(OSError, match="cannot be written whole"),
    ):
        maskflownet.export(pipes["MaskFlownet_S"], tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("path", "settings", "said"),
    [
        ("a.pb", {}, "a.pb: expected FILE.onnx, a folder"),
        ("a", {"images": True}, "a: only an ONNX model can be of images"),
        ("a.onnx", {"resize": (64, 64)}, "resize: expected only for a model of images"),
    ],
)
def test_what_there_is_no_form_for(path, settings, said, pipes, tmp_path):
    with pytest.raises(InputError, match=said):
        maskflownet.export(pipes["MaskFlownet_S"], tmp_path / path, **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_package_is_named(pipes, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match="pip install onnx"):
        maskflownet.export(pipes["MaskFlownet_S"], tmp_path / "a.onnx")


def test_nothing_to_check_with(pipes, tmp_path, monkeypatch):
    maskflownet.export(pipes["MaskFlownet_S"], tmp_path / "a.onnx")
    for runtime in RUNTIMES:
        monkeypatch.setitem(sys.modules, runtime, None)
    with pytest.raises(InputError, match="is written, but nothing is installed to check it"):
        check(pipes["MaskFlownet_S"], tmp_path / "a.onnx")
