"""`main.py --export` as a person runs it."""

import re
import sys

import numpy as np
import onnxruntime
import pytest
from golden import recipe_pipeline
from main_runs import error_of

from maskflownet.main import main


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("weights") / "abcJan01-0000_3"
    recipe_pipeline("MaskFlownet_S").save(prefix)
    return f"{prefix}.params"


def test_export_of_images_is_checked_and_runs(checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)  # which takes its time
    path = tmp_path / "flow.onnx"
    flags = ["--export", str(path), "--export_images", "--check"]
    assert main(["MaskFlownet_S", "-c", checkpoint, *flags]) == 0
    written, checked = capsys.readouterr().out.splitlines()[-2:]
    assert re.fullmatch(rf"{re.escape(str(path))}: MaskFlownet_S, \d+\.\d MB", written)
    difference = re.match(
        r"onnxruntime \S+: the largest difference is (\S+) px of flow and (\S+) of the mask, "
        r"where flow goes up to \d+ px",
        checked,
    )
    assert float(difference[1]) < 1e-3 and float(difference[2]) < 1e-5
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    image = np.zeros((1, 30, 50, 3), np.uint8)
    flow, mask = session.run(["flow", "mask"], {"image1": image, "image2": image})
    assert flow.shape == (1, 30, 50, 2) and mask.shape == (1, 30, 50, 1)


def test_export_of_mxnets_own_form(checkpoint, tmp_path, capsys):
    folder = tmp_path / "out"
    assert main(["MaskFlownet_S", "-c", checkpoint, "--export", str(folder)]) == 0
    names = ["MaskFlownet_S-0000.params", "MaskFlownet_S-symbol.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    written, takes = capsys.readouterr().out.splitlines()[-2:]
    assert written.startswith(f"{folder}: MaskFlownet_S, 42.")
    assert takes.startswith(
        f"{folder} takes image1, image2: float32 (batch, 3, height, width), val"
    )
    assert "height and width multiples of 64" in takes and "--export_images" in takes


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--export", "flow.pb"], "flow.pb: expected FILE.onnx, a folder"),
        (["--export", "out", "--export_images"], "out: only an ONNX model can be of images"),
        (
            ["--export", "a.pth", "--check"],
            "a.pth: --check runs what is written, and weights alone",
        ),
        (["--export", f"{__file__}/a.onnx"], "py: expected a folder, got a file; choose another"),
        (["--export", f"{__file__}/out"], "out: cannot be made (Not a directory); choose another"),
        (["--export", "flow.onnx", "--resize", "64,64"], "resize: expected only for a model"),
        (["--export", "flow.onnx", "--valid"], "--export and --valid: expected one of them"),
        (
            ["--export", "flow.onnx", "--batch", "2"],
            "--batch has no effect with the task to export",
        ),
        (["--export_images"], "--export_images has no effect with the task to train"),
    ],
)
def test_what_cannot_be_exported(flags, said, checkpoint, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert said in error_of(capsys, ["MaskFlownet_S", "-c", checkpoint, *flags])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_the_name_of_a_file(checkpoint, tmp_path, capsys):
    for name in ("a.onnx", "a.pth", "a.safetensors"):
        (tmp_path / name).mkdir()
        said = error_of(capsys, ["-c", checkpoint, "--export", str(tmp_path / name)])
        assert f"{name}: expected the name of a file, got a folder" in said
        assert not list((tmp_path / name).iterdir())


@pytest.mark.parametrize("run", [["--export", ""], ["--root", ""]])
def test_a_name_that_an_unset_variable_leaves_empty(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(run)
    said = f"argument {run[0]}: expected a path, neither empty nor with a zero byte, got ''"
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_without_onnx_it_is_named_before_anything_is_loaded(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    error = error_of(capsys, ["MaskFlownet_S", "-c", "none", "--export", "flow.onnx"])
    assert "pip install onnx" in error
