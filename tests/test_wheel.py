"""The installed package: a wheel in a fresh environment, used from another folder."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

import maskflownet
from maskflownet.config import load_config
from maskflownet.network import get_pipeline
from maskflownet.reader.flow_files import read_flo
from maskflownet.tasks.open_pipeline import devices

ROOT = Path(__file__).resolve().parents[1]
# A person's own files, which must not matter.
OWN = (
    "config",
    "exporting",
    "network",
    "tasks",
    "reader",
    "runtime",
    "metrics",
    "kernels",
    "output",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build the wheel of a copy of what git holds."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    )
    names = listed.stdout.splitlines() if listed.returncode == 0 else []
    if not names:
        pytest.skip("git does not say which files belong to the project")
    for name in names:
        if not name.startswith("tests/") and (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "-w", out, source], check=True)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def scripts(wheel, tmp_path_factory):
    """Install it in an environment of its own; what it needs is taken from that of the tests."""
    environment = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-index"]
    subprocess.run([*pip, "--no-deps", wheel], check=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    # As a folder of packages, whose own .pth files count: setuptools lends distutils by one.
    add = f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n"
    (packages / "needed.pth").write_text(add)
    return environment / "bin"


@pytest.fixture
def elsewhere(tmp_path):
    """A folder with a pair of images, a checkpoint, and modules that end whoever imports them."""
    for name in OWN:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a user\\'s own module')\n")
    rng = np.random.default_rng(1)
    for name in "ab":
        cv2.imwrite(str(tmp_path / f"{name}.png"), rng.integers(0, 256, (64, 64, 3), np.uint8))
    pipe = get_pipeline("MaskFlownet", devices([]), load_config("MaskFlownet_S"), kernels="builtin")
    pipe.save(tmp_path / "mine_3")
    return tmp_path


def run(folder, *command, **environment):
    """Run a command in a folder, with the compiler hidden unless said otherwise."""
    hidden = {"XDG_CACHE_HOME": str(folder / "cache"), "CXX": "no-such-compiler"}
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env={**kept, **hidden, **environment},
        capture_output=True,
        text=True,
    )


def test_the_wheel_holds_the_rooms_and_what_they_read(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "maskflownet/py.typed",
        "maskflownet/main.py",
        "maskflownet/config/MaskFlownet_S.yaml",
        "maskflownet/kernels/source/operators.cc",
        "maskflownet/network/pipeline.py",
    } <= names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"maskflownet", next(top for top in tops if top.endswith(".dist-info"))}
    assert not [name for name in names if "/build/" in name or name.endswith((".so", ".o"))]


def test_predicts_from_a_folder_with_modules_of_the_same_names(scripts, elsewhere):
    arguments = ["flow.flo", "--image_1", "a.png", "--image_2", "b.png", "-c", "mine_3.params"]
    done = run(elsewhere, scripts / "maskflownet-predict", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "the fast operators cannot be built: no C++ compiler (no-such-compiler)" in done.stdout
    assert read_flo(elsewhere / "flow.flo").shape == (64, 64, 2)
    again = run(elsewhere, scripts / "maskflownet-predict", *arguments, "--overwrite")
    assert "cannot be built" not in again.stdout  # it is tried once


def test_from_python_the_face_and_its_rooms_are_those_of_the_package(scripts, elsewhere):
    code = (
        "import maskflownet, maskflownet.network as n; print(maskflownet.__file__);"
        "print(maskflownet.get_pipeline is n.get_pipeline, maskflownet.__version__);"
        "pipe = maskflownet.load('mine_3.params'); print(pipe.config.network.class_name)"
    )
    done = run(
        elsewhere, scripts / "python", "-P" if sys.version_info >= (3, 11) else "-I", "-c", code
    )
    assert done.returncode == 0, done.stderr
    where, same, network = [line for line in done.stdout.splitlines() if "operators" not in line]
    assert Path(where).is_relative_to(scripts.parent)
    assert (same, network) == (f"True {maskflownet.__version__}", "MaskFlownet_S")


def test_weights_logs_and_flows_lie_in_the_working_folder(scripts, elsewhere):
    (elsewhere / "weights").mkdir()
    (elsewhere / "mine_3.params").rename(elsewhere / "weights" / "mine_3.params")
    done = run(elsewhere, scripts / "maskflownet", "--check")
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("checkpoints")]
    assert f"{elsewhere}/weights: mine" in line


@pytest.mark.long
def test_the_fast_operators_are_built_into_the_cache_once(scripts, elsewhere):
    compiler = shutil.which("g++") or pytest.skip("there is no g++")
    arguments = ["flow.flo", "--image_1", "a.png", "--image_2", "b.png", "-c", "mine_3.params"]
    first = run(elsewhere, scripts / "maskflownet-predict", *arguments, CXX=compiler)
    assert first.returncode == 0 and "building the fast operators, once, in" in first.stdout
    assert list(elsewhere.glob("cache/maskflownet/*/libmaskflownet.so"))
    again = run(elsewhere, scripts / "maskflownet-predict", *arguments, "--overwrite", CXX=compiler)
    assert again.returncode == 0 and "operators" not in again.stdout
