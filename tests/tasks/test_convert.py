"""`main.py --convert`, and -c with a checkpoint of a port, as a person runs them."""

import mxnet as mx
import numpy as np
import pytest
from golden import DATA
from main_runs import error_of
from ports import mmflow_arrays, port_arrays, write_legacy, write_zip

import maskflownet
from maskflownet.main import main
from maskflownet.predict_new_data import main as predict_new_data
from maskflownet.reader.flow_files import read_flow
from maskflownet.reader.images import write_image


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ports")
    write_legacy(folder / "dbbSep30-1206_1000000.pth", port_arrays("MaskFlownet_S"))
    write_zip(folder / "mmflow.pth", mmflow_arrays("MaskFlownet_S"), wrap="state_dict")
    rng = np.random.default_rng(0)
    for number in (1, 2):
        write_image(folder / f"{number}.png", rng.integers(0, 256, (64, 64, 3), np.uint8))
    return folder


def predicted(folder, checkpoint, *config):
    output = folder / "out.flo"
    images = ["--image_1", str(folder / "1.png"), "--image_2", str(folder / "2.png")]
    code = predict_new_data([str(output), *config, "-c", str(checkpoint), *images, "--overwrite"])
    assert code == 0
    return read_flow(output)[0]


@pytest.mark.parametrize("name", ["dbbSep30-1206_1000000.pth", "mmflow.pth"])
def test_a_port_predicts_as_its_converted_file_does(folder, name, tmp_path, capsys):
    target = tmp_path / "ours_1.params"
    assert main(["--convert", str(folder / name), str(target)]) == 0
    dialect = "mmflow" if name == "mmflow.pth" else "original"
    assert f"a MaskFlownet_S, network.dialect: {dialect}" in capsys.readouterr().out
    flow = predicted(folder, folder / name)
    assert np.abs(flow).max() > 0.1
    np.testing.assert_array_equal(predicted(folder, target), flow)
    assert maskflownet.load(target).config.network.dialect == dialect


def test_what_cannot_be_converted_leaves_nothing(folder, tmp_path, capsys):
    source = str(folder / "mmflow.pth")
    target = tmp_path / "a.params"
    for argv, part in (
        ([source, str(tmp_path / "\udce9.params")], "\\udce9.params: expected a name in UTF-8"),
        ([source, str(tmp_path / "a.pth")], "expected a second name that ends in .params"),
        ([str(tmp_path / "missing.pth"), str(target)], "there is no such parameter file"),
        ([str(DATA / "ports" / "sample_zip.pth"), str(target)], "expected the"),
        ([str(DATA / "ports" / "forms_zip.pth"), str(target)], "expected the arrays of a"),
    ):
        assert part in error_of(capsys, ["--convert", *argv])
    assert not list(tmp_path.iterdir())
    mx.nd.save(str(target), {"a": mx.nd.zeros(1)})
    assert "is there already" in error_of(capsys, ["--convert", source, str(target)])
