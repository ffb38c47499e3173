"""How the random numbers are seeded that fresh weights are made of."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[3]
CODE = (
    "import random; from maskflownet import runtime; import mxnet as mx, numpy as np; "
    "from maskflownet.tasks.training import weights; "
    "weights.seed_generators(5); "
    "print(random.random(), np.random.rand(), mx.nd.random.uniform().asscalar())"
)


def drawn_by(code, path=""):
    """Return what a fresh process prints that finds modules in `path` first."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def ordinary():
    return drawn_by(CODE)


@pytest.mark.parametrize("change", ["torch", pytest.param("no gluoncv", marks=pytest.mark.long)])
def test_without_gluoncv_the_same_numbers_are_drawn(change, ordinary, tmp_path):
    """Beside PyTorch 2 gluoncv refuses to load; its stand-in fails if it is asked to."""
    hide = (
        "import importlib.util as u; find = u.find_spec; "
        "u.find_spec = lambda name, *rest: None if name == 'gluoncv' else find(name, *rest); "
    )
    before = hide if change == "no gluoncv" else ""
    (tmp_path / "gluoncv.py").write_text("raise RuntimeError('Legacy torch')")
    if change == "torch":
        (tmp_path / "torch.py").touch()
    assert drawn_by(before + CODE, str(tmp_path)) == ordinary
