"""The programs of docs/exporting.md do what the page says, C++ included."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import openvino
import pytest
from golden import recipe_pipeline

import maskflownet
from maskflownet.exporting.check import make_pairs
from maskflownet.reader.flow_files import read_flo

PAGE = (Path(__file__).parents[2] / "docs" / "exporting.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the programs read: exported networks, and two pictures as PNG and PPM."""
    folder = tmp_path_factory.mktemp("exported")
    pipe = recipe_pipeline("MaskFlownet_S")
    maskflownet.export(pipe, folder / "flow.onnx", images=True)
    maskflownet.export(pipe, folder / "network.onnx")
    maskflownet.export(pipe, folder / "exported")
    ((image1, image2),) = make_pairs(1, 61, 100)
    for number, image in enumerate((image1, image2), start=1):
        for suffix in ("png", "ppm"):
            cv2.imwrite(str(folder / f"frame{number}.{suffix}"), image)
    (prediction,) = pipe.predict([image1], [image2])
    np.save(folder / "expected.npy", prediction.flow)
    return folder


SAID = [
    ("import onnxruntime", r"mean motion \d+\.\d+ px"),
    ('"network.onnx"', r"\(1, 2, 128, 192\) for 128 rows of 192 pixels"),
    ("import openvino", r"largest motion \d+\.\d+ px"),
    ("load_checkpoint", r"\(1, 2, 128, 192\) \(1, 1, 128, 192\)"),
]


def test_every_python_program_is_tried():
    assert len(blocks("python")) == len(SAID)


@pytest.mark.parametrize(("part", "said"), SAID)
def test_python_program(part, said, folder):
    program = next(block for block in blocks("python") if part in block)
    if "import mxnet" in program:  # which needs NumPy's old names
        program = f"from maskflownet import runtime\n{program}"
    root = Path(maskflownet.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env={"PYTHONPATH": str(root), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(said, done.stdout.strip())


def test_cpp_program(folder):
    if not shutil.which("g++"):
        pytest.skip("there is no g++")
    (program,) = blocks("cpp")
    (folder / "flow.cpp").write_text(program)
    (build,) = [block for block in blocks("bash") if "g++" in block]
    lines = [line for line in build.splitlines() if not line.startswith(("pip", "cd"))]
    python = Path(sys.executable).parent
    script = "\n".join(["set -e", f'PATH="{python}:$PATH"', *lines])
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    flow = read_flo(folder / "out.flo")
    np.testing.assert_allclose(flow, np.load(folder / "expected.npy"), atol=1e-3)
    done = subprocess.run(
        [folder / "flow", "flow.onnx", "frame1.ppm", "frame2.png", "out.flo"],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == "flow: frame2.png: no binary PPM\n"


def test_metadata_of_openvino_is_that_of_the_page(folder):
    model = openvino.Core().read_model(folder / "flow.onnx")
    assert [one.any_name for one in model.inputs] == ["image1", "image2"]
    assert [one.any_name for one in model.outputs] == ["flow", "mask"]
