"""Weights for PyTorch: the ports' names, and files that readers of both kinds take."""

import io
import json
import pickletools
import struct
import zipfile

import numpy as np
import pytest
from golden import recipe_pipeline, weights_of

import maskflownet
from maskflownet.config import InputError
from maskflownet.exporting.check import check
from maskflownet.network.files.torch_file import read_torch_file

pytestmark = pytest.mark.usefixtures("thin_networks")

NETWORKS = ("MaskFlownet_S", "MaskFlownet")


def expected(pipe):
    return {
        name.replace(".0.", ".") if "upfeat" in name else name: array
        for name, array in weights_of(pipe.network).items()
    }


def assert_same(got, wanted):
    assert list(got) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(got[name], array)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("suffix", [".pth", ".ckpt"])
def test_pytorch_file_has_the_ports_names_and_loads_here(name, suffix, tmp_path):
    pipe, path = recipe_pipeline(name), tmp_path / f"weights{suffix}"
    maskflownet.export(pipe, path)
    assert_same(read_torch_file(path), expected(pipe))
    other = maskflownet.get_pipeline("MaskFlownet", pipe.ctx, pipe.config)
    other.load(path)
    assert_same(weights_of(other.network), weights_of(pipe.network))


def test_pickle_needs_what_pytorch_allows_without_trust(tmp_path):
    maskflownet.export(recipe_pipeline("MaskFlownet_S"), tmp_path / "a.pth")
    with zipfile.ZipFile(tmp_path / "a.pth") as archive:
        assert {one.compress_type for one in archive.infolist()} == {zipfile.ZIP_STORED}
        content = archive.read("archive/data.pkl")
    pickletools.dis(content, out=io.StringIO())  # raises where a stack does not come out even
    operations = list(pickletools.genops(content))
    named = {argument for opcode, argument, _ in operations if opcode.name == "GLOBAL"}
    assert named == {
        "collections OrderedDict",
        "torch FloatStorage",
        "torch._utils _rebuild_tensor_v2",
    }


def test_safetensors_file(tmp_path):
    pipe, path = recipe_pipeline("MaskFlownet_S"), tmp_path / "weights.safetensors"
    maskflownet.export(pipe, path)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert length % 8 == 0
    header = json.loads(content[8 : 8 + length])
    assert header.pop("__metadata__")["config"] == "MaskFlownet_S"
    values = content[8 + length :]
    got = {
        name: np.frombuffer(values[slice(*one["data_offsets"])], "<f4").reshape(one["shape"])
        for name, one in header.items()
    }
    assert_same(got, expected(pipe))


def test_weights_alone_cannot_be_checked(tmp_path):
    pipe = recipe_pipeline("MaskFlownet_S")
    with pytest.raises(InputError, match="holds weights alone"):
        check(pipe, tmp_path / "weights.pth")


def test_weights_of_mmflows_dialect_have_no_names_there(tmp_path):
    pipe = recipe_pipeline("mmflow/MaskFlownet_S_chairs")
    with pytest.raises(InputError, match="MMFlow's dialect would mean something else"):
        maskflownet.export(pipe, tmp_path / "weights.pth")
    assert list(tmp_path.iterdir()) == []
